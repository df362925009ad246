package topics

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every topic of up to five levels, with a name that no filter has.
func topicsToTry() []string { return all([]string{"a", "", "$x", "other"}, "", 5) }

// setOf returns a set, and the filters in it.
func setOf(filters ...string) *Set {
	var s Set
	for _, f := range filters {
		s.Add(strings.Split(f, "/"))
	}
	return &s
}

func TestASetCoversAFilterIfItHasAllTopicsOfIt(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := topicsToTry()
	pool := all([]string{"a", "", "$x", "+"}, "#", 3)
	pick := func() string { return pool[random.IntN(len(pool))] }
	covered := 0
	for range 10_000 {
		filters := make([]string, random.IntN(5))
		for i := range filters {
			filters[i] = pick()
		}
		filter := pick()
		s := setOf(filters...)
		missing := slices.IndexFunc(names, func(topic string) bool {
			in := slices.ContainsFunc(filters, func(f string) bool { return matches(f, topic) })
			if got := s.Has(topic); got != in {
				t.Fatalf("set %q, topic %q: got %v, want %v", filters, topic, got, in)
			}
			return matches(filter, topic) && !in
		})
		if got, want := s.Covers(filter), missing < 0; got != want {
			t.Fatalf("set %q, filter %q: got %v, want %v", filters, filter, got, want)
		}
		if missing < 0 {
			covered++
		}
	}
	if covered < 100 {
		t.Errorf("only %d filters were covered: the test shows little", covered)
	}
}

func TestSeveralFiltersCoverWhatNoneDoesAlone(t *testing.T) {
	for _, c := range []struct {
		set    []string
		filter string
		want   bool
	}{
		{[]string{"a", "a/+", "a/+/+/#"}, "a/#", true},
		{[]string{"a", "a/+/#"}, "a/#", true},
		{[]string{"a/+", "a/+/+/#"}, "a/#", false},
		{[]string{"+/#"}, "#", true},
		{[]string{"#"}, "$SYS/#", false},
		{[]string{"#", "$SYS/#"}, "$SYS/+/clients", true},
		{[]string{"a/b", "a/c"}, "a/+", false},
		{nil, "a", false},
	} {
		if got := setOf(c.set...).Covers(c.filter); got != c.want {
			t.Errorf("%q covers %q: got %v, want %v", c.set, c.filter, got, c.want)
		}
	}
}
