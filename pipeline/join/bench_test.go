package join

import (
	"fmt"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// BenchmarkRows is what a row costs that comes in, waits and leaves in a
// result: two streams of a hundred keys in turn.
func BenchmarkRows(b *testing.B) {
	c := values(2)
	for _, kind := range []struct {
		name  string
		build func(*pipeline.Keys) (pipeline.Stage, error)
	}{
		{"align", func(k *pipeline.Keys) (pipeline.Stage, error) { return NewAlign(c, Inner, inputs, k) }},
		{"last", func(k *pipeline.Keys) (pipeline.Stage, error) { return NewAlign(c, Last, inputs, k) }},
		{"join", func(k *pipeline.Keys) (pipeline.Stage, error) { return NewJoin(c, Inner, inputs, k) }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			keys := pipeline.NewKeys(200)
			s, err := kind.build(keys)
			if err != nil {
				b.Fatal(err)
			}
			in := pipeline.NewBatch(inputs, keys)
			var streams []uint8
			for i := range pipeline.RowsMax {
				code, _ := keys.Code(fmt.Appendf(nil, "m%d", i/2%100))
				in.AppendRow(pipeline.Row{Key: code})
				in.Columns[0].AppendText([]byte("m1"))
				in.Columns[1].AppendText([]byte(names[i%2]))
				in.Columns[2].AppendFloat(float64(i))
				in.Columns[3].AppendText([]byte("a"))
				in.Columns[4].AppendBool(true)
				in.Columns[5].AppendInt(1)
				streams = append(streams, uint8(i%2))
			}
			marks := pipeline.Marks{Streams: 2, Idle: -1}
			var out pipeline.Outputs
			now := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				for i := range in.Time {
					now++
					in.Time[i], in.Arrived[i], in.Offset[i] = now, now, uint64(now)
				}
				marks.ObserveStreams(in, streams)
				if err := s.Process(in, &out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pipeline.RowsMax, "ns/row")
		})
	}
}
