package steps

import (
	"encoding/binary"
	"math"

	"millrace.dev/millrace/pipeline"
)

// A shelf keeps rows of a stage as bytes, so that one row of each key costs
// little and a snapshot is at hand, and puts them back into batches:
//
//	i64 time, offset, u32 ordinal, u8 hop,
//	columns × {place in fields, value}, without those that are null
//
// Which columns there are may change from batch to batch. Key codes are not
// on the shelf, nor are arrival time and watermark: they are those of the
// moment when a row comes back, or a window might speak twice.
type shelf struct {
	fields []pipeline.Field // every column that was ever seen
	places []int            // in fields, of the columns of the batch in hand

	out   pipeline.Batch // the batch in hand, and what comes off the shelf
	order []int          // in fields, of the columns of out
	cells [][]byte       // of the row in hand, by place in fields; nil: null
}

const metaBytes = 2*8 + 4 + 1

// open gets ready to keep rows of b, and to put rows of b and kept ones into
// out, which has the columns of b, and behind them what kept rows may have.
func (s *shelf) open(b *pipeline.Batch) {
	s.places = s.places[:0]
	for k := range b.Columns {
		s.places = append(s.places, s.place(b.Columns[k].Field, k))
	}
	s.clear(b.Keys)
	for k := range b.Columns {
		s.column(k, b.Columns[k].Field)
	}
	s.rest(len(b.Columns))
}

// reopen gets ready to put kept rows alone into out.
func (s *shelf) reopen(keys *pipeline.Keys) {
	s.clear(keys)
	s.rest(0)
}

func (s *shelf) clear(keys *pipeline.Keys) {
	s.out.Reset()
	s.out.Keys = keys
	s.order = s.order[:0]
}

// rest adds columns that are in none of the first n to out.
func (s *shelf) rest(n int) {
	for at, f := range s.fields {
		if !contains(s.order[:n], at) {
			s.column(len(s.order), f)
		}
	}
	s.out.Columns = s.out.Columns[:len(s.order)]
	for len(s.cells) < len(s.fields) {
		s.cells = append(s.cells, nil)
	}
}

func contains(places []int, at int) bool {
	if at < len(places) && places[at] == at {
		return true
	}
	for _, p := range places {
		if p == at {
			return true
		}
	}
	return false
}

// column makes column k of out one for f.
func (s *shelf) column(k int, f pipeline.Field) {
	switch {
	case k == len(s.out.Columns):
		s.out.Columns = append(s.out.Columns, pipeline.NewColumn(f))
	case s.out.Columns[k].Field != f:
		s.out.Columns[k] = pipeline.NewColumn(f)
	}
	s.order = append(s.order, s.place(f, k))
}

// place returns where f is in fields.
func (s *shelf) place(f pipeline.Field, near int) int {
	if near < len(s.fields) && s.fields[near] == f {
		return near
	}
	for k := range s.fields {
		if s.fields[k] == f {
			return k
		}
	}
	s.fields = append(s.fields, f)
	return len(s.fields) - 1
}

// keep writes row i of b, the batch in hand, into the memory of dst.
func (s *shelf) keep(dst []byte, b *pipeline.Batch, i int) []byte {
	w := writer{dst[:0]}
	w.int(b.Time[i])
	w.int(int64(b.Offset[i]))
	w.b = binary.LittleEndian.AppendUint32(w.b, b.Ordinal[i])
	w.b = append(w.b, b.Hop[i])
	for k := range b.Columns {
		c := &b.Columns[k]
		if !c.Has(i) {
			continue
		}
		w.count(s.places[k])
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
	return w.b
}

// pass adds row i of b, the batch in hand, to out.
func (s *shelf) pass(b *pipeline.Batch, i int) {
	s.out.AppendRow(b.Row(i))
	for k := range s.out.Columns {
		if k < len(b.Columns) {
			s.out.Columns[k].AppendFrom(&b.Columns[k], i)
		} else {
			s.out.Columns[k].AppendNull()
		}
	}
}

// A moment is when a kept row comes back.
type moment struct {
	key     uint32
	arrived int64
	mark    int64 // the watermark of its key now
	seen    int64 // the watermark that stages behind may have acted on
}

// now returns the moment of row i, which is not there yet for stages behind.
func now(b *pipeline.Batch, i int, seen int64) moment {
	return moment{b.Key[i], b.Arrived[i], b.Mark[i], seen}
}

// meta returns what a kept row carries besides its columns, later by d. Its
// watermark is no later than need be, so that a window behind counts it unless
// it has spoken.
func (m moment) meta(row []byte, d int64) pipeline.Row {
	r := reader{b: row}
	x := pipeline.Row{Time: r.int() + d, Arrived: m.arrived, Offset: uint64(r.int()), Key: m.key}
	x.Mark = max(m.seen, min(m.mark, x.Time))
	x.Ordinal, x.Hop = binary.LittleEndian.Uint32(r.b), r.b[4]
	return x
}

// A given value is what a column gets instead of what was kept.
type given struct {
	column string
	v      reading
}

// bring adds a kept row to out, with m for what it carries.
func (s *shelf) bring(row []byte, m pipeline.Row, with []given) {
	clear(s.cells)
	for r := (reader{b: row[metaBytes:]}); len(r.b) > 0; {
		at := r.place(len(s.fields))
		s.cells[at] = r.cell(s.fields[at].Kind)
	}
	s.out.AppendRow(m)
	for k := range s.out.Columns {
		c := &s.out.Columns[k]
		if g := givenFor(with, c); g != nil {
			appendNumber(c, g.v)
		} else {
			appendCell(c, s.cells[s.order[k]])
		}
	}
}

func givenFor(with []given, c *pipeline.Column) *given {
	for i := range with {
		if with[i].column == c.Name && (c.Kind == pipeline.Float || c.Kind == pipeline.Int) {
			return &with[i]
		}
	}
	return nil
}

// cell returns the bytes of a value; of a text without its length.
func (r *reader) cell(k pipeline.Kind) []byte {
	n := 8
	switch k {
	case pipeline.Bool:
		n = 1
	case pipeline.Text, pipeline.Bytes:
		n = r.count(1)
	}
	if len(r.b) < n {
		r.damaged()
		return nil
	}
	c := r.b[:n:n]
	r.b = r.b[n:]
	return c
}

func appendCell(c *pipeline.Column, cell []byte) {
	switch {
	case cell == nil:
		c.AppendNull()
	case c.Kind == pipeline.Float:
		c.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(cell)))
	case c.Kind == pipeline.Int:
		c.AppendInt(int64(binary.LittleEndian.Uint64(cell)))
	case c.Kind == pipeline.Bool:
		c.AppendBool(cell[0] != 0)
	default:
		c.AppendText(cell)
	}
}

func appendNumber(c *pipeline.Column, v reading) {
	switch {
	case !v.has:
		c.AppendNull()
	case c.Kind == pipeline.Int:
		c.AppendInt(int64(math.Round(v.v)))
	default:
		c.AppendFloat(v.v)
	}
}

// snapshot writes the fields, which the rows refer to.
func (s *shelf) snapshot(w *writer) {
	w.count(len(s.fields))
	for _, f := range s.fields {
		w.text(f.Name)
		w.b = append(w.b, byte(f.Kind))
	}
}

func (s *shelf) restore(r *reader) {
	for range r.count(2) {
		f := pipeline.Field{Name: r.text()}
		if len(r.b) == 0 {
			r.err = errDamaged
			return
		}
		f.Kind, r.b = pipeline.Kind(r.b[0]), r.b[1:]
		if f.Kind < pipeline.Float || f.Kind > pipeline.Bytes || s.place(f, len(s.fields)) != len(s.fields)-1 {
			r.err = errDamaged
			return
		}
	}
	s.rest(0)
}

// row reads a kept row and checks that it is one.
func (s *shelf) row(r *reader) []byte {
	b := append([]byte(nil), r.bytes()...)
	if len(b) < metaBytes {
		r.damaged()
		return nil
	}
	for c := (reader{b: b[metaBytes:]}); len(c.b) > 0; {
		if at := c.place(len(s.fields)); c.err == nil {
			c.cell(s.fields[at].Kind)
		}
		if c.err != nil {
			r.damaged()
			return nil
		}
	}
	return b
}
