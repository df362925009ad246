package functions

import (
	"fmt"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// held is a threshold that waits for a second, and what it says to all.
func held(t *testing.T, all []reading, marks *pipeline.Marks, emitAll float64) *sheet {
	t.Helper()
	keys := pipeline.NewKeys(10)
	s := bind(t, load(t, newRuntime(t, Options{}), "threshold"), Binding{With: map[string]float64{"above": 10, "hold": 1, "emit_all": emitAll}, Key: []string{"line", "device"}}, readings, keys)
	b := pipeline.NewBatch(readings, keys)
	fill(b, all, 0)
	marks.Observe(b)
	got := &sheet{}
	chain := &pipeline.Chain{Stages: []pipeline.Stage{s}}
	if err := chain.Process(b, got); err != nil {
		t.Fatal(err)
	}
	marks.Advance(20e6)
	if err := chain.Advance(marks, got); err != nil {
		t.Fatal(err)
	}
	return got
}

const begins = "value=- alarm=true changed=true side=1"

func TestATickComesBeforeTheRowThatMakesItDue(t *testing.T) {
	for at, early := range map[int64]bool{999_999: false, 1_000_000: true, 1_000_001: true} {
		got := held(t, []reading{{0, "a", 50, false}, {at, "a", 0, true}}, &pipeline.Marks{Idle: -1}, 1)
		tick := fmt.Sprintf(`@1+%d 1000000 %d "line-a\x00a" h1 line=line-a device=a %s`, timerBase("steps[0] function threshold"), at, begins)
		if has := len(got.main) == 3; has != early || has && got.main[1] != tick {
			t.Errorf("at %d: got %q, want the tick second: %v, as %s", at, got.main, early, tick)
		}
	}
}

func TestTicksComeInOrderOfTimeThenKey(t *testing.T) {
	base := timerBase("steps[0] function threshold")
	got := held(t, []reading{{3, "a", 50, false}, {1, "c", 50, false}, {1, "b", 50, false}}, &pipeline.Marks{Idle: 0}, 0)
	var want []string
	for i, k := range []string{"b", "c", "a"} {
		at, hop := 1_000_001, 2-i
		if k == "a" {
			at = 1_000_003
		}
		want = append(want, fmt.Sprintf(`@2+%d %d %d "line-%s\x00%s" h%d line=line-%s device=%s %s`, base+uint32(i), at, markAt(k), k, k, hop, k, k, begins))
	}
	sameRows(t, got.main, want)
}

// markAt is the watermark of a key of the test above once the clock says 20 s:
// its reading's time and the silence since the last arrival.
func markAt(key string) int64 {
	if key == "a" {
		return 3 + 20e6 - 8
	}
	return 1 + 20e6 - 8
}

func TestAResultCarriesWhatItsRowsSay(t *testing.T) {
	keys := pipeline.NewKeys(10)
	w := newWindow(t, newRuntime(t, Options{}), keys, "count", "mean")
	b := pipeline.NewBatch(readings, keys)
	fill(b, []reading{{0, "a", 1, false}, {1, "a", 2, false}, {2, "a", 3, false}, {1e6, "a", 0, false}, {5e6, "a", 0, true}}, 100)
	b.Hop = []uint8{0, 7, 0, 1, 2}
	marks := &pipeline.Marks{Lateness: 2e6, Idle: -1}
	marks.Observe(b)
	got := &sheet{}
	chain := &pipeline.Chain{Stages: []pipeline.Stage{w}}
	if err := chain.Process(b, got); err != nil {
		t.Fatal(err)
	}
	marks.Idle = 0
	marks.Advance(50e6)
	if err := chain.Advance(marks, got); err != nil {
		t.Fatal(err)
	}
	const who = `"line-a\x00a"`
	sameRows(t, got.main, []string{
		`@104+0 1000000 3000000 ` + who + ` h7 line=line-a device=a window_start=0 window_end=1000000 count=3 mean=2`,
		`@104+1 2000000 3000000 ` + who + ` h1 line=line-a device=a window_start=1000000 window_end=2000000 count=1 mean=0`,
		`@104+2 6000000 47999995 ` + who + ` h2 line=line-a device=a window_start=5000000 window_end=6000000 count=1 mean=-`,
	})
}

func TestLateRowsAndTooManyPanesAreSetAside(t *testing.T) {
	keys := pipeline.NewKeys(10)
	r := newRuntime(t, Options{})
	c := WindowConfig{Stage: "window", Window: pipeline.Window{Size: 10, PanesMax: 2}, Key: []string{"device"}, Carry: []string{"line"}, Aggregates: []Aggregate{{Name: "n", Op: "count"}}}
	w, err := r.NewWindow(t.Context(), c, readings, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	b := pipeline.NewBatch(readings, keys)
	fill(b, []reading{{0, "a", 1, false}, {10, "a", 1, false}, {20, "a", 1, false}, {5, "b", 1, false}, {30, "b", 1, false}, {6, "b", 1, false}, {11, "a", 1, false}}, 0)
	for i, m := range []int64{0, 5, 5, 0, 25, 25, 5} {
		b.Mark[i] = m
	}
	got := &sheet{}
	if err := (&pipeline.Chain{Stages: []pipeline.Stage{w}}).Process(b, got); err != nil {
		t.Fatal(err)
	}
	sameRows(t, got.main, []string{`@4+0 10 25 "line-b\x00b" h0 device=line-b line=line-b window_start=0 window_end=10 n=1`})
	sameRows(t, got.late, []string{`@5+0 6 25 "line-b\x00b" h2 line=line-b device=b value=1`})
	sameRows(t, got.dead, []string{`@2 window: window: key "line-a a" has 2 panes open, the most is 2`})
}
