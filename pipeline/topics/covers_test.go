package topics

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestAFilterCoversAnotherIfItMatchesAllThatTheOtherDoes(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	random := func(words []string, end bool) string {
		var levels []string
		for range 1 + r.IntN(3) {
			levels = append(levels, words[r.IntN(len(words))])
		}
		if end && r.IntN(3) == 0 {
			levels = append(levels, "#")
		}
		return strings.Join(levels, "/")
	}
	covered, not := 0, 0
	for range 20_000 {
		a, b := random([]string{"a", "b", "+", "$a"}, true), random([]string{"a", "b", "+", "$a"}, true)
		if strings.HasPrefix(a, "#/") || strings.HasPrefix(b, "#/") {
			continue
		}
		f, err := ParseFilter(a)
		if err != nil {
			t.Fatal(err)
		}
		want := true
		for _, topic := range samples(b) {
			want = want && f.Match(topic)
		}
		if got := Covers(a, b); got != want {
			t.Fatalf("seed %d: Covers(%q, %q): got %v, want %v", seed, a, b, got, want)
		}
		if want {
			covered++
		} else {
			not++
		}
	}
	if covered < 100 || not < 100 {
		t.Errorf("got %d pairs that cover, %d that do not", covered, not)
	}
}

// samples returns topics that match the filter, among them those that match
// as little else as can be.
func samples(filter string) []string {
	s := strings.ReplaceAll(filter, "+", "other")
	base, more := strings.CutSuffix(s, "#")
	if !more {
		return []string{s}
	}
	return []string{strings.TrimSuffix(base, "/"), base + "other", base + "other/one", base + "other/one/more"}
}

func TestALevelCanBeAWholeTopic(t *testing.T) {
	for _, c := range []struct{ template, topic, want, filter string }{
		{"site7/{topic}", "plant/a/temp", "site7/plant/a/temp", "site7/#"},
		{"{topic}", "plant/a", "plant/a", "#"},
		{"{topic}/copy", "plant/a", "plant/a/copy", "#"},
		{"a/{b}/{topic}", "c/d", "a/x/c/d", "a/+/#"},
		{"a/copy-{topic}", "c/d", "a/copy-c/d", "a/#"},
	} {
		template, err := CompileTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := template.Append(nil, func(name string) ([]byte, bool) {
			if name == "topic" {
				return []byte(c.topic), true
			}
			return []byte("x"), true
		})
		if err != nil || string(got) != c.want || template.Filter() != c.filter {
			t.Errorf("%s: got %q (%s), %v, want %q (%s)", c.template, got, template.Filter(), err, c.want, c.filter)
		}
	}
	template, err := CompileTemplate("x/{topic}")
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"", "a/+", "a/#", "a\x00", strings.Repeat("a", BytesMax), strings.Repeat("a/", LevelsMax)} {
		if got, err := template.Append(nil, func(string) ([]byte, bool) { return []byte(topic), true }); err == nil {
			t.Errorf("%.20q: got %.20q, want an error", topic, got)
		}
	}
}
