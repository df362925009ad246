package script

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestALineStandsForItsMessages(t *testing.T) {
	for _, c := range []struct {
		line string
		want []event
	}{
		{"", nil},
		{"# a comment", nil},
		{"10s", []event{{at: 10 * time.Second}}},
		{"1s m1/temp 20", []event{{time.Second, "m1/temp", "20"}}},
		{"1s  m1/temp  20x2 30", []event{{time.Second, "m1/temp", "20"}, {time.Second, "m1/temp", "20"}, {time.Second, "m1/temp", "30"}}},
		{`0s..2s/1s a {"v": 1}`, []event{{0, "a", `{"v": 1}`}, {time.Second, "a", `{"v": 1}`}, {2 * time.Second, "a", `{"v": 1}`}}},
		{`0s a {"v": "x3"} x2`, []event{{0, "a", `{"v": "x3"}`}, {0, "a", `{"v": "x3"}`}}},
		{"0s a", []event{{0, "a", ""}}},
		{"-1s a box", []event{{-time.Second, "a", "box"}}},
	} {
		s := &script{}
		if err := s.parseLine(c.line); err != nil || !slices.Equal(s.events, c.want) {
			t.Errorf("%q: got %v and %v, want %v", c.line, s.events, err, c.want)
		}
	}
}

func TestMistakesAreToldWithTheirLine(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"", "at least the sections"},
		{"-- in --\n", "at least the sections"},
		{"-- in --\n-- out --\n-- in --\n", `line 3: section "in" appears twice`},
		{"a comment\n-- inn --\n-- out --\n", `line 2: unknown section "inn"`},
		{"-- in --\n0s a 1\nsoon a 1\n-- out --\n", `line 3: "soon" is not a time`},
		{"-- in --\n0s..9s a 1\n-- out --\n", `line 2: "0s..9s" is not a span of time`},
		{"-- in --\n9s..0s/1s a 1\n-- out --\n", "is not a span of time"},
		{"-- in --\n0s..1s/0s a 1\n-- out --\n", "is not a span of time"},
		{"-- in --\n0s..9000h/1us a 1\n-- out --\n", "line 2: more than 1000000 messages"},
		{"-- in --\n0s a 1x1000001\n-- out --\n", "line 2: more than 1000000 messages"},
	} {
		_, err := parse([]byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.src, err, c.want)
		}
	}
}

func TestTheCommentMayNameThePipeline(t *testing.T) {
	s, err := parse([]byte("A test.\n\npipeline: motors\n\n-- in --\n-- out --\n# nothing\n 10s   a   b\n"))
	if err != nil || s.pipeline != "motors" || !slices.Equal(s.want["out"], []string{"10s a   b"}) {
		t.Errorf("got pipeline %q, out %q and %v", s.pipeline, s.want["out"], err)
	}
}

func TestTimesInPayloadsFollowTheLine(t *testing.T) {
	got := substitute("$s $ms $us $rfc3339 $x", 1500*time.Millisecond)
	if want := "1767225601 1767225601500 1767225601500000 2026-01-01T00:00:01.5Z $x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("-- in --\n0s..2s/1s a 1x3\n-- out --\n"))
	f.Add([]byte("pipeline: x\n-- in --\n1s a {\"v\":1} x2\n-- dead --\n-- out --\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := parse(src)
		if err == nil && len(s.events) > MessagesMax+1 {
			t.Errorf("%d events", len(s.events))
		}
	})
}
