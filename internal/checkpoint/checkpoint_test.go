package checkpoint

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// edit returns a content that differs from old in some places.
func edit(random *rand.Rand, old []byte) []byte {
	now := slices.Clone(old)
	for range random.IntN(6) {
		at := random.IntN(len(now) + 1)
		part := make([]byte, random.IntN(100))
		for k := range part {
			part[k] = byte(random.IntN(3)) // so that blocks are alike
		}
		switch random.IntN(4) {
		case 0:
			now = slices.Insert(now, at, part...)
		case 1:
			now = slices.Delete(now, at, min(len(now), at+len(part)))
		case 2:
			copy(now[at:], part)
		default:
			to := random.IntN(len(now) + 1)
			now = slices.Insert(now, to, slices.Clone(now[at:min(len(now), at+1000)])...)
		}
	}
	return now
}

// read returns the state that a body leads to.
func read(t *testing.T, body []byte, old []Section, base uint64) (State, []Section) {
	t.Helper()
	s, err := Read(body)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Apply(old, base)
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

func TestChangesLeadFromOneStateToTheNext(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		var old []Section
		for k := range 1 + random.IntN(4) {
			content := make([]byte, random.IntN(3000))
			for i := range content {
				content[i] = byte(random.IntN(256))
			}
			old = append(old, Section{fmt.Sprint("section ", k), content})
		}
		_, have := read(t, AppendWhole(nil, 7, old), nil, 0)
		if !Same(have, old) {
			t.Fatal("a whole state is not read as it was written")
		}
		for step := range uint64(10) {
			var now []Section
			for _, s := range old {
				now = append(now, Section{s.Name, edit(random, s.Content)})
			}
			if random.IntN(3) == 0 {
				now = append(now, Section{fmt.Sprint("new ", step), []byte("x")})
			}
			random.Shuffle(len(now), func(a, b int) { now[a], now[b] = now[b], now[a] })
			s, got := read(t, AppendChanges(nil, 8+step, now, 7+step, old), have, 7+step)
			if !Same(got, now) || s.Applied != 8+step || s.Whole() || !s.Has() {
				t.Fatalf("changes do not lead to the state that they were made for: %+v", s)
			}
			old, have = now, got
		}
	}
}

func TestChangesOfALargeStateAreSmall(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	old := make([]byte, 1<<20)
	for i := range old {
		old[i] = byte(random.Uint32())
	}
	for _, c := range []struct {
		what string
		now  []byte
		most int
	}{
		{"nothing", old, 20},
		{"a byte in every page", func() []byte {
			now := slices.Clone(old)
			for i := 0; i < len(now); i += 4096 {
				now[i]++
			}
			return now
		}(), 256 * 10},
		{"a byte more at the beginning", append([]byte{1}, old...), 20 + blockBytes},
		{"a page less in the middle", slices.Concat(old[:500_000], old[504_096:]), 20 + blockBytes},
		{"the halves the other way round", slices.Concat(old[1<<19:], old[:1<<19]), 20 + blockBytes},
	} {
		got := len(AppendChanges(nil, 2, []Section{{"s", c.now}}, 1, []Section{{"s", old}}))
		if got > c.most {
			t.Errorf("%s: got %d bytes, want at most %d", c.what, got, c.most)
		}
	}
}

func TestABodyWithoutAStateSaysHowFarItIs(t *testing.T) {
	s, err := Read(Append(nil, 12345))
	if err != nil || s.Applied != 12345 || s.Has() {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	old := []Section{{"a", bytes.Repeat([]byte("abcdefghijklmnop"), 100)}}
	now := []Section{{"a", append([]byte("xyz"), old[0].Content...)}}
	body := AppendChanges(nil, 9, now, 5, old)
	s, err := Read(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(old, 4); err == nil {
		t.Error("changes were taken against another state")
	}
	for n := range body {
		s, err := Read(body[:n])
		if err == nil {
			_, err = s.Apply(old, 5)
		}
		if err == nil {
			t.Errorf("%d of %d bytes were taken for the whole", n, len(body))
		}
	}
	if _, err := Read(append([]byte{format + 1}, body[1:]...)); err == nil {
		t.Error("another format was taken")
	}
}

func FuzzApply(f *testing.F) {
	old := []Section{{"a", bytes.Repeat([]byte("0123456789"), 30)}, {"b", nil}}
	now := []Section{{"a", append([]byte("x"), old[0].Content...)}, {"b", []byte("new")}}
	f.Add(AppendWhole(nil, 1, old))
	f.Add(AppendChanges(nil, 2, now, 1, old))
	f.Add(Append(nil, 3))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Read(body)
		if err != nil || !s.Has() {
			return
		}
		all, err := s.Apply(old, 1)
		if err != nil {
			return
		}
		_, again := read(t, AppendChanges(nil, 5, all, 1, old), old, 1)
		if !Same(again, all) {
			t.Error("a state that was read is not written as it is")
		}
	})
}

func benchmark(b *testing.B, now, old []byte) {
	var dst []byte
	b.SetBytes(int64(len(now)))
	for b.Loop() {
		dst = AppendChanges(dst[:0], 2, []Section{{"s", now}}, 1, []Section{{"s", old}})
	}
	b.ReportMetric(float64(len(dst)), "B/checkpoint")
}

// BenchmarkChanges writes the changes of 1 MiB of state.
func BenchmarkChanges(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(p []byte) []byte {
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		return p
	}
	old := fill(make([]byte, 1<<20))
	pages := slices.Clone(old)
	for i := 0; i < len(pages); i += 10 * 4096 {
		fill(pages[i : i+4096])
	}
	b.Run("none", func(b *testing.B) { benchmark(b, old, old) })
	b.Run("a tenth of the pages", func(b *testing.B) { benchmark(b, pages, old) })
	b.Run("all", func(b *testing.B) { benchmark(b, fill(make([]byte, 1<<20)), old) })
}
