package topics

import (
	"slices"
	"strings"
)

// A Set is the topics that match at least one of some filters. The zero Set
// is empty.
type Set struct{ filters [][]string }

// Add adds the topics that match an MQTT filter, given level by level. The
// levels belong to the set from now on.
func (s *Set) Add(levels []string) { s.filters = append(s.filters, levels) }

// Has reports whether a topic is in the set.
func (s *Set) Has(topic string) bool {
	for _, f := range s.filters {
		if match(f, topic) {
			return true
		}
	}
	return false
}

// Covers reports whether every topic that matches the MQTT filter is in the
// set, be it by one of its filters or only by several together.
//
// A wildcard of filter stands for names that no filter of the set spells out,
// too; what covers those covers all. So only wildcards can cover a wildcard.
func (s *Set) Covers(filter string) bool {
	levels := strings.Split(filter, "/")
	left := slices.Clone(s.filters)
	if startsDollar(levels) {
		left = slices.DeleteFunc(left, func(f []string) bool { return isWild(f[0]) }) // [MQTT-4.7.2-1]
	}
	for i, level := range levels {
		switch {
		case reach(left, i):
			return true
		case level == "#":
			return coversAllBelow(left, i, strings.Join(levels[:i], "/") == "")
		}
		left = slices.DeleteFunc(left, func(f []string) bool { return len(f) <= i || f[i] != "+" && f[i] != level })
	}
	return reach(left, len(levels)) || slices.ContainsFunc(left, func(f []string) bool { return len(f) == len(levels) })
}

// reach reports whether a filter takes everything from level i on.
func reach(filters [][]string, i int) bool {
	return slices.ContainsFunc(filters, func(f []string) bool { return len(f) > i && f[i] == "#" })
}

// coversAllBelow reports whether filters, which match up to level i, take
// what has i levels, unless that is the empty topic, which is none, and
// whatever is below.
func coversAllBelow(filters [][]string, i int, empty bool) bool {
	for ; len(filters) > 0; i++ {
		if reach(filters, i) {
			return true
		}
		if !empty && !slices.ContainsFunc(filters, func(f []string) bool { return len(f) == i }) {
			return false
		}
		empty = false
		filters = slices.DeleteFunc(filters, func(f []string) bool { return len(f) <= i || f[i] != "+" })
	}
	return false
}
