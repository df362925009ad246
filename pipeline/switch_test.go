package pipeline

import "testing"

// isSet is a condition that costs nothing: a column of the rows.
type isSet struct{ at int }

func (c isSet) Eval(b *Batch) *Column { return &b.Columns[c.at] }

// nowhere takes what comes out.
type nowhere struct{}

func (nowhere) Main(*Batch)       {}
func (nowhere) Late(*Batch)       {}
func (nowhere) Dead([]DeadLetter) {}

// BenchmarkSwitch divides full batches between two branches and what is left,
// a third each. Rows are taken out in place, so that each batch is copied
// anew, which is measured alone, too (nothing).
func BenchmarkSwitch(b *testing.B) {
	schema := Schema{{"a", Bool}, {"b", Bool}, {"temp", Float}, {"device", Text}}
	source, batch := NewBatch(schema, NewKeys(1)), NewBatch(schema, NewKeys(1))
	for i := range RowsMax {
		source.AppendRow(Row{Offset: uint64(i)})
		source.Columns[0].AppendBool(i%3 == 0)
		source.Columns[1].AppendBool(i%3 == 1)
		source.Columns[2].AppendFloat(float64(i))
		source.Columns[3].AppendText([]byte("m1"))
	}
	divide := &Switch{Branches: []*Branch{{Name: "a", When: isSet{0}}, {Name: "b", When: isSet{1}}}}
	for name, c := range map[string]*Chain{"switch": {Stages: []Stage{divide}}, "nothing": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				batch.CopyFrom(source)
				if err := c.Process(batch, nowhere{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*RowsMax), "ns/row")
		})
	}
}
