package config

import (
	"fmt"
	"strings"
)

// Names returns the columns that the sink needs, none when it takes all there are.
func (t *Target) Names() []string {
	var names []string
	switch {
	case t.Topic != nil:
		names = t.Topic.names()
	case t.Stdout != nil:
		names, _ = namesIn(t.Stdout.Line)
		names = append(names, t.Stdout.Fields...)
	case t.File != nil:
		names = t.File.format().names()
	case t.Influx != nil:
		names, _ = namesIn(t.Influx.Measurement)
		names = append(append(names, t.Influx.Tags...), t.Influx.Fields...)
	case t.spec() != nil:
		names = t.spec().names()
	}
	return names
}

// TakesAll reports whether the sink writes every column, beside Names.
func (t *Target) TakesAll() bool {
	switch {
	case t.Topic != nil:
		return len(t.Topic.Fields) == 0
	case t.Stdout != nil:
		return t.Stdout.Line == "" && len(t.Stdout.Fields) == 0
	case t.File != nil:
		return len(t.File.Fields) == 0
	case t.Influx != nil:
		return len(t.Influx.Fields) == 0
	case t.spec() != nil:
		return t.spec().takesAll()
	}
	return true
}

// Label is a short name of the sink for logs and metrics.
func (t *Target) Label() string {
	switch {
	case t.Ref != "":
		return t.Ref
	case t.Topic != nil && t.Topic.MQTT != "":
		return "mqtt " + t.Topic.MQTT + " topic " + t.Topic.Topic
	case t.Topic != nil:
		return "topic " + t.Topic.Topic
	case t.File != nil:
		return "file " + t.File.Path
	case t.spec() != nil:
		return t.spec().label()
	}
	return t.Kind
}

// namesIn returns the columns in braces of a text such as "{device} {mean:.2f}",
// and what is wrong with it, or "".
func namesIn(s string) (names []string, wrong string) {
	for {
		before, after, found := strings.Cut(s, "{")
		if strings.Contains(before, "}") {
			return names, "} without {"
		}
		if !found {
			return names, ""
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(name, "{") {
			return names, "{ is not closed"
		}
		name, _, _ = strings.Cut(name, ":")
		if name == "" {
			return names, fmt.Sprintf("no name in braces before %q", rest)
		}
		names = append(names, name)
		s = rest
	}
}
