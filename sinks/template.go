package sinks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// names returns the columns that a template needs.
func (l *line) names() []string {
	var names []string
	for k := range l.parts {
		if name := l.parts[k].name; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// plain appends the line of row i of b with texts as they are, but for what
// is not UTF-8. A value that is missing is a dash.
func (l *line) plain(dst []byte, b *pipeline.Batch, i int) []byte {
	for k := range l.parts {
		p := &l.parts[k]
		if p.name == "" {
			dst = append(dst, p.text...)
		} else {
			dst = l.value(dst, p, b, i)
		}
	}
	return dst
}

// value appends the value of one part.
func (l *line) value(dst []byte, p *linePart, b *pipeline.Batch, i int) []byte {
	if p.name == timeName {
		return l.clock.append(dst, b.Time[i])
	}
	c := b.Column(p.name, i)
	if c != nil && (c.Kind == pipeline.Text || c.Kind == pipeline.Bytes) {
		return appendUTF8(dst, c, i)
	}
	return p.append(dst, c, i)
}

// address appends the line of row i of b with every value escaped, so that
// none changes what a URL means. A value that is missing, empty or a step to
// another folder is an error.
func (l *line) address(dst []byte, b *pipeline.Batch, i int) ([]byte, error) {
	for k := range l.parts {
		p := &l.parts[k]
		if p.name == "" {
			dst = append(dst, p.text...)
			continue
		}
		var v []byte
		if p.name == timeName || b.Column(p.name, i) != nil {
			v = l.value(nil, p, b, i)
		}
		switch text := string(v); text {
		case "":
			return dst, fmt.Errorf("url: %s has no value", p.name)
		case ".", "..":
			return dst, fmt.Errorf("url: %s is %q", p.name, text)
		default:
			dst = append(dst, strings.ReplaceAll(url.QueryEscape(text), "+", "%20")...)
		}
	}
	return dst, nil
}

// A document is JSON in which texts are templates. A text that is one pair of
// braces and nothing else becomes the value itself: a number stays a number,
// and what is missing is null.
type document struct {
	parts   []documentPart
	scratch []byte
}

// A documentPart is JSON as it stands, or a text to be filled.
type documentPart struct {
	text []byte
	line *line
}

// compileDocument reads a template in JSON.
func compileDocument(s string) (*document, error) {
	d := &document{}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	if err := d.read(dec); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("body: more than one JSON value")
	}
	return d, nil
}

// read reads one value.
func (d *document) read(dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		return d.inside(dec, v)
	case string:
		l, err := compileLine(v)
		if err != nil {
			return err
		}
		d.parts = append(d.parts, documentPart{line: l})
		return nil
	default:
		text, err := json.Marshal(v)
		d.fixed(string(text))
		return err
	}
}

// inside reads what is between brackets or braces.
func (d *document) inside(dec *json.Decoder, open json.Delim) error {
	d.fixed(open.String())
	for n := 0; dec.More(); n++ {
		if n > 0 {
			d.fixed(",")
		}
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			d.fixed(string(appendQuoted(nil, []byte(key.(string)))) + ":")
		}
		if err := d.read(dec); err != nil {
			return err
		}
	}
	end, err := dec.Token()
	if err == nil {
		d.fixed(end.(json.Delim).String())
	}
	return err
}

func (d *document) fixed(text string) {
	d.parts = append(d.parts, documentPart{text: []byte(text)})
}

// append appends the document of row i of b.
func (d *document) append(dst []byte, b *pipeline.Batch, i int) []byte {
	for k := range d.parts {
		p := &d.parts[k]
		switch {
		case p.line == nil:
			dst = append(dst, p.text...)
		case p.line.isValue():
			dst = appendJSON(dst, b.Column(p.line.parts[0].name, i), i)
		default:
			d.scratch = p.line.plain(d.scratch[:0], b, i)
			dst = appendQuoted(dst, d.scratch)
		}
	}
	return dst
}

// isValue reports whether the template is a column and nothing else.
func (l *line) isValue() bool {
	return len(l.parts) == 1 && l.parts[0].name != "" && l.parts[0].name != timeName && l.parts[0].decimals < 0
}

// appendJSON appends a value as JSON has it, null for what it has not.
func appendJSON(dst []byte, c *pipeline.Column, i int) []byte {
	switch {
	case c == nil || c.Kind == pipeline.Float && !isFinite(c.Floats[i]):
		return append(dst, "null"...)
	case c.Kind == pipeline.Text || c.Kind == pipeline.Bytes:
		return appendText(dst, c, i)
	}
	return appendPlain(dst, c, i)
}

// compileAddress reads a URL with columns in braces behind the server's name,
// and returns the server as messages show it.
func compileAddress(s string) (l *line, server string, err error) {
	const hint = "\n\thint: such as https://example.com/hook"
	if l, err = compileLine(s); err != nil {
		return nil, "", fmt.Errorf("url: braces are wrong%s", hint) // it may hold a secret: it is not shown
	}
	u, err := url.Parse(string(bytes.Map(func(r rune) rune {
		if r == '{' || r == '}' {
			return 'x'
		}
		return r
	}, []byte(s))))
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", fmt.Errorf("url: this is no URL of a server%s", hint)
	}
	if begin := u.Scheme + "://" + u.Host + "/"; len(l.names()) > 0 && !strings.HasPrefix(l.parts[0].text, begin) {
		return nil, "", fmt.Errorf("url: columns stand behind the name of the server%s", hint)
	}
	return l, u.Scheme + "://" + u.Host, nil
}
