package join

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// Join is the stage that pairs every row of the left stream with every row of
// the right one that has the same key and is at most Within away. A pair comes
// out with the later of its rows to arrive, and has the later time. With Outer
// a row of the left that has found none leaves alone once the watermark has
// passed.
type Join struct {
	base
	kind   Kind
	offset uint64 // of the row that was paired last
	pairs  uint32 // that it has made
}

// pairOrdinals tells pairs from the rows they come from: several have the
// offset of the same message.
const pairOrdinals = 1 << 30

// NewJoin returns the stage for rows with the columns in. The first of the
// two streams of c is the left one.
func NewJoin(c Config, kind Kind, in pipeline.Schema, keys *pipeline.Keys) (*Join, error) {
	b, err := newBase(c, in, keys)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return &Join{base: b, kind: kind}, nil
}

// Delay implements pipeline.Delayer.
func (j *Join) Delay() int64 { return j.layout.config.Within }

// Process implements pipeline.Stage.
func (j *Join) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	j.begin(in)
	streams := in.Find(pipeline.Field{Name: StreamColumn, Kind: pipeline.Text}, 0)
	for i, key := range in.Key {
		m := moment{key, in.Mark[i], in.Arrived[i]}
		stream := j.stream(streams, i)
		j.leave(m)
		if j.takes(in, i, stream, out) {
			j.pair(m, j.keep(in, i, stream))
		}
	}
	j.end(out)
	return nil
}

// Advance implements pipeline.Advancer.
func (j *Join) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	j.begin(nil)
	j.keys = j.due(j.keys[:0], marks)
	for _, key := range j.keys {
		j.leave(moment{key, marks.Of(key), marks.Now()})
	}
	j.end(out)
	return nil
}

// Waits implements pipeline.Waiter.
func (j *Join) Waits() bool { return j.some() }

// pair puts out r with every row of the other stream that is near.
func (j *Join) pair(m moment, r *row) {
	from, to := j.near(m.key, r.time, j.layout.config.Within)
	for k := from; k < to; k++ {
		other := &j.rows[m.key][k]
		if other.stream == r.stream {
			continue
		}
		other.matched, r.matched = true, true
		j.layout.gather(other)
		j.layout.gather(r)
		j.layout.put(pipeline.Row{
			Time: max(r.time, other.time), Arrived: m.arrived, Mark: lowered(m.mark, j.layout.config.Within),
			Key: m.key, Offset: r.offset, Ordinal: j.ordinal(r.offset), Hop: max(r.hop, other.hop),
		})
	}
}

// ordinal numbers the pairs that a message makes.
func (j *Join) ordinal(offset uint64) uint32 {
	if offset != j.offset {
		j.offset, j.pairs = offset, 0
	}
	j.pairs++
	return pairOrdinals | (j.pairs-1)&(pairOrdinals-1)
}

// leave lets the rows go that the watermark has passed.
func (j *Join) leave(m moment) {
	for j.over(m.key, m.mark) {
		r := &j.rows[m.key][0]
		if j.kind == Outer && r.stream == 0 && !r.matched {
			j.layout.gather(r)
			j.layout.put(pipeline.Row{
				Time: r.time, Arrived: m.arrived, Mark: left(m.mark, j.layout.config.Within, r.time),
				Key: m.key, Offset: r.offset, Ordinal: r.ordinal, Hop: r.hop,
			})
		}
		j.drop(m.key, 0)
	}
}
