package script

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
)

// MessagesMax is the most messages a script may stand for.
const MessagesMax = 1_000_000

// A script is a parsed test.
type script struct {
	pipeline string // the only one tested; "" for all
	events   []event
	want     map[string][]string // by section
	archive  *txtar.Archive
}

// An event is a message, or the passing of time when topic is empty.
type event struct {
	at      time.Duration
	topic   string
	payload string
}

// The sections that say what is to come out, in the order they are written.
var outSections = []string{"out", "late", "dead"}

func parse(src []byte) (*script, error) {
	a := txtar.Parse(src)
	s := &script{want: map[string][]string{}, archive: a}
	for line := range strings.Lines(string(a.Comment)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "pipeline:"); ok {
			s.pipeline = strings.TrimSpace(name)
		}
	}
	line := 1 + strings.Count(string(a.Comment), "\n")
	seen := map[string]bool{}
	for _, f := range a.Files {
		if seen[f.Name] {
			return nil, fmt.Errorf("line %d: section %q appears twice", line, f.Name)
		}
		seen[f.Name] = true
		switch f.Name {
		case "in":
			if err := s.parseIn(string(f.Data), line+1); err != nil {
				return nil, err
			}
		case "out", "late", "dead":
			s.want[f.Name] = lines(string(f.Data))
		default:
			return nil, fmt.Errorf("line %d: unknown section %q; known are in, out, late and dead", line, f.Name)
		}
		line += 1 + strings.Count(string(f.Data), "\n")
	}
	if !seen["in"] || !seen["out"] {
		return nil, fmt.Errorf("a script has at least the sections -- in -- and -- out --")
	}
	return s, nil
}

// lines returns the lines that are neither empty nor comments, with single spaces between time and topic.
func lines(s string) []string {
	var all []string
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at, rest, _ := strings.Cut(line, " ")
		all = append(all, strings.TrimSpace(at+" "+strings.TrimSpace(rest)))
	}
	return all
}

func (s *script) parseIn(text string, line int) error {
	for raw := range strings.Lines(text) {
		if err := s.parseLine(strings.TrimSpace(raw)); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		line++
	}
	return nil
}

// parseLine reads "TIME", "TIME TOPIC PAYLOAD" or "FROM..TO/STEP TOPIC PAYLOAD".
func (s *script) parseLine(line string) error {
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	when, rest, _ := strings.Cut(line, " ")
	from, to, step, err := span(when)
	if err != nil {
		return err
	}
	topic, payload, _ := strings.Cut(strings.TrimSpace(rest), " ")
	payloads, err := expand(strings.TrimSpace(payload))
	if err != nil {
		return err
	}
	for at := from; at <= to; at += step {
		if topic == "" {
			s.events = append(s.events, event{at: at})
		}
		for _, p := range payloads {
			if topic != "" {
				s.events = append(s.events, event{at, topic, p})
			}
		}
		if len(s.events) > MessagesMax {
			return fmt.Errorf("more than %d messages", MessagesMax)
		}
	}
	return nil
}

// span reads a time such as 10s, or 0s..9s/1s for one every second.
func span(s string) (from, to, step time.Duration, err error) {
	first, rest, many := strings.Cut(s, "..")
	if from, err = time.ParseDuration(first); err != nil {
		return 0, 0, 0, fmt.Errorf("%q is not a time; write 10s, or 0s..9s/1s for one every second", s)
	}
	if !many {
		return from, from, 1, nil
	}
	last, every, ok := strings.Cut(rest, "/")
	if to, err = time.ParseDuration(last); err == nil && ok {
		step, err = time.ParseDuration(every)
	}
	if err != nil || !ok || step <= 0 || to < from {
		return 0, 0, 0, fmt.Errorf("%q is not a span of time; write 0s..9s/1s for one every second", s)
	}
	return from, to, step, nil
}

// expand returns the payloads that a line stands for: a JSON object, perhaps
// followed by x5 for five of it; or words, each perhaps with x5 at its end.
func expand(s string) ([]string, error) {
	if s == "" {
		return []string{""}, nil
	}
	if s[0] == '{' || s[0] == '[' || s[0] == '"' {
		if body, n, ok := times(s); ok && strings.HasSuffix(body, " ") {
			return repeat(nil, strings.TrimSpace(body), n)
		}
		return []string{s}, nil
	}
	var all []string
	for _, word := range strings.Fields(s) {
		body, n, ok := times(word)
		if !ok {
			body, n = word, 1
		}
		var err error
		if all, err = repeat(all, body, n); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// times splits 20x5 into 20 and 5.
func times(s string) (body string, n int, ok bool) {
	i := strings.LastIndexByte(s, 'x')
	if i <= 0 {
		return s, 1, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return s[:i], n, err == nil && n > 0
}

func repeat(dst []string, s string, n int) ([]string, error) {
	if n > MessagesMax {
		return nil, fmt.Errorf("more than %d messages", MessagesMax)
	}
	for range n {
		dst = append(dst, s)
	}
	return dst, nil
}
