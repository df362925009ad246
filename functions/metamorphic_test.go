package functions

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// An event is a reading, or time that passes without one.
type event struct {
	reading
	advance int64 // the time on the clock; 0: a reading
}

// events are readings of a few keys, out of order, some without a value, with
// steps, silences and time passing.
func events(r *rand.Rand, n int) []event {
	var all []event
	now, level := int64(1e9), 0.0
	for range n {
		now += r.Int64N(100_000)
		switch r.IntN(60) {
		case 0:
			level = 40 * r.Float64()
		case 1:
			now += 2_000_000
			all = append(all, event{advance: now + 10})
			continue
		case 2:
			now += 500_000
		}
		value := level + r.NormFloat64()
		all = append(all, event{reading: reading{now - r.Int64N(600_000), fmt.Sprintf("m%d", r.IntN(7)), value, r.IntN(20) == 0}})
	}
	return append(all, event{advance: now + 10_000_000})
}

type chainOf func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage

// play sends events through a chain, cut into batches of the sizes that cut
// gives; where stop says so, everything is put down as snapshots and taken up
// by new stages whose keys have other codes.
func play(t *testing.T, build chainOf, all []event, cut func() int, stop func() bool, r *rand.Rand) *sheet {
	t.Helper()
	keys := pipeline.NewKeys(100)
	marks := &pipeline.Marks{Lateness: 300_000, Idle: 1_000_000}
	chain := &pipeline.Chain{Stages: build(t, keys)}
	got := &sheet{}
	for from := 0; from < len(all); {
		to := step(t, keys, marks, chain, all, from, cut(), got)
		from = to
		if !stop() {
			continue
		}
		keys = pipeline.NewKeys(100)
		for _, k := range r.Perm(7) {
			keys.Code(fmt.Appendf(nil, "line-m\x00m%d", k))
		}
		marks = &pipeline.Marks{Lateness: 300_000, Idle: 1_000_000}
		for at := 0; at < to; {
			at = step(t, keys, marks, &pipeline.Chain{}, all[:to], at, 10, &sheet{})
		}
		chain = &pipeline.Chain{Stages: again(t, chain.Stages, build(t, keys))}
	}
	return got
}

// again restores snapshots of old in fresh.
func again(t *testing.T, old, fresh []pipeline.Stage) []pipeline.Stage {
	t.Helper()
	for i := range old {
		from, ok := old[i].(pipeline.Snapshotter)
		if !ok {
			continue
		}
		snapshot, err := from.Snapshot(nil)
		if err == nil {
			err = fresh[i].(pipeline.Snapshotter).Restore(snapshot)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fresh
}

// step takes at most n readings, or one passing of time, from all.
func step(t *testing.T, keys *pipeline.Keys, marks *pipeline.Marks, chain *pipeline.Chain, all []event, from, n int, got *sheet) int {
	t.Helper()
	if at := all[from].advance; at > 0 {
		marks.Advance(at)
		if err := chain.Advance(marks, got); err != nil {
			t.Fatal(err)
		}
		return from + 1
	}
	to := from
	var some []reading
	for to < len(all) && to-from < n && all[to].advance == 0 {
		some = append(some, all[to].reading)
		to++
	}
	b := pipeline.NewBatch(readings, keys)
	fill(b, some, uint64(from))
	marks.Observe(b)
	if err := chain.Process(b, got); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestBatchingAndRestartsDoNotShow(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	window := func(t *testing.T, keys *pipeline.Keys) *Window {
		return newWindow(t, rt, keys, "mean", "min", "max", "count", "stddev", "first", "last", "quantile")
	}
	function := func(name string, b Binding) chainOf {
		b.Key = []string{"line", "device"}
		m := load(t, rt, name)
		return func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage {
			return []pipeline.Stage{bind(t, m, b, readings, keys)}
		}
	}
	zscore, threshold := load(t, rt, "zscore"), load(t, rt, "threshold")
	for name, build := range map[string]chainOf{
		"window":         func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage { return []pipeline.Stage{window(t, keys)} },
		"zscore":         function("zscore", Binding{With: map[string]float64{"warmup": 5, "relearn": 20}}),
		"threshold":      function("threshold", Binding{With: map[string]float64{"above": 20, "hysteresis": 2, "hold": 0.4, "emit_all": 0}}),
		"rate-of-change": function("rate-of-change", Binding{With: map[string]float64{"limit": 3}}),
		"three": func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage {
			w := window(t, keys)
			key := []string{"line", "device"}
			z := bind(t, zscore, Binding{Input: map[string]string{"value": "mean"}, With: map[string]float64{"warmup": 3}, Key: key}, w.Schema(), keys)
			a := bind(t, threshold, Binding{Input: map[string]string{"value": "mean"}, With: map[string]float64{"above": 20, "hold": 2.5}, Key: key}, z.Schema(), keys)
			return []pipeline.Stage{w, z, a}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				hides(t, r, build, 1200)
			}
		})
	}
}

// hides plays the same events cut and stopped in several ways.
func hides(t *testing.T, r *rand.Rand, build chainOf, n int) {
	t.Helper()
	all := events(r, n)
	never := func() bool { return false }
	want := play(t, build, all, func() int { return 256 }, never, r)
	if len(want.main) < 20 {
		t.Fatalf("only %d results: nothing is shown", len(want.main))
	}
	for _, stop := range []func() bool{never, func() bool { return r.IntN(20) == 0 }} {
		for _, cut := range []func() int{func() int { return 1 + r.IntN(4) }, func() int { return 1 + r.IntN(400) }} {
			got := play(t, build, all, cut, stop, r)
			sameRows(t, got.main, want.main)
			slices.Sort(got.late)
			slices.Sort(want.late)
			sameRows(t, got.late, want.late)
			sameRows(t, got.dead, want.dead)
		}
	}
}

func TestNoWindowShowsBatchesAndRestarts(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	for name, rule := range map[string]pipeline.Window{
		"early and corrected": {Size: 1e6, Early: 200_000, Correct: 1e6, PanesMax: 64},
		"early and hopping":   {Kind: pipeline.Hopping, Size: 1e6, Every: 250_000, Early: 150_000, PanesMax: 64},
		"hopping":             {Kind: pipeline.Hopping, Size: 1e6, Every: 300_000, PanesMax: 64},
		"corrected":           {Kind: pipeline.Hopping, Size: 500_000, Every: 250_000, Correct: 1e6, PanesMax: 64},
		"sliding":             {Kind: pipeline.Sliding, Size: 800_000, PanesMax: 5},
		"session":             {Kind: pipeline.Session, Size: 200_000, Early: 300_000, PanesMax: 64},
		"counted":             {Kind: pipeline.Counted, Size: 10, Every: 4, PanesMax: 64},
	} {
		t.Run(name, func(t *testing.T) {
			hides(t, r, func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage {
				return []pipeline.Stage{newWindowOf(t, rt, keys, rule, "count", "mean", "quantile", "stddev", "last", "integral", "distinct", "top")}
			}, 700)
		})
	}
}

func sameRows(t *testing.T, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("result %d:\ngot  %s\nwant %s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("got %d results, want %d", len(got), len(want))
	}
}

func TestResultsHaveOffsetsAndOrdinalsOfTheirOwn(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	m := load(t, rt, "threshold")
	got := play(t, func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage {
		w := newWindow(t, rt, keys, "mean")
		b := Binding{Input: map[string]string{"value": "mean"}, With: map[string]float64{"above": 5, "hold": 1.5}, Key: []string{"line", "device"}}
		return []pipeline.Stage{w, bind(t, m, b, w.Schema(), keys)}
	}, events(r, 2000), func() int { return 100 }, func() bool { return false }, r)
	seen := map[string]bool{}
	ticks := 0
	for i, row := range got.main {
		var id string
		fmt.Sscan(row, &id)
		if seen[id] {
			t.Fatalf("%s is there twice: %s\nin %s", id, row, strings.Join(got.main[max(0, i-6):i+1], "\n"))
		}
		seen[id] = true
		if len(id) > 12 {
			ticks++
		}
	}
	if ticks == 0 {
		t.Error("no timer made a row: nothing is shown")
	}
}
