package topics

import (
	"errors"
	"strings"
)

// String returns the filter as it was written.
func (f *Filter) String() string { return f.written }

// MQTT returns the filter as MQTT knows it, without names.
func (f *Filter) MQTT() string { return strings.Join(f.levels, "/") }

// Levels returns the named levels, in order.
func (f *Filter) Levels() []Level { return f.named }

// Match reports whether a topic name matches the filter [MQTT-4.7].
func (f *Filter) Match(topic string) bool { return match(f.levels, topic) }

func match(levels []string, topic string) bool {
	if topic == "" || topic[0] == '$' && isWild(levels[0]) { // [MQTT-4.7.2-1]
		return false
	}
	rest, more := topic, true
	for _, want := range levels {
		if want == "#" {
			return true // the parent level too
		}
		if !more {
			return false
		}
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if want != "+" && want != level {
			return false
		}
	}
	return !more
}

func isWild(level string) bool { return level == "+" || level == "#" }

// Overlap reports whether one topic can match both MQTT filters.
func Overlap(a, b string) bool {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	if startsDollar(x) && isWild(y[0]) || startsDollar(y) && isWild(x[0]) {
		return false
	}
	for i := 0; ; i++ {
		switch {
		case i < len(x) && x[i] == "#", i < len(y) && y[i] == "#":
			return true
		case i == len(x) || i == len(y):
			return len(x) == len(y) || i == len(x) && y[i] == "#" || i == len(y) && x[i] == "#"
		case x[i] != y[i] && x[i] != "+" && y[i] != "+":
			return false
		}
	}
}

func startsDollar(levels []string) bool { return strings.HasPrefix(levels[0], "$") }

var errWildcard = errors.New("topic has a wildcard, + or #")

// ValidTopic reports why a message may not be published to topic, or nil.
func ValidTopic(topic []byte) error {
	s := string(topic)
	if err := valid(s, "topic"); err != nil {
		return err
	}
	if strings.ContainsAny(s, "+#") {
		return errWildcard // [MQTT-3.3.2-2]
	}
	return nil
}
