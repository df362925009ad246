package steps

import (
	"fmt"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// BenchmarkSteps sends full batches of readings of 100 devices through each
// step. What a step changes in place is copied anew for each batch, which is
// measured alone, too (nothing).
func BenchmarkSteps(b *testing.B) {
	all := makers()
	all["nothing"] = func(*pipeline.Keys) []pipeline.Stage { return []pipeline.Stage{nothing{}} }
	for name, make := range all {
		b.Run(name, func(b *testing.B) {
			keys := pipeline.NewKeys(1000)
			stages := make(keys)
			source, batch := pipeline.NewBatch(readings, keys), pipeline.NewBatch(readings, keys)
			r := seeded(b)
			for i := range pipeline.RowsMax {
				fill(source, row{offset: uint64(i), device: fmt.Sprint("m", r.IntN(100)), values: []any{r.Float64(), r.IntN(100), fmt.Sprint("s", r.IntN(9)), true, 50 + r.Float64(), 8 + r.Float64()}})
			}
			var out pipeline.Outputs
			at := int64(0)
			turn := func() {
				for i := range source.Time {
					at += 10_000
					source.Time[i], source.Arrived[i], source.Mark[i] = at, at, at
				}
				batch.CopyFrom(source)
				rows := batch
				for _, s := range stages {
					if err := s.Process(rows, &out); err != nil {
						b.Fatal(err)
					}
					rows = out.Main
				}
			}
			for range 500 { // until all memory is there
				turn()
			}
			b.ReportAllocs()
			for b.Loop() {
				turn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pipeline.RowsMax), "ns/row")
		})
	}
}

type nothing struct{}

func (nothing) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	out.Main = in
	return nil
}

func TestNoStepAllocatesForRows(t *testing.T) {
	for name, make := range makers() {
		keys := pipeline.NewKeys(1000)
		stages := make(keys)
		source, batch := pipeline.NewBatch(readings, keys), pipeline.NewBatch(readings, keys)
		for i := range pipeline.RowsMax {
			fill(source, row{at: int64(i), offset: uint64(i), device: fmt.Sprint("m", i%50), values: []any{float64(i % 7), i % 3, "up", true, 50.0, 8.0}})
		}
		var out pipeline.Outputs
		got := testing.AllocsPerRun(300, func() {
			for i := range source.Time {
				source.Time[i] += 3e6
				source.Arrived[i], source.Mark[i] = source.Time[i], source.Time[i]
			}
			batch.CopyFrom(source)
			rows := batch
			for _, s := range stages {
				if err := s.Process(rows, &out); err != nil {
					t.Fatal(err)
				}
				rows = out.Main
			}
		})
		if got >= 1 {
			t.Errorf("%s: got %v allocations for a batch, want none", name, got)
		}
	}
}
