package decode

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// The limits of an open decoder: the columns that payloads may add, and the
// bytes of a name.
const (
	OpenColumnsMax = 256
	NameBytesMax   = 256
)

// openFields are the fields that payloads have and nobody named. They get
// their columns when a payload that has them is known to be right; until then
// their nodes and slots are only on trial.
type openFields struct {
	slots   map[string]*slot // by name; nil: the name is taken by a topic level
	columns []openColumn     // sorted by name, then kind
	touched []*slot          // open slots that the present message has set
	trial   []trial
}

type openColumn struct {
	slot *slot
	kind pipeline.Kind
}

// A trial is a node that the present message has added.
type trial struct {
	parent *node
	name   string
}

// adopt adds the node for key, a name that nobody asked for; first is how its
// value begins. It returns nil for what never becomes a column.
func (o *openFields) adopt(s *scanner, parent *node, key []byte, first byte) *node {
	if first == 'n' || first == '[' {
		return nil
	}
	if len(parent.prefix)+len(key) > NameBytesMax {
		s.refuse(fmt.Sprintf("a field's name is longer than %d bytes", NameBytesMax))
		return nil
	}
	name := parent.prefix + string(key)
	child := parent.put(step{string(key), -1})
	*child = node{slot: o.side(name, parent.outside), opens: true, outside: parent.outside, prefix: name + "."}
	o.trial = append(o.trial, trial{parent, string(key)})
	parent.entered = s.message // it had nothing below it when it was entered
	return child
}

// slot returns the slot of a field, a new one if need be; nil: its name is taken.
func (o *openFields) slot(name string) *slot {
	v, known := o.slots[name]
	if !known {
		v = &slot{name: name, open: true}
		o.slots[name] = v
	}
	return v
}

// side returns the slot of a field inside or outside of the rows, for one more
// node.
func (o *openFields) side(name string, outside bool) *slot {
	v := o.slot(name)
	if v == nil {
		return nil
	}
	if outside {
		if v.outer == nil {
			v.outer = &slot{name: name, open: v.open}
		}
		v = v.outer
	}
	v.nodes++
	return v
}

// check looks at what the present message has for open fields; it returns
// what is wrong.
func (o *openFields) check() string {
	added := 0
	for _, v := range o.touched {
		if v.shape == bare {
			v.dress()
		}
		if v.shape == number {
			var ok bool
			if v.float, ok = v.num.float(v.raw); !ok {
				return outOfRange(v)
			}
		}
		if kind, ok := v.openKind(); ok && !o.slots[v.name].columns[kind] {
			if added++; len(o.columns)+added > OpenColumnsMax {
				return fmt.Sprintf("field %s: more than %d fields that no step names", clip(v.name), OpenColumnsMax)
			}
		}
	}
	return ""
}

// openKind returns the kind of column that the value belongs to.
func (v *slot) openKind() (kind pipeline.Kind, ok bool) {
	switch v.shape {
	case number, real:
		return pipeline.Float, true
	case truth:
		return pipeline.Bool, true
	case text, named:
		return pipeline.Text, true
	case blob:
		return pipeline.Text, utf8.Valid(v.raw)
	}
	return 0, false
}

// grow gives b, whose first columns are fixed, and all later batches a column
// for each new name and kind of the present message.
func (o *openFields) grow(b *pipeline.Batch, fixed int) {
	for _, v := range o.touched {
		kind, ok := v.openKind()
		if v = o.slots[v.name]; !ok || v.columns[kind] {
			continue
		}
		v.columns[kind] = true
		at := sort.Search(len(o.columns), func(i int) bool { return o.columns[i].compare(v.name, kind) > 0 })
		o.columns = slices.Insert(o.columns, at, openColumn{v, kind})
		b.Columns = slices.Insert(b.Columns, fixed+at, nulls(pipeline.Field{Name: v.name, Kind: kind}, b.Rows()))
	}
}

func (c openColumn) compare(name string, kind pipeline.Kind) int {
	return cmp.Or(cmp.Compare(c.slot.name, name), cmp.Compare(c.kind, kind))
}

func nulls(f pipeline.Field, rows int) pipeline.Column {
	c := pipeline.NewColumn(f)
	for range rows {
		c.AppendNull()
	}
	return c
}

// settle ends the trials of a message: a node stays if it is the only one of
// a field that has a column, or if it leads to one that stays. So at most a
// few nodes stay for each column.
func (o *openFields) settle() {
	for _, t := range slices.Backward(o.trial) {
		n := t.parent.names[t.name]
		name := t.parent.prefix + t.name
		v, main := n.slot, o.slots[name]
		if len(n.names) > 0 || v != nil && v.nodes == 1 && main.columns != [len(main.columns)]bool{} {
			continue
		}
		delete(t.parent.names, t.name)
		t.parent.guesses = t.parent.guesses[:0]
		if v != nil {
			v.nodes--
		}
		if v != nil && main.open && main.nodes == 0 && (main.outer == nil || main.outer.nodes == 0) {
			delete(o.slots, name)
		}
	}
	clear(o.trial)
	o.trial, o.touched = o.trial[:0], o.touched[:0]
}

// align gives b the columns that were found since it was last filled.
func (o *openFields) align(b *pipeline.Batch, fixed int) {
	if len(b.Columns) == fixed+len(o.columns) {
		return // columns are only ever added, so these are the same
	}
	old := b.Columns[fixed:]
	all := slices.Clone(b.Columns[:fixed])
	for _, c := range o.columns {
		if len(old) > 0 && c.compare(old[0].Name, old[0].Kind) == 0 {
			all, old = append(all, old[0]), old[1:]
			continue
		}
		all = append(all, nulls(pipeline.Field{Name: c.slot.name, Kind: c.kind}, b.Rows()))
	}
	b.Columns = all
}

// append adds the present message's values to the columns behind the fixed ones.
func (o *openFields) append(columns []pipeline.Column, s *scanner) {
	for i := range o.columns {
		c, v := &columns[i], s.now(o.columns[i].slot)
		if v == nil {
			c.AppendNull()
			continue
		}
		switch kind, ok := v.openKind(); {
		case !ok || kind != c.Kind:
			c.AppendNull()
		case kind == pipeline.Float:
			c.AppendFloat(v.float)
		case kind == pipeline.Bool:
			c.AppendBool(v.truth)
		default:
			c.AppendText(v.raw)
		}
	}
}

// spread opens the nodes on the way to named fields, so that what stands
// beside them is found. Below arrays nothing is.
func (o *openFields) spread(n *node, prefix string) {
	n.opens, n.prefix = true, prefix
	for key, child := range n.names {
		name := prefix + key
		child.outside = n.outside
		if child.slot == nil {
			child.slot = o.side(name, n.outside)
		}
		o.spread(child, name+".")
	}
}
