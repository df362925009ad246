package steps

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// A Lookup is a stage that adds columns from a table: for each row the values
// of the entry whose key is in the columns By, or nulls where there is none.
//
// The table is either there from the beginning, or comes in with Update,
// between rows: then it is part of what the stage remembers, and the same
// messages in the same order give the same rows.
type Lookup struct {
	by     []column
	table  *Table
	live   bool
	own    []pipeline.Column
	key    []byte
	schema pipeline.Schema
	out    pipeline.Batch
}

// NewLookup returns the stage. With live, Update changes the table.
func NewLookup(by []string, t *Table, live bool, s pipeline.Schema) (*Lookup, error) {
	l := &Lookup{table: t, live: live, schema: s}
	for _, name := range by {
		c, err := find(s, "by", name, pipeline.Text, pipeline.Int)
		if err != nil {
			return nil, err
		}
		l.by = append(l.by, c)
	}
	if len(by) == 0 {
		return nil, fail("by", "such as by: device", "nothing says by which column an entry is found")
	}
	for _, f := range t.Fields {
		if slices.Contains(by, f.Name) {
			return nil, fail("", "leave it out of the columns", "%s is what entries are found by", f.Name)
		}
		l.schema = l.schema.With(f)
		l.own = append(l.own, pipeline.NewColumn(f))
	}
	return l, nil
}

// Schema implements Step.
func (l *Lookup) Schema() pipeline.Schema { return l.schema }

// Process implements pipeline.Stage.
func (l *Lookup) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	for k := range l.own {
		l.own[k].Reset()
	}
	for i := range in.Rows() {
		var cells []cell
		if l.find(in, i) {
			cells = l.table.rows[string(l.key)]
		}
		for k := range l.own {
			if cells == nil {
				l.own[k].AppendNull()
			} else {
				cells[k].appendTo(&l.own[k])
			}
		}
	}
	l.out.Borrow(in)
	for k := range l.own {
		l.out.Put(l.own[k])
	}
	out.Main = &l.out
	return nil
}

// find puts the key of row i together; false: a part of it is null.
func (l *Lookup) find(b *pipeline.Batch, i int) bool {
	l.key = l.key[:0]
	for k, c := range l.by {
		x := c.of(b)
		if !x.Has(i) {
			return false
		}
		if k > 0 {
			l.key = append(l.key, keySeparator)
		}
		if x.Kind == pipeline.Int {
			l.key = strconv.AppendInt(l.key, x.Ints[i], 10)
		} else {
			l.key = append(l.key, x.Text(i)...)
		}
	}
	return true
}

func (c *cell) appendTo(x *pipeline.Column) {
	switch {
	case !c.has:
		x.AppendNull()
	case x.Kind == pipeline.Float:
		x.AppendFloat(math.Float64frombits(c.bits))
	case x.Kind == pipeline.Int:
		x.AppendInt(int64(c.bits))
	case x.Kind == pipeline.Bool:
		x.AppendBool(c.bits != 0)
	default:
		x.AppendText(c.text)
	}
}

// Update puts the rows of b into the table. b has Text columns called as those
// of By, and the fields of the table; a row without any value takes the entry
// away. The number is that of rows for which there was no place.
func (l *Lookup) Update(b *pipeline.Batch) (refused int) {
	var values []*pipeline.Column
	for _, f := range l.table.Fields {
		values = append(values, b.Find(f, 0))
	}
	for i := range b.Rows() {
		l.key = l.key[:0]
		for k, c := range l.by {
			if k > 0 {
				l.key = append(l.key, keySeparator)
			}
			l.key = append(l.key, b.Find(pipeline.Field{Name: c.Name, Kind: pipeline.Text}, k).Text(i)...)
		}
		if !l.table.put(l.key, values, i) {
			refused++
		}
	}
	return refused
}

func (l *Lookup) said() string {
	var names []string
	for _, f := range l.table.Fields {
		names = append(names, fmt.Sprintf("%s %s", f.Name, f.Kind))
	}
	return strings.Join(names, ",")
}

// Snapshot implements pipeline.Snapshotter. A table that was there from the
// beginning is no part of it.
func (l *Lookup) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("lookup", l.said())
	if !l.live {
		return w.b, nil
	}
	w.count(len(l.table.rows))
	for _, key := range slices.Sorted(maps.Keys(l.table.rows)) {
		w.text(key)
		for _, c := range l.table.rows[key] {
			w.bool(c.has)
			w.int(int64(c.bits))
			w.bytes(c.text)
		}
	}
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (l *Lookup) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("lookup", l.said())
	if !l.live {
		return r.end()
	}
	for range r.count(1) {
		key := r.text()
		cells := make([]cell, len(l.own))
		for k := range cells {
			cells[k] = cell{r.bool(), uint64(r.int()), slices.Clone(r.bytes())}
		}
		if r.err == nil && len(l.table.rows) >= l.table.Most {
			r.err = fmt.Errorf("the snapshot has more than %d entries", l.table.Most)
		}
		if r.err != nil {
			return r.err
		}
		l.table.rows[key] = cells
	}
	return r.end()
}
