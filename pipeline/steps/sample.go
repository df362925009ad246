package steps

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// A Sample is a stage that lets some rows of each key pass: the first of
// every Rows, or the first of every stretch of event time.
type Sample struct {
	rows   int64
	every  int64
	memory memory[sampled]
	choice choice
	schema pipeline.Schema
}

// A sampled key is how many rows follow until the next one passes, or the
// beginning of the stretch that the last one was of.
type sampled struct{ n int64 }

// NewSample returns the stage; one of rows and every, in µs, is above 0.
// Stretches begin at multiples of every since 1970. A row of an earlier
// stretch than that of the latest sample does not pass.
func NewSample(rows int, every int64, s pipeline.Schema, keys *pipeline.Keys) (*Sample, error) {
	if (rows > 0) == (every > 0) {
		return nil, fail("", "", "a sample is one of so many rows, or one in a time")
	}
	return &Sample{rows: int64(rows), every: every, memory: memory[sampled]{keys: keys}, schema: s}, nil
}

// Schema implements Step.
func (s *Sample) Schema() pipeline.Schema { return s.schema }

// Process implements pipeline.Stage.
func (s *Sample) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	out.Main = s.choice.of(in, func(i int) bool {
		m, first := s.memory.at(in.Key[i])
		if s.rows > 0 {
			m.n = (m.n + s.rows - 1) % s.rows
			return m.n == s.rows-1 || s.rows == 1
		}
		start := pipeline.FloorTo(in.Time[i], s.every)
		if !first && start <= m.n {
			return false
		}
		m.n = start
		return true
	})
	return nil
}

func (s *Sample) said() string { return fmt.Sprintf("%d rows, %d µs", s.rows, s.every) }

// Snapshot implements pipeline.Snapshotter.
func (s *Sample) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("sample", s.said())
	s.memory.snapshot(w, func(m *sampled) { w.int(m.n) })
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (s *Sample) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("sample", s.said())
	s.memory.restore(r, func(m *sampled) { m.n = r.int() })
	return r.end()
}
