package steps

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// ThrottleRowsMax is the most rows that a Throttle counts; it remembers the
// time of each, for each key.
const ThrottleRowsMax = 1000

// A Throttle is a stage that lets at most so many rows of a key pass in any
// stretch of arrival time of a given length, and drops the others.
type Throttle struct {
	rows   int
	per    int64
	memory memory[passed]
	choice choice
	schema pipeline.Schema
}

// A passed key has the times of the last rows that passed, in a ring.
type passed struct {
	at   []int64
	next int // where the next goes; the oldest is there when the ring is full
}

// NewThrottle returns the stage: rows in per µs, both above 0.
func NewThrottle(rows int, per int64, s pipeline.Schema, keys *pipeline.Keys) (*Throttle, error) {
	if rows < 1 || rows > ThrottleRowsMax {
		return nil, fail("rows", "", "%d rows; there can be 1 to %d", rows, ThrottleRowsMax)
	}
	if per <= 0 {
		return nil, fail("per", "", "the time is not above 0")
	}
	return &Throttle{rows: rows, per: per, memory: memory[passed]{keys: keys}, schema: s}, nil
}

// Schema implements Step.
func (t *Throttle) Schema() pipeline.Schema { return t.schema }

// Process implements pipeline.Stage.
func (t *Throttle) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	out.Main = t.choice.of(in, func(i int) bool {
		m, _ := t.memory.at(in.Key[i])
		now := in.Arrived[i]
		if len(m.at) < t.rows {
			m.at = append(m.at, now)
			return true
		}
		if now-m.at[m.next] < t.per {
			return false
		}
		m.at[m.next] = now
		m.next = (m.next + 1) % t.rows
		return true
	})
	return nil
}

func (t *Throttle) said() string { return fmt.Sprintf("%d rows", t.rows) }

// Snapshot implements pipeline.Snapshotter.
func (t *Throttle) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("throttle", t.said())
	t.memory.snapshot(w, func(m *passed) {
		w.count(len(m.at))
		for k := range m.at {
			w.int(m.at[(m.next+k)%len(m.at)])
		}
	})
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (t *Throttle) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("throttle", t.said())
	t.memory.restore(r, func(m *passed) {
		n := r.count(8)
		if n > t.rows {
			r.err = errDamaged
			return
		}
		for range n {
			m.at = append(m.at, r.int())
		}
	})
	return r.end()
}
