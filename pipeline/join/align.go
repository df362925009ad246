package join

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// A Kind says which rows come out.
type Kind uint8

const (
	Inner Kind = iota // rows that found all partners
	Outer             // Align: rows that lack some too; Join: rows of the left without a partner too
	Last              // Align: a row for each row, with the last values of the other streams
)

// Align is the stage that makes one row of rows of all streams that are at
// most Within apart. A row looks for the nearest of each other stream that
// waits; where one is missing it waits itself. The result has the time of the
// latest. With Outer, rows that the watermark has passed leave with what is
// nearest.
//
// With Last every row comes out at once, with the last row of each other
// stream if that is at most Within away; a row older than the last of its own
// stream changes nothing for others.
type Align struct {
	base
	kind Kind
	near []int // by stream: the place of the row for the result at hand, or -1
}

// NewAlign returns the stage for rows with the columns in.
func NewAlign(c Config, kind Kind, in pipeline.Schema, keys *pipeline.Keys) (*Align, error) {
	b, err := newBase(c, in, keys)
	if err != nil {
		return nil, fmt.Errorf("align: %w", err)
	}
	return &Align{base: b, kind: kind, near: make([]int, len(c.Streams))}, nil
}

// Delay implements pipeline.Delayer.
func (a *Align) Delay() int64 {
	if a.kind == Last {
		return 0
	}
	return a.layout.config.Within
}

// Process implements pipeline.Stage.
func (a *Align) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	a.begin(in)
	streams := in.Find(pipeline.Field{Name: StreamColumn, Kind: pipeline.Text}, 0)
	for i, key := range in.Key {
		stream := a.stream(streams, i)
		m := moment{key, in.Mark[i], in.Arrived[i]}
		if a.kind == Last {
			a.last(in, i, stream, m, out)
			continue
		}
		a.leave(m)
		if !a.takes(in, i, stream, out) {
			continue
		}
		r := a.keep(in, i, stream)
		if at := a.placeOf(key, r); a.nearest(key, at) {
			a.speak(m, *r, lowered(m.mark, a.layout.config.Within))
		}
	}
	a.end(out)
	return nil
}

// Advance implements pipeline.Advancer.
func (a *Align) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	a.begin(nil)
	if a.kind != Last {
		a.keys = a.due(a.keys[:0], marks)
		for _, key := range a.keys {
			a.leave(moment{key, marks.Of(key), marks.Now()})
		}
	}
	a.end(out)
	return nil
}

// Waits implements pipeline.Waiter.
func (a *Align) Waits() bool { return a.kind != Last && a.some() }

// last speaks for row i at once.
func (a *Align) last(in *pipeline.Batch, i, stream int, m moment, out *pipeline.Outputs) {
	if stream < 0 {
		a.takes(in, i, stream, out)
		return
	}
	own, newer := -1, false
	for at := range a.rows[m.key] {
		if r := &a.rows[m.key][at]; int(r.stream) == stream {
			own, newer = at, r.time > in.Time[i]
		}
	}
	if own >= 0 && !newer {
		a.drop(m.key, own)
	}
	r := a.keep(in, i, stream)
	at := a.placeOf(m.key, r)
	a.nearest(m.key, at)
	a.emit(m, *r, m.mark)
	if newer {
		a.drop(m.key, at)
	}
}

// leave lets the rows go that the watermark has passed.
func (a *Align) leave(m moment) {
	for a.over(m.key, m.mark) {
		if a.kind == Inner {
			a.drop(m.key, 0)
			continue
		}
		a.nearest(m.key, 0)
		r := a.rows[m.key][0]
		a.speak(m, r, left(m.mark, a.layout.config.Within, r.time))
	}
}

// placeOf returns the place of a row of a key.
func (a *Align) placeOf(key uint32, r *row) int {
	for at := range a.rows[key] {
		if &a.rows[key][at] == r {
			return at
		}
	}
	panic("BUG: a row that waits is not there")
}

// nearest finds the row nearest to that at place at for each other stream,
// and reports whether all are there, no further from each other than Within.
func (a *Align) nearest(key uint32, at int) bool {
	rows, within := a.rows[key], a.layout.config.Within
	t := rows[at].time
	for s := range a.near {
		a.near[s] = -1
	}
	from, to := a.waiting.near(key, t, within)
	for k := from; k < to; k++ {
		s := rows[k].stream
		if best := a.near[s]; best < 0 || abs(rows[k].time-t) < abs(rows[best].time-t) {
			a.near[s] = k
		}
	}
	a.near[rows[at].stream] = at
	least, most, all := t, t, true
	for _, k := range a.near {
		if k < 0 {
			all = false
			continue
		}
		least, most = min(least, rows[k].time), max(most, rows[k].time)
	}
	return all && most-least <= within
}

func abs(x int64) int64 { return max(x, -x) }

// speak puts out the rows that nearest has found, as of row r, and drops them.
func (a *Align) speak(m moment, r row, mark int64) {
	a.emit(m, r, mark)
	for {
		last := -1
		for s, k := range a.near {
			if k >= 0 && (last < 0 || k > a.near[last]) {
				last = s
			}
		}
		if last < 0 {
			return
		}
		a.drop(m.key, a.near[last])
		a.near[last] = -1
	}
}

func (a *Align) emit(m moment, r row, mark int64) {
	result := pipeline.Row{Time: r.time, Arrived: m.arrived, Mark: mark, Key: m.key, Offset: r.offset, Ordinal: r.ordinal, Hop: r.hop}
	rows := a.rows[m.key]
	for _, k := range a.near {
		if k >= 0 {
			a.layout.gather(&rows[k])
			result.Hop = max(result.Hop, rows[k].hop)
			if a.kind != Last {
				result.Time = max(result.Time, rows[k].time)
			}
		}
	}
	a.layout.gather(&r) // its values of shared columns
	a.layout.put(result)
}
