// Package topics knows MQTT topic names and filters: which match, which
// overlap, which pipelines want a topic, and topics made from a row.
package topics

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits of a topic; MQTT itself allows 65,535 bytes of any depth.
const (
	BytesMax  = 512
	LevelsMax = 32
)

// A Level is a named single-level wildcard of a filter, and its place.
type Level struct {
	Name  string
	Index int // levels are counted from 0
}

// A Filter is an MQTT topic filter whose single-level wildcards may have
// names: plant/{line}/motor/{device}/reading.
type Filter struct {
	written string
	levels  []string // + for a wildcard, named or not
	named   []Level
}

// ParseFilter reads a filter. It keeps the rules of MQTT 5 section 4.7 and our limits.
func ParseFilter(s string) (*Filter, error) {
	if err := valid(s, "filter"); err != nil {
		return nil, err
	}
	f := &Filter{written: s, levels: strings.Split(s, "/")}
	for i, l := range f.levels {
		switch {
		case l == "#" && i != len(f.levels)-1:
			return nil, fmt.Errorf("filter %q: # is only allowed as the last level", s)
		case l == "#" || l == "+":
		case len(l) > 1 && l[0] == '{' && l[len(l)-1] == '}':
			if err := f.name(l[1:len(l)-1], i); err != nil {
				return nil, err
			}
		case strings.ContainsAny(l, "+#{}"):
			return nil, fmt.Errorf("filter %q: %q: a wildcard stands alone in its level, between slashes", s, l)
		}
	}
	return f, nil
}

func (f *Filter) name(name string, i int) error {
	if !isName(name) {
		return fmt.Errorf("filter %q: %q is not a name; use lower-case letters, digits and _", f.written, name)
	}
	for _, l := range f.named {
		if l.Name == name {
			return fmt.Errorf("filter %q: level %q is named twice", f.written, name)
		}
	}
	f.named = append(f.named, Level{name, i})
	f.levels[i] = "+"
	return nil
}

func isName(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func valid(s, what string) error {
	switch {
	case s == "":
		return fmt.Errorf("%s is empty", what)
	case len(s) > BytesMax:
		return fmt.Errorf("%s is %d bytes long; the most is %d", what, len(s), BytesMax)
	case strings.Count(s, "/") >= LevelsMax:
		return fmt.Errorf("%s has %d levels; the most is %d", what, strings.Count(s, "/")+1, LevelsMax)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8", what)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%s has a NUL character", what)
	}
	return nil
}
