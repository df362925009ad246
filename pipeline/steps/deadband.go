package steps

import (
	"math"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// A Band is how far a column may stray from its last reported value without
// being reported: Absolute, plus Percent of that value.
type Band struct {
	Column            string
	Absolute, Percent float64 // not negative
}

// A Deadband is a stage that reports by exception: a row passes if it is the
// first of its key, if one of the columns is outside of its band around what
// was last reported, has become null or is so no longer, or if the last report
// is Every ago in event time.
type Deadband struct {
	bands   []Band
	columns []column
	every   int64
	memory  memory[report]
	now     []*pipeline.Column
	choice  choice
	schema  pipeline.Schema
}

// A report is the last row of a key that passed.
type report struct {
	at     int64
	values []reading // a column each
}

// A reading is a number, or null.
type reading struct {
	has bool
	v   float64
}

// NewDeadband returns the stage; every is in µs, 0 for never.
func NewDeadband(bands []Band, every int64, s pipeline.Schema, keys *pipeline.Keys) (*Deadband, error) {
	d := &Deadband{bands: bands, every: every, memory: memory[report]{keys: keys}, schema: s}
	for _, b := range bands {
		c, err := find(s, "fields."+b.Column, b.Column, pipeline.Float, pipeline.Int)
		if err != nil {
			return nil, err
		}
		if !(b.Absolute >= 0 && b.Percent >= 0) {
			return nil, fail("fields."+b.Column, "", "a band is not negative")
		}
		d.columns = append(d.columns, c)
	}
	d.now = make([]*pipeline.Column, len(d.columns))
	return d, nil
}

// Schema implements Step.
func (d *Deadband) Schema() pipeline.Schema { return d.schema }

// Process implements pipeline.Stage.
func (d *Deadband) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	for k, c := range d.columns {
		d.now[k] = c.of(in)
	}
	out.Main = d.choice.of(in, func(i int) bool {
		last, first := d.memory.at(in.Key[i])
		if first {
			last.values = make([]reading, len(d.columns))
		}
		if !first && !d.strays(last, i) && !(d.every > 0 && in.Time[i]-last.at >= d.every) {
			return false
		}
		last.at = in.Time[i]
		for k, c := range d.now {
			last.values[k] = reading{c.Has(i), number(c, i)}
		}
		return true
	})
	return nil
}

// strays reports whether row i must be told after last.
func (d *Deadband) strays(last *report, i int) bool {
	for k, c := range d.now {
		was := last.values[k]
		if c.Has(i) != was.has {
			return true
		}
		if v := number(c, i); was.has && d.bands[k].strays(was.v, v) {
			return true
		}
	}
	return false
}

func (b *Band) strays(was, is float64) bool {
	if math.IsNaN(was) || math.IsNaN(is) || math.IsInf(was, 0) {
		return was != is && !(math.IsNaN(was) && math.IsNaN(is))
	}
	return math.Abs(is-was) > b.Absolute+b.Percent/100*math.Abs(was)
}

func (d *Deadband) said() string {
	var names []string
	for _, c := range d.columns {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",")
}

// Snapshot implements pipeline.Snapshotter.
func (d *Deadband) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("deadband", d.said())
	d.memory.snapshot(w, func(t *report) {
		w.int(t.at)
		for _, v := range t.values {
			w.bool(v.has)
			w.float(v.v)
		}
	})
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (d *Deadband) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("deadband", d.said())
	d.memory.restore(r, func(t *report) {
		t.at, t.values = r.int(), make([]reading, len(d.columns))
		for k := range t.values {
			t.values[k] = reading{r.bool(), r.float()}
		}
	})
	return r.end()
}
