package functions

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// one sends readings of the key a through a window and returns what it says.
func one(t *testing.T, w *Window, keys *pipeline.Keys, all []reading) *sheet {
	t.Helper()
	b := pipeline.NewBatch(readings, keys)
	fill(b, all, 0)
	(&pipeline.Marks{Idle: -1, Lateness: 1e6}).Observe(b)
	got := &sheet{}
	if err := (&pipeline.Chain{Stages: []pipeline.Stage{w}}).Process(b, got); err != nil {
		t.Fatal(err)
	}
	return got
}

func checkEnd(t *testing.T, got []string, want string) {
	t.Helper()
	if len(got) != 1 || !strings.HasSuffix(got[0], want) {
		t.Errorf("got %q, want one that ends with %q", got, want)
	}
}

func TestAReadingOvertakenBySixteenIsInTheIntegral(t *testing.T) {
	rt := newRuntime(t, Options{})
	for overtaken, want := range map[int]string{1: "integral=0.25", 16: "integral=0.25", 17: "integral=0"} {
		keys := pipeline.NewKeys(10)
		c := WindowConfig{Window: pipeline.Window{Size: 1e6, PanesMax: 1}, Aggregates: []Aggregate{{Name: "integral", Op: "integral", Column: "value", Arg: 1}}}
		w, err := rt.NewWindow(t.Context(), c, readings, keys)
		if err != nil {
			t.Fatal(err)
		}
		all := []reading{{time: 0, key: "a"}}
		for i := range overtaken {
			all = append(all, reading{time: 500_000 + int64(i), key: "a"})
		}
		all = append(all, reading{time: 250_000, key: "a", value: 1}, reading{time: 2e6, key: "a", null: true})
		checkEnd(t, one(t, w, keys, all).main, want)
		w.Close(t.Context())
	}
}

func TestDistinctIsWithinItsBound(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	for _, n := range []int{0, 1, 10, 100, 1000, 5000, 50_000} {
		keys := pipeline.NewKeys(10)
		w := newWindow(t, rt, keys, "distinct")
		all := []reading{{time: 0, key: "a", null: true}}
		base := math.Floor(1e6 * r.Float64())
		for i := range 2 * n { // each twice
			all = append(all, reading{time: 1, key: "a", value: base + float64(i/2)})
		}
		got := one(t, w, keys, append(all, reading{time: 2e6, key: "a"}))
		var have float64
		if _, err := fmt.Sscanf(got.main[0][strings.Index(got.main[0], "distinct="):], "distinct=%g", &have); err != nil {
			t.Fatal(err)
		}
		if off := math.Abs(have - float64(n)); off > 1+0.13*float64(n)*min(1, float64(n)/100) { // more than five standard errors
			t.Errorf("got %v, want %d", have, n)
		}
		w.Close(t.Context())
	}
}

func TestTopFindsWhatIsFrequentAmongMany(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	for name, rule := range map[string]pipeline.Window{
		"one pane": {Size: 1e6, PanesMax: 64},
		"merged":   {Kind: pipeline.Hopping, Size: 1e6, Every: 500_000, PanesMax: 64},
	} {
		keys := pipeline.NewKeys(10)
		w := newWindowOf(t, rt, keys, rule, "top")
		var all []reading
		for i := range 20_000 {
			x := reading{time: int64(i) * 49, key: "a", value: float64(100 + r.IntN(3000))}
			switch r.IntN(10) {
			case 0:
				x.value = 3
			case 1, 2:
				x.value = 2
			case 3, 4, 5:
				x.value = 1
			}
			all = append(all, x)
		}
		got := one(t, w, keys, append(all, reading{time: 2e6, key: "a"}))
		if last := got.main[len(got.main)-1]; !strings.HasSuffix(last, "top=1, 2, 3") {
			t.Errorf("%s: got %s", name, last)
		}
	}
}

func TestTextsOfARankingAreCutAtACharacter(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		strings.Repeat("x", 32):        strings.Repeat("x", 32),
		strings.Repeat("x", 33):        strings.Repeat("x", 32),
		strings.Repeat("x", 31) + "é":  strings.Repeat("x", 31),
		strings.Repeat("x", 30) + "é!": strings.Repeat("x", 30) + "é",
		strings.Repeat("\xbf", 40):     strings.Repeat("\xbf", 28),
	} {
		words := make([]pipeline.Column, itemWords)
		for k := range words {
			words[k] = pipeline.NewColumn(pipeline.Field{Kind: pipeline.Int})
			words[k].AppendInt(wordOf([]byte(text), k))
		}
		if got := string(appendItem(nil, words, 0, pipeline.Text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestASetKnowsEveryKindOfValue(t *testing.T) {
	rt := newRuntime(t, Options{})
	keys := pipeline.NewKeys(10)
	schema := pipeline.Schema{{Name: "i", Kind: pipeline.Int}, {Name: "o", Kind: pipeline.Bool}, {Name: "f", Kind: pipeline.Float}}
	c := WindowConfig{Window: pipeline.Window{Kind: pipeline.Counted, Size: 4, PanesMax: 1}}
	for _, f := range schema {
		c.Aggregates = append(c.Aggregates, Aggregate{Name: "d" + f.Name, Op: "distinct", Column: f.Name},
			Aggregate{Name: "m" + f.Name, Op: "mode", Column: f.Name}, Aggregate{Name: "t" + f.Name, Op: "top", Column: f.Name, Arg: 2})
	}
	w, err := rt.NewWindow(t.Context(), c, schema, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	b := pipeline.NewBatch(schema, keys)
	for i, f := range []float64{math.Copysign(0, -1), 0, math.NaN(), 1.5} {
		b.AppendRow(pipeline.Row{})
		if i == 3 {
			b.Columns[0].AppendNull()
			b.Columns[1].AppendNull()
		} else {
			b.Columns[0].AppendInt(int64(-i / 2))
			b.Columns[1].AppendBool(i > 0)
		}
		b.Columns[2].AppendFloat(f)
	}
	got := &sheet{}
	if err := (&pipeline.Chain{Stages: []pipeline.Stage{w}}).Process(b, got); err != nil {
		t.Fatal(err)
	}
	checkEnd(t, got.main, "di=2 mi=0 ti=0, -1 do=2 mo=true to=true, false df=2 mf=0 tf=0, 1.5")
}

func TestWindowsSpeakWithWhatTheirMemoryHolds(t *testing.T) {
	rt := newRuntime(t, Options{})
	keys := pipeline.NewKeys(1000)
	c := WindowConfig{Stage: "window", Window: pipeline.Window{Kind: pipeline.Sliding, Size: 1e6, PanesMax: 1000}, Limits: Limits{Memory: 256 << 10}}
	c.Aggregates = []Aggregate{{Name: "n", Op: "count"}, {Name: "d", Op: "distinct", Column: "value"}}
	w, err := rt.NewWindow(t.Context(), c, readings, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	var all []reading
	for i := range 300 {
		all = append(all, reading{time: int64(i) * 10, key: "a", value: 1})
	}
	all = append(all, reading{time: 3e6, key: "b"})
	got := one(t, w, keys, all)
	if len(got.dead) == 0 || len(got.dead) >= 300 || !strings.Contains(got.dead[0], "no memory for another key") {
		t.Fatalf("got %d dead letters, %.200v", len(got.dead), got.dead)
	}
	snapshot, err := w.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Limits.Memory = 0
	larger, err := rt.NewWindow(t.Context(), c, readings, pipeline.NewKeys(10))
	if err != nil {
		t.Fatal(err)
	}
	defer larger.Close(t.Context())
	if err := larger.Restore(snapshot); err != nil {
		t.Error(err)
	}
	c.Limits.Memory = 192 << 10
	if smaller, err := rt.NewWindow(t.Context(), c, readings, pipeline.NewKeys(10)); err == nil {
		checkError(t, smaller.Restore(snapshot), "no memory")
		smaller.Close(t.Context())
	}
}

// What a slot holds is the guest's alone: damage in it may stop the window,
// whose error is the pipeline's, and nothing else.
func TestADamagedSnapshotOfAnyWindowDoesNoHarm(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	rules := windowKinds()
	rules["corrected"] = pipeline.Window{Kind: pipeline.Hopping, Size: 1e6, Every: 500_000, Correct: 1e6, PanesMax: 64}
	rules["early"] = pipeline.Window{Kind: pipeline.Session, Size: 110_000, Early: 100_000, PanesMax: 64}
	for name, rule := range rules {
		keys, marks, now := pipeline.NewKeys(10), &pipeline.Marks{Lateness: 150_000, Idle: -1}, int64(1e9)
		w := newKind(t, rt, keys, rule)
		var out pipeline.Outputs
		if err := w.Process(sampleBatch(r, keys, marks, &now, 200), &out); err != nil {
			t.Fatal(err)
		}
		whole, err := w.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		taken := 0
		for range 12 {
			bad, fresh := append([]byte(nil), whole...), newKind(t, rt, keys, rule)
			for range r.IntN(3) {
				bad[r.IntN(len(bad))] ^= byte(1 + r.UintN(255))
			}
			if fresh.Restore(bad) == nil {
				taken++
				at, behind := now, *marks
				if err := fresh.Process(sampleBatch(r, keys, &behind, &at, 100), &out); err != nil && !strings.HasPrefix(err.Error(), "window: trap") {
					t.Fatalf("%s: %v", name, err)
				}
			}
			fresh.Close(t.Context())
		}
		if taken == 0 {
			t.Errorf("%s: not one was taken, not even the whole", name)
		}
	}
}

// The limit that guards against users' functions does not end a window, which
// could not go back.
func TestAWindowTakesTheStepsThatItNeeds(t *testing.T) {
	r := newRuntime(t, Options{})
	keys := pipeline.NewKeys(100)
	c := WindowConfig{
		Stage: "window", Window: pipeline.Window{Size: 1e5, PanesMax: 64}, Key: []string{"line", "device"},
		Aggregates: []Aggregate{{Name: "mean", Op: "mean", Column: "value"}}, Limits: Limits{Steps: 1},
	}
	w, err := r.NewWindow(t.Context(), c, readings, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	in := benchBatch(keys, pipeline.RowsMax)
	copy(in.Mark, in.Time)
	var out pipeline.Outputs
	if err := w.Process(in, &out); err != nil || len(out.Dead) > 0 || out.Main == nil {
		t.Errorf("got error %v, %d dead letters, results %v; want results only", err, len(out.Dead), out.Main)
	}
}
