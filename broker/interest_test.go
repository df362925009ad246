package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline/topics"
)

func TestInterestAgreesWithEveryFilterAskedAlone(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	levels := func(names ...string) string {
		var l []string
		for range 1 + random.IntN(4) {
			l = append(l, names[random.IntN(len(names))])
		}
		if s := strings.Join(l, "/"); s != "" {
			return s
		}
		return "a"
	}
	type subscription struct{ client, filter string }
	i := newInterest()
	open := map[subscription]*topics.Filter{}
	for range 20_000 {
		s := subscription{fmt.Sprint("c", random.IntN(3)), levels("a", "b", "", "+", "$x")}
		if random.IntN(3) == 0 {
			s.filter += "/#"
		}
		f, err := topics.ParseFilter(s.filter)
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(4) == 0 {
			s.filter = "$share/g/" + s.filter
		}
		if random.IntN(2) == 0 || len(open) > 12 {
			for s = range open { // one that is there
				break
			}
			i.remove(s.client, s.filter)
			delete(open, s)
		} else {
			i.add(s.client, s.filter)
			open[s] = f
		}
		topic := levels("a", "b", "", "$x", "c")
		want := false
		for _, f := range open {
			want = want || f.Match(topic)
		}
		if got := i.any(topic); got != want {
			t.Fatalf("%q with %v: got %v, want %v", topic, open, got, want)
		}
		if int(i.n.Load()) != len(open) {
			t.Fatalf("counts %d, want %d", i.n.Load(), len(open))
		}
	}
	for s := range open {
		i.remove(s.client, s.filter)
		i.remove(s.client, s.filter)
	}
	if len(i.root.children) != 0 || i.n.Load() != 0 {
		t.Errorf("something is left: %+v", i.root)
	}
}

func TestAskingForInterestAllocatesNothing(t *testing.T) {
	i := newInterest()
	i.add("c", "plant/+/motor/#")
	i.add("c", "other/a")
	if n := testing.AllocsPerRun(100, func() {
		if !i.any("plant/1/motor/x") || i.any("other/b") {
			t.Error("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestValidTopicAgreesWithTheTopicsPackage(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	parts := []string{"a", "/", "/", "plant", "+", "#", "ü", "\xff", "\x00", " ", "\x1f", "~", "{}", strings.Repeat("x", 100), "$SYS", "\u007f", "/////////"}
	for range 50_000 {
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		topic := b.String()
		if got, want := validTopic(topic), topics.ValidTopic([]byte(topic)) == nil; got != want {
			t.Fatalf("%q: got %v, want %v", topic, got, want)
		}
	}
}

func TestAWindowKeepsOrderAndItsLimits(t *testing.T) {
	w := window{max: 2}
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("1 goes", w.admit(1, 10, false), true)
	check("2 goes", w.admit(2, 10, false), true)
	check("3 waits", w.admit(3, 10, true), false)
	check("4 waits", w.admit(4, 10, false), false)
	_, ok := w.next()
	check("none is let go while the window is full", ok, false)
	w.done(2)
	h, ok := w.next()
	check("3 is let go", ok && h == held{3, true}, true)
	check("5 waits behind 3 and 4", w.admit(5, 10, false), false)
	_, ok = w.next()
	check("one at a time", ok, false)
	check("3 goes", w.admit(3, 10, true), true)
	w.done(1)
	w.done(3)
	h, _ = w.next()
	check("4 is next", h.id, uint16(4))
	w.done(4) // it could not be written
	h, _ = w.next()
	check("5 is next", h.id, uint16(5))
	check("5 goes", w.admit(5, unackedBytesMax, false), true)
	check("6 waits: too many bytes", w.admit(6, 1, false), false)
	w.done(5)
	w.done(5)
	check("bytes", w.bytes, 0)
	check("a message larger than the window goes alone", (&window{max: 9}).admit(1, 2*unackedBytesMax, false), true)
}
