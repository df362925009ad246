package decode

import (
	"fmt"
	"strings"
)

// depthMax is how deep objects and arrays may be nested.
const depthMax = 32

// A shape is what a JSON value is.
type shape uint8

const (
	null shape = iota
	number
	truth
	text
	object
	array
)

func (s shape) String() string {
	return [...]string{"null", "number", "bool", "text", "an object", "an array"}[s]
}

// A scanner reads a JSON text (RFC 8259) once, from left to right, and keeps
// the values that the tree of nodes wants. Its methods take the place where
// something begins and return the place behind it, or a negative number once
// something is wrong.
type scanner struct {
	message uint64 // counts payloads: a slot with this number was set by the present one
	open    *openFields
	scratch []byte  // texts that had escapes
	unused  decimal // numbers nobody wants
	wrong   string  // empty: nothing
}

// fail notes what is wrong: the text breaks the rules of JSON at a byte.
func (s *scanner) fail(at int, wrong string) int {
	s.wrong = fmt.Sprintf("not JSON: %s at byte %d", wrong, at)
	return -1
}

// refuse notes what is wrong with a text that may well be JSON.
func (s *scanner) refuse(wrong string) int {
	s.wrong = wrong
	return -1
}

// scan reads payload p into the slots below root.
func (s *scanner) scan(p []byte, root *node) bool {
	s.message++
	s.wrong = ""
	s.scratch = s.scratch[:0]
	i := skipSpace(p, 0)
	if i < len(p) && p[i] != '{' {
		if i = s.value(p, i, nil, 0); i >= 0 {
			i = s.refuse("not an object")
		}
	} else {
		i = s.value(p, i, root, 0)
	}
	if i < 0 {
		return false
	}
	if i = skipSpace(p, i); i < len(p) {
		s.fail(i, "more after the end")
		return false
	}
	return true
}

func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
		i++
	}
	return i
}

// value reads any value for n, which is nil where nobody wants it.
func (s *scanner) value(p []byte, i int, n *node, depth int) int {
	if i >= len(p) || p[i] <= ' ' {
		if i = skipSpace(p, i); i >= len(p) {
			return s.fail(i, "it ends too early")
		}
	}
	var v *slot
	if n != nil {
		v = n.slot
		n.enter(s.message)
	}
	switch c := p[i]; {
	case c == '"':
		t, end := s.text(p, i)
		if v != nil {
			v.set(s, text).raw = t
		}
		return end
	case c == '-' || c-'0' <= 9:
		if v == nil {
			return s.number(p, i, &s.unused)
		}
		end := s.number(p, i, &v.num)
		v.set(s, number).raw = p[i:max(i, end)]
		return end
	case c == '{' || c == '[':
		if depth == depthMax {
			return s.refuse(fmt.Sprintf("nested deeper than %d", depthMax))
		}
		if c == '{' {
			v.set(s, object)
			return s.object(p, i, n, depth+1)
		}
		v.set(s, array)
		return s.array(p, i, n, depth+1)
	}
	return s.word(p, i, v)
}

func (s *scanner) word(p []byte, i int, v *slot) int {
	switch rest := string(p[i:min(i+5, len(p))]); {
	case strings.HasPrefix(rest, "true"):
		if v.set(s, truth) != nil {
			v.truth = true
		}
		return i + 4
	case rest == "false":
		if v.set(s, truth) != nil {
			v.truth = false
		}
		return i + 5
	case strings.HasPrefix(rest, "null"):
		v.set(s, null)
		return i + 4
	}
	return s.fail(i, "want a value")
}

func (s *scanner) object(p []byte, i int, n *node, depth int) int {
	if j := skipSpace(p, i+1); j < len(p) && p[j] == '}' {
		return j + 1
	}
	for k := 0; ; k++ {
		child, at := s.member(p, i, n, k)
		if at < 0 {
			return at
		}
		if i = s.value(p, at, child, depth); i < 0 {
			return i
		}
		if i >= len(p) || p[i] <= ' ' {
			i = skipSpace(p, i)
		}
		switch {
		case i < len(p) && p[i] == ',':
		case i < len(p) && p[i] == '}':
			return i + 1
		default:
			return s.fail(i, "want , or }")
		}
	}
}

// member reads member k of an object up to its value; p[i] is the { or ,
// before it. Payloads of one source look alike, so it is first compared with
// member k of the last object here, as it was written.
func (s *scanner) member(p []byte, i int, n *node, k int) (*node, int) {
	if n != nil && k < len(n.guesses) {
		g := &n.guesses[k]
		if end := i + len(g.written); end <= len(p) && string(p[i:end]) == string(g.written) {
			return g.child, end
		}
	}
	j := skipSpace(p, i+1)
	if j >= len(p) || p[j] != '"' {
		return nil, s.fail(j, "want a name in quotes")
	}
	key, j := s.text(p, j)
	if j < 0 {
		return nil, j
	}
	if j = skipSpace(p, j); j >= len(p) || p[j] != ':' {
		return nil, s.fail(j, "want :")
	}
	j = skipSpace(p, j+1)
	if n == nil {
		return nil, j
	}
	child, known := n.names[string(key)]
	if !known && s.open != nil && n.opens && j < len(p) {
		if child = s.open.adopt(s, n, key, p[j]); s.wrong != "" {
			return nil, -1
		}
		if child == nil {
			n.guess(k, never, nil) // next time there may be a value worth a column
			return nil, j
		}
	}
	n.guess(k, p[i:j], child)
	return child, j
}

func (s *scanner) array(p []byte, i int, n *node, depth int) int {
	if j := skipSpace(p, i+1); j < len(p) && p[j] == ']' {
		return j + 1
	}
	for k := 0; ; k++ {
		var child *node
		if n != nil {
			child = n.items[k]
		}
		if i = s.value(p, i+1, child, depth); i < 0 {
			return i
		}
		i = skipSpace(p, i)
		switch {
		case i < len(p) && p[i] == ',':
		case i < len(p) && p[i] == ']':
			return i + 1
		default:
			return s.fail(i, "want , or ]")
		}
	}
}
