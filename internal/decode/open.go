package decode

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

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
	fresh  bool // its slot is new too
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
	v, known := o.slots[name]
	if !known {
		v = &slot{name: name, open: true}
		o.slots[name] = v
	}
	child := parent.put(step{string(key), -1})
	*child = node{slot: v, opens: true, prefix: name + "."}
	o.trial = append(o.trial, trial{parent, string(key), !known})
	return child
}

// check looks at what the present message has for open fields; it returns
// what is wrong.
func (o *openFields) check() string {
	added := 0
	for _, v := range o.touched {
		if v.shape == number {
			var ok bool
			if v.float, ok = v.num.float(v.raw); !ok {
				return outOfRange(v)
			}
		}
		if kind, ok := v.openKind(); ok && !v.columns[kind] {
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
	case number:
		return pipeline.Float, true
	case truth:
		return pipeline.Bool, true
	case text:
		return pipeline.Text, true
	}
	return 0, false
}

// grow gives b, whose first columns are fixed, and all later batches a column
// for each new name and kind of the present message.
func (o *openFields) grow(b *pipeline.Batch, fixed int) {
	for _, v := range o.touched {
		kind, ok := v.openKind()
		if !ok || v.columns[kind] {
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

// settle ends the trials of a message: nodes stay if their slot has a column,
// or if they lead to one that stays. So at most a few nodes stay for each column.
func (o *openFields) settle() {
	for _, t := range slices.Backward(o.trial) {
		n := t.parent.names[t.name]
		if len(n.names) > 0 || t.fresh && n.slot.columns != [len(n.slot.columns)]bool{} {
			continue
		}
		delete(t.parent.names, t.name)
		t.parent.guesses = t.parent.guesses[:0]
		if t.fresh {
			delete(o.slots, n.slot.name)
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
func (o *openFields) append(columns []pipeline.Column, message uint64) {
	for i := range o.columns {
		c, v := &columns[i], o.columns[i].slot
		if v.seen != message {
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
		if _, known := o.slots[name]; !known && child.slot == nil {
			o.slots[name] = &slot{name: name, open: true}
		}
		if child.slot == nil {
			child.slot = o.slots[name]
		}
		o.spread(child, name+".")
	}
}
