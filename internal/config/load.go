// Package config reads a configuration: YAML into structs, every problem at
// once, each with its place and a hint.
//
//	bytes ─yaml─▶ nodes ─decoder─▶ structs ─check─▶ File
//	                       │          │
//	                       └──────────┴──▶ Problems
//
// Defaults stand in the structs before they are read. The reference in the
// docs comes from the same tags.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Limits of a configuration. What is beyond is a Problem.
const (
	BytesMax    = 1 << 20 // of the file
	depthMax    = 32      // of lists and mappings in each other
	valuesMax   = 50_000  // values, counted again wherever an alias repeats them
	keyBytesMax = 128     // of a key
	problemsMax = 100     // told of one file
	pairsMax    = 4 << 20 // topics published × filters, compared to find loops
)

// Load reads the file at path as Parse does. What is wrong with its content is
// a Problems; any other error is that of the file system.
func Load(path string) (*File, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	src, err := io.ReadAll(io.LimitReader(r, BytesMax+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, src)
}

// Parse reads src as the content of the file called name. Relative paths in
// it start in the folder of that name.
//
// The error is a Problems. Beside it may stand the file, not to be run, but
// for others to go on looking: the pipelines that have problems are in Unsound.
func Parse(name string, src []byte) (*File, error) {
	if len(src) > BytesMax {
		return nil, Problems{{File: name, Msg: fmt.Sprintf("more than %d bytes, the most a configuration may have", BytesMax)}}
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	f := fileDefaults()
	f.Path, f.Dir = name, filepath.Dir(name)
	f.src = newSource(name, string(src))
	root, problem := f.src.compose(src)
	if problem != nil {
		return nil, Problems{*problem}
	}
	d := &decoder{src: f.src}
	d.value(root, settable(&f), "", "")
	if d.spent <= valuesMax {
		d.check(&f)
	}
	switch {
	case len(d.problems) == 0:
		return &f, nil
	case d.untold > 0 || d.spent > valuesMax:
		return nil, d.told()
	}
	var sound Pipelines
	for _, p := range f.Pipelines {
		if d.hasProblem(p.Path) {
			f.Unsound = append(f.Unsound, p)
		} else {
			sound = append(sound, p)
		}
	}
	f.Pipelines = sound
	return &f, d.told()
}

// compose reads the text into nodes.
func (s *source) compose(src []byte) (*yaml.Node, *Problem) {
	if i := firstUnreadable(src); i >= 0 {
		p := s.unreadable(src, i)
		return nil, &p
	}
	limits := loaderlimits.New(loaderlimits.DepthValue(depthMax))
	l, err := yaml.NewLoader(bytes.NewReader(src), yaml.WithPlugin(limits))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	var doc, second yaml.Node
	err = l.Load(&doc)
	if err == nil {
		if err = l.Load(&second); err == nil {
			p := s.at(&second, "", "a second document begins here; a configuration is one", "take out the line ---")
			return nil, &p
		}
	}
	if !errors.Is(err, io.EOF) {
		s.hideAfterKeys()
		p := s.syntax(err)
		return nil, &p
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, &Problem{File: s.file, Msg: "the file is empty", Hint: "a configuration has at least pipelines:"}
	}
	s.hideSecrets(doc.Content[0], false)
	return doc.Content[0], nil
}

// firstUnreadable returns the place of the first byte that is not UTF-8, or is
// a control character that YAML does not allow, or -1.
func firstUnreadable(src []byte) int {
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return i
		}
		i += size
	}
	return -1
}

func (s *source) unreadable(src []byte, i int) Problem {
	s.hideAfterKeys()
	p := Problem{File: s.file, Msg: "this is not UTF-8 text", Hint: "save the file as UTF-8"}
	if src[i] < utf8.RuneSelf {
		p.Msg, p.Hint = fmt.Sprintf("a control character, %#02x", src[i]), `in double quotes it is written \xNN`
	}
	before := splitLines(string(src[:i]))
	s.place(&p, len(before), utf8.RuneCountInString(before[len(before)-1])+1)
	return p
}

// What the YAML library says, and what a user can do about it.
var syntaxHints = [...]struct{ found, msg, hint string }{
	{"mapping values are not allowed", "a ':' that makes no sense here", "mind the indentation, and quote texts that hold ': '"},
	{"found character that cannot start any token", "no text can begin with this character", "quote texts that begin with @, ` or %"},
	{"found unexpected end of stream", "the quote that begins here is not closed", ""},
	{"did not find expected ',' or", "want ',' or the closing bracket", "inside { } and [ ], quote texts that hold braces, brackets or commas"},
	{"did not find expected node content", "something is missing here", "close every { and [, and give every ',' something to follow"},
	{"did not find expected '-' indicator", "want an item that begins with '- ' like those before it", "mind the indentation"},
	{"did not find expected key", "want a key like those before it", "mind the indentation: keys of one mapping stand below each other"},
	{"could not find expected ':'", "want 'key: value'", "mind the indentation, and quote texts of several lines"},
	{"unknown anchor", "nothing above is marked with & and this name", "quote texts that begin with *"},
	{"exceeded max depth", fmt.Sprintf("nested deeper than %d", depthMax), ""},
}

// syntax tells what the YAML library found, with its place.
func (s *source) syntax(err error) Problem {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return Problem{File: s.file, Msg: err.Error()}
	}
	p := Problem{File: s.file, Msg: "not YAML: " + at.Message, Hint: "mind the indentation, and quote texts that hold : or #"}
	for _, h := range syntaxHints {
		if strings.HasPrefix(at.Message, h.found) {
			p.Msg, p.Hint = h.msg, h.hint
		}
	}
	line, col := at.Mark.Line, at.Mark.Column
	if c := (cursor{lines: s.lines, line: line - 1}); c.line >= 0 && strings.HasPrefix(c.rest(), strings.Repeat("\t", max(col, 1))) {
		p.Msg, p.Hint = "a tab cannot indent", "indent with spaces"
	}
	if opened := at.ContextMark; opened.Line > 0 && strings.HasPrefix(at.Message, "found unexpected end of stream") {
		line, col = opened.Line, opened.Column
	}
	s.place(&p, line, col)
	return p
}

// Join returns path as seen from the folder of the file.
func (f *File) Join(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.Dir, path)
}

// Sink returns the named sink, or nil.
func (f *File) Sink(name string) *Target {
	for i := range f.Sinks {
		if f.Sinks[i].Name == name {
			return &f.Sinks[i].Target
		}
	}
	return nil
}
