package steps

import (
	"cmp"
	"math"
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A Compress is a stage that keeps of a column what a straight line cannot
// tell, the swinging door of E. H. Bristol ("Swinging Door Trending: Adaptive
// Trend Recording?", ISA National Conference 1990): between two rows that come
// out, no reading of the key was further than Deviation from the line through
// them.
//
//	      ·  ← high: the steepest line that no reading since the last row forbids
//	    ·  x
//	  ·  x     x ← held: it comes out when the next reading is outside of the doors
//	x
//	  ·     ·  ← low
//
// The doors hang at the last row that came out; a row is held back until the
// next one shows whether it is needed, or until it is Every older, in event
// time, than the one that came out before. Rows without a value, and those
// older than what came out, pass as they are. A window behind may have spoken
// when a row comes out; it is late there.
type Compress struct {
	CompressConfig
	field  column
	memory memory[door]
	shelf  shelf
	ripe   []uint32
	schema pipeline.Schema
}

// A CompressConfig says what is compressed.
type CompressConfig struct {
	Field     string
	Deviation float64 // not negative
	Every     int64   // µs of event time; 0: rows are held as long as it takes
}

// A door is what is known of a key.
type door struct {
	seen      int64 // the watermark that stages behind may have acted on
	open      bool  // a row has come out; otherwise nothing below counts
	at        int64
	v         float64
	low, high float64 // slopes, per µs
	isHeld    bool
	heldAt    int64
	heldV     float64
	held      []byte // on the shelf; its memory is used again
}

// NewCompress returns the stage.
func NewCompress(c CompressConfig, s pipeline.Schema, keys *pipeline.Keys) (*Compress, error) {
	f, err := find(s, "field", c.Field, pipeline.Float, pipeline.Int)
	if err != nil {
		return nil, err
	}
	if !(c.Deviation >= 0) || c.Every < 0 {
		return nil, fail("deviation", "", "deviation and time are not negative")
	}
	return &Compress{CompressConfig: c, field: f, memory: memory[door]{keys: keys}, schema: s}, nil
}

// Schema implements Step.
func (c *Compress) Schema() pipeline.Schema { return c.schema }

// Process implements pipeline.Stage.
func (c *Compress) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	c.shelf.open(in)
	x := c.field.of(in)
	for i, code := range in.Key {
		d, first := c.memory.at(code)
		if first {
			d.seen = pipeline.NoMark
		}
		has, v := x.Has(i), number(x, i)
		switch {
		case !has || math.IsNaN(v) || math.IsInf(v, 0):
			c.release(d, now(in, i, d.seen))
			c.shelf.pass(in, i)
			d.open = false
		case !d.open:
			c.shelf.pass(in, i)
			d.hang(in.Time[i], v)
		case in.Time[i] <= d.at || d.isHeld && in.Time[i] <= d.heldAt:
			c.shelf.pass(in, i)
		default:
			c.swing(d, in, i, v)
		}
		if !d.isHeld {
			d.seen = max(d.seen, in.Mark[i])
		}
	}
	out.Main = &c.shelf.out
	return nil
}

// swing holds row i, and lets the one held before go if the line to i leaves
// the doors.
func (c *Compress) swing(d *door, in *pipeline.Batch, i int, v float64) {
	t := in.Time[i]
	slope := (v - d.v) / float64(t-d.at)
	if d.isHeld && (slope < d.low || slope > d.high || c.Every > 0 && t-d.at > c.Every) {
		c.release(d, now(in, i, d.seen))
	}
	dt := float64(t - d.at)
	d.low = max(d.low, (v-c.Deviation-d.v)/dt)
	d.high = min(d.high, (v+c.Deviation-d.v)/dt)
	d.isHeld, d.heldAt, d.heldV = true, t, v
	d.held = c.shelf.keep(d.held, in, i)
}

// hang puts the doors at a row that came out.
func (d *door) hang(t int64, v float64) {
	d.open, d.at, d.v, d.low, d.high = true, t, v, math.Inf(-1), math.Inf(1)
}

// release lets the held row go, if there is one.
func (c *Compress) release(d *door, at moment) {
	if !d.isHeld {
		return
	}
	m := at.meta(d.held, 0)
	d.seen = max(d.seen, m.Mark)
	c.shelf.bring(d.held, m, nil)
	d.hang(d.heldAt, d.heldV)
	d.isHeld = false
}

// Advance implements pipeline.Advancer: it lets rows go whose time is over,
// although nothing follows them.
func (c *Compress) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	c.ripe = c.ripe[:0]
	for code := range c.memory.of {
		d := &c.memory.of[code].T
		if d.isHeld && c.Every > 0 && marks.Of(uint32(code)) > d.at+c.Every {
			c.ripe = append(c.ripe, uint32(code))
		}
	}
	if len(c.ripe) == 0 {
		c.tell(marks)
		return nil
	}
	slices.SortFunc(c.ripe, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(c.memory.of[a].T.heldAt, c.memory.of[b].T.heldAt), cmp.Compare(c.memory.keys.Name(a), c.memory.keys.Name(b)))
	})
	c.shelf.reopen(c.memory.keys)
	for _, code := range c.ripe {
		d := &c.memory.of[code].T
		c.release(d, moment{code, marks.Now(), marks.Of(code), d.seen})
	}
	c.tell(marks)
	out.Main = &c.shelf.out
	return nil
}

// Waits implements pipeline.Waiter.
func (c *Compress) Waits() bool {
	for code := range c.memory.of {
		if c.Every > 0 && c.memory.of[code].T.isHeld {
			return true
		}
	}
	return false
}

// tell notes the watermarks that the stages behind will be told.
func (c *Compress) tell(marks *pipeline.Marks) {
	for code := range c.memory.of {
		d := &c.memory.of[code].T
		d.seen = max(d.seen, marks.Of(uint32(code)))
	}
}

// Snapshot implements pipeline.Snapshotter.
func (c *Compress) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("compress", c.Field)
	c.shelf.snapshot(w)
	c.memory.snapshot(w, func(d *door) {
		w.int(d.seen)
		w.bool(d.open)
		w.int(d.at)
		w.float(d.v)
		w.float(d.low)
		w.float(d.high)
		w.bool(d.isHeld)
		if d.isHeld {
			w.int(d.heldAt)
			w.float(d.heldV)
			w.bytes(d.held)
		}
	})
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (c *Compress) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("compress", c.Field)
	c.shelf.restore(r)
	c.memory.restore(r, func(d *door) {
		d.seen, d.open, d.at, d.v, d.low, d.high, d.isHeld = r.int(), r.bool(), r.int(), r.float(), r.float(), r.float(), r.bool()
		if d.isHeld {
			d.heldAt, d.heldV, d.held = r.int(), r.float(), c.shelf.row(r)
		}
	})
	return r.end()
}
