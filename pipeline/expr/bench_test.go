package expr

import (
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

var benchSchema = pipeline.Schema{{Name: "device", Kind: pipeline.Text}, {Name: "temp", Kind: pipeline.Float}}

// BenchmarkWhere finds the rows to keep, next to a loop written by hand for
// the same condition, which keeps half of them in random order.
func BenchmarkWhere(b *testing.B) {
	r := seeded(b)
	batch := pipeline.NewBatch(benchSchema, pipeline.NewKeys(1))
	for range pipeline.RowsMax {
		add(batch, []string{"m1", "m2", "m3", "m14"}[r.IntN(4)], 300*r.Float64()-100)
	}
	device, temp := &batch.Columns[0], batch.Columns[1].Floats
	for _, c := range []struct {
		src  string
		loop func(rows []int32) []int32
	}{
		{src: "temp > 30", loop: func(rows []int32) []int32 {
			for i, v := range temp {
				if v > 30 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{src: "temp > -40 and temp < 150", loop: func(rows []int32) []int32 {
			for i, v := range temp {
				if v > -40 && v < 150 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{src: `device == "m1" or temp > 3`, loop: func(rows []int32) []int32 {
			for i, v := range temp {
				if string(device.Text(i)) == "m1" || v > 3 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
	} {
		b.Run(c.src, func(b *testing.B) {
			w, err := NewWhere(c.src, benchSchema)
			if err != nil {
				b.Fatal(err)
			}
			var ours, theirs time.Duration
			rows := make([]int32, 0, pipeline.RowsMax)
			b.ReportAllocs()
			for b.Loop() {
				from := time.Now()
				for range 8 { // a batch takes little longer than the clock
					w.choose(batch)
				}
				middle := time.Now()
				for range 8 {
					rows = c.loop(rows[:0])
				}
				ours, theirs = ours+middle.Sub(from), theirs+time.Since(middle)
			}
			n := float64(b.N * 8 * pipeline.RowsMax)
			b.ReportMetric(float64(ours.Nanoseconds())/n, "ns/row")
			b.ReportMetric(float64(theirs.Nanoseconds())/n, "native-ns/row")
			b.ReportMetric(float64(ours)/float64(theirs), "ratio")
		})
	}
}

func BenchmarkVM(b *testing.B) {
	r := seeded(b)
	batch := pipeline.NewBatch(benchSchema, pipeline.NewKeys(1))
	for range pipeline.RowsMax {
		add(batch, []string{"m1", "m2"}[r.IntN(2)], 1.0)
	}
	p, err := Compile(`upper(device) == "M1"`, benchSchema)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Eval(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pipeline.RowsMax), "ns/row")
}
