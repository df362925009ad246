package topics

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// whole is the name in a template that stands for all levels of the message's
// own topic.
const whole = "topic"

// A Template makes a topic from a row: alerts/{line}/{device}, or
// site7/{topic}.
type Template struct {
	written string
	parts   []part
}

// A part is fixed text, or the name of a value.
type part struct{ text, name string }

// CompileTemplate reads a topic with names of columns in braces.
func CompileTemplate(s string) (*Template, error) {
	if err := valid(s, "topic"); err != nil {
		return nil, err
	}
	if strings.ContainsAny(s, "+#") {
		return nil, fmt.Errorf("topic %q: + and # are for filters", s)
	}
	t := &Template{written: s}
	for rest := s; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, fmt.Errorf("topic %q: } without {", s)
		}
		if text != "" {
			t.parts = append(t.parts, part{text: text})
		}
		if !found {
			break
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed || name == "" || strings.ContainsAny(name, "{/") {
			return nil, fmt.Errorf("topic %q: a name in braces is missing or not closed", s)
		}
		t.parts = append(t.parts, part{name: name})
		rest = more
	}
	return t, nil
}

// String returns the template as it was written.
func (t *Template) String() string { return t.written }

// Names returns the columns that the template needs, in order.
func (t *Template) Names() []string {
	var names []string
	for _, p := range t.parts {
		if p.name != "" {
			names = append(names, p.name)
		}
	}
	return names
}

// Filter returns the narrowest MQTT filter that matches every topic the
// template can make.
func (t *Template) Filter() string {
	levels := strings.Split(t.written, "/")
	for i, l := range levels {
		if strings.Contains(l, "{"+whole+"}") {
			return strings.Join(append(levels[:i], "#"), "/")
		}
		if strings.Contains(l, "{") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// Append appends the topic of a row to dst; value returns a column's text. A
// value that is missing or empty, or that would change the levels of the
// topic, is an error; {topic} alone brings levels of its own.
func (t *Template) Append(dst []byte, value func(name string) ([]byte, bool)) ([]byte, error) {
	from := len(dst)
	for _, p := range t.parts {
		if p.name == "" {
			dst = append(dst, p.text...)
			continue
		}
		v, ok := value(p.name)
		if !ok || len(v) == 0 {
			return dst[:from], fmt.Errorf("topic %s: %s has no value", t.written, p.name)
		}
		if bytes.ContainsAny(v, "+#\x00") || !utf8.Valid(v) || p.name != whole && bytes.IndexByte(v, '/') >= 0 {
			return dst[:from], fmt.Errorf("topic %s: %s is %q; a level of a topic has no /, +, # or NUL", t.written, p.name, v)
		}
		dst = append(dst, v...)
	}
	if n := len(dst) - from; n > BytesMax {
		return dst[:from], fmt.Errorf("topic %s: the topic is %d bytes long; the most is %d", t.written, n, BytesMax)
	}
	if n := bytes.Count(dst[from:], []byte("/")) + 1; n > LevelsMax {
		return dst[:from], fmt.Errorf("topic %s: the topic has %d levels; the most is %d", t.written, n, LevelsMax)
	}
	return dst, nil
}
