package decode

import (
	"bytes"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// bareFormat takes payloads that are one text without quotes: 21.5, ON, or
// any words. Spaces around it do not count.
type bareFormat struct{ *scanner }

func (f bareFormat) scan(p []byte, n *node) bool {
	if !utf8.Valid(p) {
		f.refuse("not UTF-8")
		return false
	}
	if wanted := n.scalar(); wanted != nil {
		f.setBare(wanted.slot, bytes.TrimSpace(p))
	}
	return true
}

func (f bareFormat) row([]byte, span, *node) bool { panic("BUG: a bare value has no rows") }

// scalar returns the node for a value that is no object, or nil.
func (n *node) scalar() *node {
	if n.bare == nil && n.slot != nil {
		return n
	}
	return n.bare
}

// setBare gives v a text whose use tells what it is. Devices write nothing,
// null or nan where they have no value.
func (s *scanner) setBare(v *slot, t []byte) {
	is := bare
	if isNothing(t) {
		is = null
	}
	if v.set(s, is) != nil {
		v.raw = t
	}
}

func isNothing(t []byte) bool {
	return len(t) == 0 || len(t) <= 4 && (bytes.EqualFold(t, []byte("null")) || bytes.EqualFold(t, []byte("nan")))
}

// takeBare makes a bare text ready for a column of this kind, if it can be one.
func (v *slot) takeBare(kind pipeline.Kind) (ok bool) {
	switch kind {
	case pipeline.Float:
		if parseNumber(v.raw, &v.num) {
			v.float, ok = v.num.float(v.raw)
		}
	case pipeline.Int:
		if parseNumber(v.raw, &v.num) {
			v.int, ok = v.num.int()
		}
	case pipeline.Bool:
		if len(v.raw) == 1 && v.raw[0]|1 == '1' {
			v.truth, ok = v.raw[0] == '1', true
			break
		}
		v.truth, ok = truthOf(v.raw)
	default:
		return true
	}
	return ok
}

// dress gives a bare text the shape it looks like, where no use tells: a
// number, a switch, or a text.
func (v *slot) dress() {
	t := v.raw
	on, word := truthOf(t)
	switch {
	case parseNumber(t, &v.num):
		v.shape = number
	case word && (bytes.EqualFold(t, []byte("on")) || bytes.EqualFold(t, []byte("off")) || t[0]|0x20 == 't' || t[0]|0x20 == 'f'):
		v.shape, v.truth = truth, on
	default:
		v.shape = text
	}
}

// truthOf returns what a word for yes or no means: true on yes open online,
// false off no closed offline, in any case of letters.
func truthOf(t []byte) (is, ok bool) {
	var lower [7]byte
	if len(t) > len(lower) {
		return false, false
	}
	for i, c := range t {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	switch string(lower[:len(t)]) {
	case "true", "on", "yes", "open", "online":
		return true, true
	case "false", "off", "no", "closed", "offline":
		return false, true
	}
	return false, false
}

// parseNumber reads a number as people and devices write it: 21.5, -3, +3,
// 007, .5 and 1e3.
func parseNumber(t []byte, d *decimal) bool {
	i, digits := 0, 0
	d.negative = len(t) > 0 && t[0] == '-'
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		i++
	}
	d.mantissa, d.exp, d.whole = 0, 0, true
	point := false
	for ; i < len(t); i++ {
		switch c := t[i]; {
		case c-'0' <= 9:
			d.whole = d.whole && d.mantissa < 1e18
			d.mantissa = d.mantissa*10 + uint64(c-'0')
			digits++
			if point {
				d.exp--
			}
		case c == '.' && !point:
			point = true
		case c|0x20 == 'e' && digits > 0:
			var s scanner
			return s.exponent(t, i+1, d) == len(t)
		default:
			return false
		}
	}
	return digits > 0
}
