package topics

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// matches is MQTT 5 section 4.7 read aloud, level by level, with nothing compiled.
func matches(filter, topic string) bool {
	if topic == "" || topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false // [MQTT-4.7.2-1]
	}
	return levelsMatch(strings.Split(filter, "/"), strings.Split(topic, "/"))
}

func levelsMatch(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return true // "includes the parent level and any number of child levels"
	case len(topic) == 0:
		return false
	case filter[0] != "+" && filter[0] != topic[0]:
		return false
	}
	return levelsMatch(filter[1:], topic[1:])
}

// all returns every path of one to depth levels taken from words; last may
// stand only at the end.
func all(words []string, last string, depth int) []string {
	var found []string
	level := []string{""}
	for d := range depth {
		var next []string
		for _, before := range level {
			for _, w := range words {
				path := before + "/" + w
				if d == 0 {
					path = w
				}
				next = append(next, path)
			}
			if last != "" {
				path := before + "/" + last
				if d == 0 {
					path = last
				}
				found = append(found, path)
			}
		}
		level = next
		found = append(found, level...)
	}
	return slices.DeleteFunc(found, func(s string) bool { return s == "" })
}

var (
	allTopics  = all([]string{"a", "b", "", "$x"}, "", 4)
	allFilters = all([]string{"a", "b", "", "$x", "+"}, "#", 3)
)

func TestFiltersMatchAsTheSpecificationSays(t *testing.T) {
	for _, f := range allFilters {
		parsed, err := ParseFilter(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range allTopics {
			if got, want := parsed.Match(topic), matches(f, topic); got != want {
				t.Fatalf("filter %q, topic %q: got %v, want %v", f, topic, got, want)
			}
		}
	}
}

// The examples of MQTT 5 section 4.7, in its words.
func TestTheExamplesOfTheSpecification(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"#", "$SYS/broker", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/broker", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"ACCOUNTS", "Accounts", false},
	} {
		f, err := ParseFilter(c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Match(c.topic); got != c.want {
			t.Errorf("filter %q, topic %q: got %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
}

func TestARouterFindsThePipelinesWhoseFiltersMatch(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		filters := make([][]*Filter, random.IntN(8))
		for i := range filters {
			for range 1 + random.IntN(3) {
				f, err := ParseFilter(allFilters[random.IntN(len(allFilters))])
				if err != nil {
					t.Fatal(err)
				}
				filters[i] = append(filters[i], f)
			}
		}
		r := NewRouter(filters)
		for _, topic := range allTopics {
			want := []int32{7}
			for i, list := range filters {
				if slices.ContainsFunc(list, func(f *Filter) bool { return f.Match(topic) }) {
					want = append(want, int32(i))
				}
			}
			if got := r.Match([]int32{7}, []byte(topic)); !slices.Equal(got, want) {
				t.Fatalf("filters %v, topic %q: got %v, want %v", filters, topic, got, want)
			}
		}
	}
	if got := NewRouter(nil).Match(nil, nil); len(got) != 0 {
		t.Errorf("got %v for the empty topic", got)
	}
}

// Two filters overlap exactly when there is a topic that both match; with
// these words a topic of four levels shows it. Only "/#" overlaps more: the
// topic of its parent level would be the empty one, which no message has.
func TestFiltersOverlapWhenATopicMatchesBoth(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		a, b := allFilters[random.IntN(len(allFilters))], allFilters[random.IntN(len(allFilters))]
		if a == "/#" || b == "/#" {
			continue
		}
		want := slices.ContainsFunc(allTopics, func(topic string) bool { return matches(a, topic) && matches(b, topic) })
		if got := Overlap(a, b); got != want {
			t.Fatalf("%q and %q: got %v, want %v", a, b, got, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a/{line}/#", "a/b/c")
	f.Add("+/+", "/")
	f.Add("$share/#", "$share")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		parsed, err := ParseFilter(filter)
		if err != nil || ValidTopic([]byte(topic)) != nil {
			return
		}
		want := matches(parsed.MQTT(), topic)
		if got := parsed.Match(topic); got != want {
			t.Errorf("filter %q, topic %q: got %v, want %v", filter, topic, got, want)
		}
		router := NewRouter([][]*Filter{{parsed}})
		if got := len(router.Match(nil, []byte(topic))) == 1; got != want {
			t.Errorf("router of %q, topic %q: got %v, want %v", filter, topic, got, want)
		}
		if want && !Overlap(parsed.MQTT(), topic) {
			t.Errorf("filter %q and topic %q do not overlap", filter, topic)
		}
	})
}

func BenchmarkRouterOfAThousandPipelines(b *testing.B) {
	var filters [][]*Filter
	for i := range 1000 {
		f, err := ParseFilter("plant/" + strings.Repeat("x", i%30) + string(rune('a'+i%26)) + "/{device}/reading")
		if err != nil {
			b.Fatal(err)
		}
		filters = append(filters, []*Filter{f})
	}
	r := NewRouter(filters)
	topic := []byte("plant/xxxxxxe/m17/reading")
	var dst []int32
	b.ReportAllocs()
	for b.Loop() {
		dst = r.Match(dst[:0], topic)
	}
}
