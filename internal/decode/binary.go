package decode

import (
	"fmt"
	"unicode/utf8"
)

// What the formats beside JSON set slots with.

// child returns the node for member k of an object, called name; nil: nobody
// wants it. value is how its value begins for adopt: 0, or [ for what never
// becomes a column. Like member it first looks at member k of the last object.
func (s *scanner) child(n *node, k int, name []byte, value byte) *node {
	if n == nil {
		return nil
	}
	if k < len(n.guesses) && string(n.guesses[k].written) == string(name) {
		return n.guesses[k].child
	}
	child, known := n.names[string(name)]
	if !known && s.open != nil && n.opens {
		if child = s.open.adopt(s, n, name, value); child == nil {
			n.guess(k, never, nil)
			return nil
		}
	}
	n.guess(k, name, child)
	return child
}

// place returns the node for a payload of this shape, or for an element of
// it; ok is false where it is no object and nobody wants anything else.
func (s *scanner) place(n *node, is shape) (at *node, ok bool) {
	if is == object || is == array && n.slot != nil {
		return n, true
	}
	if at = n.scalar(); is == array || at == nil {
		s.refuse("not an object")
		return nil, false
	}
	return at, true
}

// ends reports whether a payload that was read up to p[i] ends there.
func (s *scanner) ends(p []byte, i int) bool {
	if i >= 0 && i < len(p) {
		i = s.fail(i, "more after the end")
	}
	return i >= 0
}

// deeper makes sure that something at this depth may have something below it.
func (s *scanner) deeper(depth int) bool {
	if depth == depthMax {
		s.refuse(fmt.Sprintf("nested deeper than %d", depthMax))
		return false
	}
	return true
}

// setWhole gives v a whole number.
func (s *scanner) setWhole(v *slot, negative bool, magnitude uint64) {
	if v.set(s, number) != nil {
		v.raw, v.num = nil, decimal{mantissa: magnitude, negative: negative, whole: true}
	}
}

func (s *scanner) setInt(v *slot, x int64) {
	if x < 0 {
		s.setWhole(v, true, -uint64(x))
		return
	}
	s.setWhole(v, false, uint64(x))
}

func (s *scanner) setReal(v *slot, x float64) {
	if v.set(s, real) != nil {
		v.float = x
	}
}

func (s *scanner) setTruth(v *slot, x bool) {
	if v.set(s, truth) != nil {
		v.truth = x
	}
}

// setText gives v a text that is UTF-8, or else bytes.
func (s *scanner) setText(v *slot, t []byte) {
	if v == nil {
		return
	}
	is := text
	if !utf8.Valid(t) {
		is = blob
	}
	v.set(s, is).raw = t
}

func (s *scanner) setBlob(v *slot, b []byte) {
	if v.set(s, blob) != nil {
		v.raw = b
	}
}

// setMoment gives v a time: seconds since 1970 and nanoseconds.
func (s *scanner) setMoment(v *slot, seconds, nanos int64) {
	if v == nil {
		return
	}
	if seconds > timeMax/1e6 || seconds < timeMin/1e6 {
		v.set(s, null)
		return
	}
	v.set(s, moment).int = seconds*1e6 + nanos/1e3
}
