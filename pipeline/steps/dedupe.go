package steps

import (
	"hash"
	"hash/fnv"
	"slices"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// A Dedupe is a stage that drops a row when one like it, of the same key, has
// passed within a stretch of arrival time. Alike are rows with equal values
// in some columns, or in all, and of equal event time if that counts too.
//
// It remembers 128 bits of each row that passed (FNV-1a), at most Most rows of
// all keys together; then it forgets the oldest.
type Dedupe struct {
	DedupeConfig
	columns []*pipeline.Column // that count, of the batch in hand
	hash    hash.Hash
	buf     []byte
	sum     [16]byte
	seen    map[[16]byte]bool
	ring    []seen // oldest first, from first on
	first   int
	keys    *pipeline.Keys
	choice  choice
	schema  pipeline.Schema
}

// A DedupeConfig says which rows are alike.
type DedupeConfig struct {
	Columns []string // columns that count; none: all
	Time    bool     // event time counts
	All     bool     // all columns count; Columns is empty
	Within  int64    // µs
	Most    int      // rows remembered
}

type seen struct {
	sum [16]byte
	at  int64
}

// NewDedupe returns the stage. With open, batches may have columns that s does
// not name; a name that nothing has is then no mistake.
func NewDedupe(c DedupeConfig, s pipeline.Schema, open bool, keys *pipeline.Keys) (*Dedupe, error) {
	d := &Dedupe{DedupeConfig: c, hash: fnv.New128a(), seen: map[[16]byte]bool{}, keys: keys, schema: s}
	for _, name := range c.Columns {
		if s.Index(name) < 0 && !open {
			return nil, unknown(s, "by", name)
		}
	}
	switch {
	case c.Within <= 0:
		return nil, fail("within", "", "the time is not above 0")
	case c.Most <= 0:
		return nil, fail("most", "", "at least one row must be remembered")
	}
	return d, nil
}

// Schema implements Step.
func (d *Dedupe) Schema() pipeline.Schema { return d.schema }

// Process implements pipeline.Stage.
func (d *Dedupe) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	d.columns = d.columns[:0]
	for k := range in.Columns {
		if d.All || slices.Contains(d.Columns, in.Columns[k].Name) {
			d.columns = append(d.columns, &in.Columns[k])
		}
	}
	out.Main = d.choice.of(in, func(i int) bool {
		now := in.Arrived[i]
		for len(d.seen) > 0 && now-d.ring[d.first].at > d.Within {
			d.forget()
		}
		d.take(in, i)
		if d.seen[d.sum] {
			return false
		}
		if len(d.seen) == d.Most {
			d.forget()
		}
		d.remember(seen{d.sum, now})
		return true
	})
	return nil
}

// take computes the sum of row i.
func (d *Dedupe) take(in *pipeline.Batch, i int) {
	w := writer{d.buf[:0]}
	w.text(d.keys.Name(in.Key[i]))
	if d.Time {
		w.int(in.Time[i])
	}
	for _, c := range d.columns {
		if c.Has(i) {
			w.text(c.Name)
			value(&w, c, i)
		}
	}
	d.buf = w.b
	d.hash.Reset()
	d.hash.Write(w.b)
	d.hash.Sum(d.sum[:0])
}

// value writes row i of c, which is not null.
func value(w *writer, c *pipeline.Column, i int) {
	w.b = append(w.b, byte(c.Kind))
	switch c.Kind {
	case pipeline.Float:
		w.float(c.Floats[i])
	case pipeline.Int:
		w.int(c.Ints[i])
	case pipeline.Bool:
		w.bool(c.Bools[i] != 0)
	default:
		w.bytes(c.Text(i))
	}
}

func (d *Dedupe) forget() {
	delete(d.seen, d.ring[d.first].sum)
	d.first = (d.first + 1) % len(d.ring)
}

// remember adds s; the ring grows up to Most.
func (d *Dedupe) remember(s seen) {
	n := len(d.seen)
	if n == len(d.ring) { // full: put in order and make longer
		ring := make([]seen, min(max(2*n, 16), d.Most))
		copy(ring, d.ring[d.first:])
		copy(ring[n-d.first:], d.ring[:d.first])
		d.ring, d.first = ring, 0
	}
	d.ring[(d.first+n)%len(d.ring)] = s
	d.seen[s.sum] = true
}

func (d *Dedupe) said() string {
	said := strings.Join(d.Columns, ",")
	if d.All {
		said += " all"
	}
	if d.Time {
		said += " time"
	}
	return said
}

// Snapshot implements pipeline.Snapshotter.
func (d *Dedupe) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("dedupe", d.said())
	w.count(len(d.seen))
	for k := range len(d.seen) {
		s := &d.ring[(d.first+k)%len(d.ring)]
		w.b = append(w.b, s.sum[:]...)
		w.int(s.at)
	}
	return w.b, nil
}

// Restore implements pipeline.Snapshotter. Of a snapshot with more rows than
// Most, the latest are remembered.
func (d *Dedupe) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("dedupe", d.said())
	for range r.count(24) {
		var s seen
		r.b = r.b[copy(s.sum[:], r.b):]
		s.at = r.int()
		if r.err != nil || d.seen[s.sum] {
			return errDamaged
		}
		if len(d.seen) == d.Most {
			d.forget()
		}
		d.remember(s)
	}
	return r.end()
}
