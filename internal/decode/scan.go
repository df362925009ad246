package decode

import (
	"bytes"
	"cmp"
	"fmt"
	"math"

	"millrace.dev/millrace/internal/journal"
)

// depthMax is how deep objects and arrays may be nested.
const depthMax = 32

// A shape is what a value of a payload is.
type shape uint8

const (
	null   shape = iota
	number       // a decimal number
	real         // a floating-point number of a binary format
	truth
	text
	bare   // a text without quotes, whose use tells what it is
	named  // a number of an enum, with its name
	blob   // bytes of a binary format
	moment // a time of a binary format
	object
	array
)

func (s shape) String() string {
	return [...]string{"null", "number", "number", "bool", "text", "text", "text", "bytes", "a time", "an object", "an array"}[s]
}

// A scanner reads payloads once, from left to right, and keeps the values that
// the tree of nodes wants. It is also the format json (RFC 8259). Its methods
// take the place where something begins and return the place behind it, or a
// negative number once something is wrong.
type scanner struct {
	message  uint64 // counts payloads and rows in them: a slot with this number was set by the present one
	outer    uint64 // the number of what stands around the present row
	record   *journal.Record
	moment   int64  // µs since 1970, where the format itself has a time; or noMoment
	items    []span // where the rows of the present message are
	open     *openFields
	scratch  []byte  // texts that had escapes
	unused   decimal // numbers nobody wants
	language string  // what payloads are written in
	wrong    string  // empty: nothing
}

// noMoment stands for no time.
const noMoment = math.MinInt64

// A span is a piece of a payload.
type span struct{ from, to int }

// begin makes ready for the payload of r.
func (s *scanner) begin(r *journal.Record) {
	s.message++
	s.outer, s.record, s.moment = s.message, r, noMoment
	s.wrong, s.scratch, s.items = "", s.scratch[:0], s.items[:0]
}

// now returns the slot that has the present row's value of the field v, or nil.
func (s *scanner) now(v *slot) *slot {
	if v.seen != s.message {
		if v = v.outer; v == nil || v.seen != s.outer {
			return nil
		}
	}
	if v.shape == null {
		return nil
	}
	return v
}

// item notes a row.
func (s *scanner) item(from, to int) bool {
	if len(s.items) == MessageRowsMax {
		s.refuse(fmt.Sprintf("more than %d rows", MessageRowsMax))
		return false
	}
	s.items = append(s.items, span{from, to})
	return true
}

// want says what payloads are.
func (s *scanner) want() string {
	if s.language == "JSON" {
		return "a JSON object"
	}
	return cmp.Or(s.language, "a value")
}

// fail notes what is wrong: the payload breaks the rules of its language at a byte.
func (s *scanner) fail(at int, wrong string) int {
	s.wrong = fmt.Sprintf("not %s: %s at byte %d", s.language, wrong, at)
	return -1
}

// refuse notes what is wrong with a payload that may well follow the rules.
func (s *scanner) refuse(wrong string) int {
	s.wrong = wrong
	return -1
}

// scan reads payload p into the slots below n.
func (s *scanner) scan(p []byte, n *node) bool {
	i := 0
	if p[0] == '{' && n.slot == nil { // as nearly all are
		i = s.object(p, 0, n, 1)
	} else {
		i = s.document(p, skipSpace(p, 0), n)
	}
	if i < 0 || i == len(p) {
		return i >= 0
	}
	if i = skipSpace(p, i); i < len(p) {
		s.fail(i, "more after the end")
		return false
	}
	return true
}

// row reads an element of an array.
func (s *scanner) row(p []byte, at span, n *node) bool {
	return s.document(p[:at.to], skipSpace(p, at.from), n) >= 0
}

// document reads the value at p[i], which is the payload or an element of it.
func (s *scanner) document(p []byte, i int, n *node) int {
	wanted := n.scalar()
	switch {
	case i >= len(p):
		return s.fail(i, "it ends too early")
	case p[i] == '{' || p[i] == '[' && n.slot != nil:
		return s.value(p, i, n, 0)
	case p[i] == '"' && wanted != nil:
		return s.value(p, i, wanted, 0)
	case p[i] == '[' || wanted == nil:
		if i = s.value(p, i, nil, 0); i < 0 {
			return i
		}
		return s.refuse("not an object")
	}
	t := bytes.TrimRight(p[i:], " \n\t\r")
	if _, word := truthOf(t); !word && !isNothing(t) && !parseNumber(t, &s.unused) {
		return s.fail(i, "want a value")
	}
	s.setBare(wanted.slot, t)
	return len(p)
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
	rest := p[i:]
	switch {
	case len(rest) >= 4 && string(rest[:4]) == "true":
		if v.set(s, truth) != nil {
			v.truth = true
		}
		return i + 4
	case len(rest) >= 5 && string(rest[:5]) == "false":
		if v.set(s, truth) != nil {
			v.truth = false
		}
		return i + 5
	case len(rest) >= 4 && string(rest[:4]) == "null":
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
		if k, i = s.alike(p, i, n, k); k < 0 {
			return i
		}
		child, at := s.member(p, i, n, k)
		if i = at; i < 0 {
			return i
		}
		if i = s.value(p, i, child, depth); i < 0 {
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
// before it.
func (s *scanner) member(p []byte, i int, n *node, k int) (*node, int) {
	if n != nil && k < len(n.guesses) && n.guesses[k].begins(p[i:]) {
		return n.guesses[k].child, i + len(n.guesses[k].written)
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
	if !known && s.open != nil && n.opens {
		if j < len(p) {
			child = s.open.adopt(s, n, key, p[j])
		}
		if s.wrong != "" {
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
	explodes := n != nil && n.explodes
	if explodes {
		s.items = s.items[:0]
	}
	if j := skipSpace(p, i+1); j < len(p) && p[j] == ']' {
		return j + 1
	}
	for k := 0; ; k++ {
		var child *node
		if n != nil {
			child = n.items[k]
		}
		from := i + 1
		if i = s.value(p, from, child, depth); i < 0 || explodes && !s.item(from, i) {
			return -1
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
