package functions

import (
	"fmt"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// benchBatch is n rows of 50 keys, 1 ms apart.
func benchBatch(keys *pipeline.Keys, n int) *pipeline.Batch {
	b := pipeline.NewBatch(readings, keys)
	var all []reading
	for i := range n {
		all = append(all, reading{time: int64(i) * 1000, key: fmt.Sprintf("d%02d", i%50), value: 20 + float64(i%7)})
	}
	fill(b, all, 0)
	return b
}

// run measures what a stage costs for a row, with the copy of the input that
// stands for a decoder.
func run(b *testing.B, n int, keys *pipeline.Keys, s pipeline.Stage) {
	src, in := benchBatch(keys, n), pipeline.NewBatch(readings, keys)
	marks := &pipeline.Marks{Idle: -1}
	in.CopyFrom(src)
	marks.Observe(in)
	src.CopyFrom(in)
	var out pipeline.Outputs
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		step := int64(n) * 1000
		for i := range src.Time {
			src.Time[i] += step
			src.Mark[i] += step
		}
		in.CopyFrom(src)
		out.Main = nil
		if err := s.Process(in, &out); err != nil {
			b.Fatal(err)
		}
		rows += n
	}
	if len(out.Dead) > 0 || out.Late != nil {
		b.Fatalf("%d rows dead, late %v", len(out.Dead), out.Late)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}

type nothing struct{}

// Process hands the batch on.
func (nothing) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	out.Main = in
	return nil
}

func BenchmarkShipped(b *testing.B) {
	r := newRuntime(b, Options{})
	for _, n := range []int{256, 16} {
		keys := pipeline.NewKeys(1000)
		b.Run(fmt.Sprintf("copy/%d", n), func(b *testing.B) { run(b, n, keys, nothing{}) })
		for name, with := range map[string]map[string]float64{"zscore": nil, "threshold": {"above": 23}, "rate-of-change": nil} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				run(b, n, keys, bind(b, load(b, r, name), Binding{With: with}, readings, keys))
			})
		}
		b.Run(fmt.Sprintf("window/%d", n), func(b *testing.B) {
			run(b, n, keys, newWindow(b, r, keys, "mean", "min", "max", "count"))
		})
		b.Run(fmt.Sprintf("window-p95/%d", n), func(b *testing.B) {
			run(b, n, keys, newWindow(b, r, keys, "quantile"))
		})
	}
}

// newWindow is a window of a second over value, with a column for each op.
func newWindow(t testing.TB, r *Runtime, keys *pipeline.Keys, ops ...string) *Window {
	t.Helper()
	return newWindowOf(t, r, keys, pipeline.Window{Size: 1e6, PanesMax: 64}, ops...)
}

// newWindowOf is a window over value, with a column for each op.
func newWindowOf(t testing.TB, r *Runtime, keys *pipeline.Keys, rule pipeline.Window, ops ...string) *Window {
	t.Helper()
	c := WindowConfig{Stage: "window", Window: rule, Key: []string{"line", "device"}}
	for _, op := range ops {
		a := Aggregate{Name: op, Op: op, Column: "value"}
		switch op {
		case "quantile":
			a.Arg = 0.95
		case "rate":
			a.Arg = 1
		case "integral":
			a.Arg = 3600
		case "top":
			a.Arg = 3
		}
		c.Aggregates = append(c.Aggregates, a)
	}
	w, err := r.NewWindow(t.Context(), c, readings, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(t.Context()) })
	return w
}

// What each kind of window costs for a row of 50 keys that speak each 50 ms.
func BenchmarkWindow(b *testing.B) {
	r := newRuntime(b, Options{})
	for _, c := range []struct {
		name string
		rule pipeline.Window
	}{
		{"tumbling", pipeline.Window{Size: 1e6, PanesMax: 64}},
		{"early", pipeline.Window{Size: 1e6, Early: 200_000, PanesMax: 64}},
		{"hopping-5", pipeline.Window{Kind: pipeline.Hopping, Size: 1e6, Every: 200_000, PanesMax: 64}},
		{"hopping-10", pipeline.Window{Kind: pipeline.Hopping, Size: 10e6, Every: 1e6, PanesMax: 64}},
		{"hopping-60", pipeline.Window{Kind: pipeline.Hopping, Size: 60e6, Every: 1e6, PanesMax: 64}},
		{"sliding-20", pipeline.Window{Kind: pipeline.Sliding, Size: 1e6, PanesMax: 64}},
		{"sliding-600", pipeline.Window{Kind: pipeline.Sliding, Size: 30e6, PanesMax: 1000}},
		{"session", pipeline.Window{Kind: pipeline.Session, Size: 1e6, PanesMax: 64}},
		{"counted", pipeline.Window{Kind: pipeline.Counted, Size: 20, PanesMax: 64}},
		{"counted-4", pipeline.Window{Kind: pipeline.Counted, Size: 20, Every: 5, PanesMax: 64}},
	} {
		keys := pipeline.NewKeys(1000)
		b.Run(c.name, func(b *testing.B) {
			run(b, 256, keys, newWindowOf(b, r, keys, c.rule, "mean", "min", "max", "count"))
		})
	}
	for _, op := range []string{"variance", "rate", "integral", "distinct", "top", "quantile"} {
		keys := pipeline.NewKeys(1000)
		b.Run(op, func(b *testing.B) { run(b, 256, keys, newWindow(b, r, keys, op)) })
		b.Run(op+"-hopping", func(b *testing.B) {
			run(b, 256, keys, newWindowOf(b, r, keys, pipeline.Window{Kind: pipeline.Hopping, Size: 10e6, Every: 1e6, PanesMax: 64}, op))
		})
	}
}
