package bench

import (
	"context"
	"testing"
	"time"

	"millrace.dev/millrace/bench/native"
	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/expr"
)

// A line is the decoder of job main, with what comes behind it one at a time.
type line struct {
	keys    *pipeline.Keys
	decoder *decode.Decoder
	batch   *pipeline.Batch
	dead    []pipeline.DeadLetter
	marks   pipeline.Marks
	out     pipeline.Outputs
}

func newLine(b *testing.B) *line {
	b.Helper()
	l := &line{keys: pipeline.NewKeys(2 * devices), marks: pipeline.Marks{Lateness: 1e6, Idle: 60e6}}
	var err error
	l.decoder, err = decode.New(decode.Config{
		Fields: pipeline.Schema{{Name: "device", Kind: pipeline.Text}, {Name: "temp", Kind: pipeline.Float}},
		Time:   decode.TimeField{Name: "ts"}, Key: []string{"device"}, FutureMax: 3600e6,
	}, l.keys)
	if err != nil {
		b.Fatal(err)
	}
	l.batch = l.decoder.NewBatch()
	return l
}

func (l *line) decode(recs []journal.Record) {
	l.batch.Reset()
	l.decoder.Decode(recs, l.batch, &l.dead)
}

// BenchmarkStages times each stage by itself, over every message; what comes
// before it is done but not counted. By hand is the scanner of bench/native.
func BenchmarkStages(b *testing.B) {
	ctx := context.Background()
	rt, err := functions.NewRuntime(ctx, functions.Options{CacheDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close(ctx)
	l := newLine(b)
	where, err := expr.NewWhere("temp > -40 and temp < 150", l.decoder.Schema())
	if err != nil {
		b.Fatal(err)
	}
	var r native.Reading
	b.Run("byhand", func(b *testing.B) {
		stage(b, func([]journal.Record) {}, func(recs []journal.Record) error {
			for i := range recs {
				if err := native.Scan(recs[i].Payload, &r); err != nil {
					return err
				}
			}
			return nil
		})
	})
	b.Run("decode", func(b *testing.B) {
		stage(b, func([]journal.Record) {}, func(recs []journal.Record) error { l.decode(recs); return nil })
	})
	b.Run("watermarks", func(b *testing.B) {
		stage(b, l.decode, func([]journal.Record) error { l.marks.Observe(l.batch); return nil })
	})
	b.Run("where", func(b *testing.B) { alone(b, newLine(b), where) })
	b.Run("window", func(b *testing.B) {
		l := newLine(b)
		w, err := rt.NewWindow(ctx, functions.WindowConfig{
			Stage: "window", Window: pipeline.Window{Size: 1e6, PanesMax: 64}, Key: []string{"device"},
			Aggregates: []functions.Aggregate{{Name: "mean", Op: "mean", Column: "temp"}, {Name: "low", Op: "min", Column: "temp"}, {Name: "high", Op: "max", Column: "temp"}, {Name: "n", Op: "count"}},
		}, l.decoder.Schema(), l.keys)
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close(ctx)
		alone(b, l, w)
	})
	b.Run("zscore", func(b *testing.B) {
		l := newLine(b)
		wasm, _ := builtin.Lookup("zscore")
		m, err := rt.Load(ctx, "zscore", wasm)
		if err != nil {
			b.Fatal(err)
		}
		s, err := m.Bind(ctx, functions.Binding{Stage: "zscore", Input: map[string]string{"value": "temp"}, Key: []string{"device"}}, l.decoder.Schema(), l.keys)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close(ctx)
		alone(b, l, s)
	})
}

// alone times s over decoded rows.
func alone(b *testing.B, l *line, s pipeline.Stage) {
	stage(b, func(recs []journal.Record) {
		l.decode(recs)
		l.marks.Observe(l.batch)
		l.out = pipeline.Outputs{Dead: l.out.Dead[:0]}
	}, func([]journal.Record) error { return s.Process(l.batch, &l.out) })
}

// stage times do, a batch at a time, after before has made the batch.
func stage(b *testing.B, before func([]journal.Record), do func([]journal.Record) error) {
	in := newInput()
	var spent time.Duration
	rows := 0
	for b.Loop() {
		for from := 0; from < lap; from += pipeline.RowsMax {
			recs := in.recs[from : from+pipeline.RowsMax]
			before(recs)
			start := time.Now()
			if err := do(recs); err != nil {
				b.Fatal(err)
			}
			spent += time.Since(start)
			rows += len(recs)
		}
		in.again()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(rows), "ns/message")
	b.ReportMetric(0, "ns/op")
}
