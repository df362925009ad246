package steps

import (
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A Keep is a stage that keeps the columns listed, in that order, and takes
// all others away. It works in place.
type Keep struct {
	names  []string
	schema pipeline.Schema
	out    pipeline.Batch
}

// NewKeep returns the stage. With open, batches may have columns that s does
// not name; a name that nothing has is then no mistake.
func NewKeep(names []string, s pipeline.Schema, open bool) (*Keep, error) {
	k := &Keep{names: names}
	for _, name := range names {
		at := s.Index(name)
		if at < 0 && !open {
			return nil, unknown(s, "", name)
		}
		if at >= 0 {
			k.schema = append(k.schema, s[at])
		}
	}
	return k, nil
}

// Schema implements Step.
func (k *Keep) Schema() pipeline.Schema { return k.schema }

// Process implements pipeline.Stage.
func (k *Keep) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	columns := k.out.Columns[:0]
	for _, name := range k.names {
		for i := range in.Columns {
			if in.Columns[i].Name == name {
				columns = append(columns, in.Columns[i])
			}
		}
	}
	k.out = *in
	k.out.Columns = columns
	out.Main = &k.out
	return nil
}

// A Drop is a stage that takes the columns listed away. It works in place.
type Drop struct {
	names  []string
	schema pipeline.Schema
	out    pipeline.Batch
}

// NewDrop returns the stage. With open, batches may have columns that s does
// not name; a name that nothing has is then no mistake.
func NewDrop(names []string, s pipeline.Schema, open bool) (*Drop, error) {
	for _, name := range names {
		if s.Index(name) < 0 && !open {
			return nil, unknown(s, "", name)
		}
	}
	d := &Drop{names: names}
	d.schema = slices.DeleteFunc(slices.Clone(s), func(f pipeline.Field) bool { return d.has(f.Name) })
	return d, nil
}

// Schema implements Step.
func (d *Drop) Schema() pipeline.Schema { return d.schema }

// Process implements pipeline.Stage.
func (d *Drop) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	d.out.Borrow(in)
	d.out.Columns = slices.DeleteFunc(d.out.Columns, func(c pipeline.Column) bool { return d.has(c.Name) })
	out.Main = &d.out
	return nil
}

func (d *Drop) has(name string) bool { return slices.Contains(d.names, name) }

// A Renaming is the old and the new name of a column.
type Renaming struct{ From, To string }

// A Rename is a stage that gives columns other names, all at once, so that
// two can change places. It works in place.
type Rename struct {
	to     []Renaming
	schema pipeline.Schema
	out    pipeline.Batch
}

// NewRename returns the stage. With open, batches may have columns that s
// does not name: a name that nothing has is then no mistake, and a column of
// the payload that is called like a new name gives way.
func NewRename(to []Renaming, s pipeline.Schema, open bool) (*Rename, error) {
	r := &Rename{to: to, schema: slices.Clone(s)}
	for _, x := range to {
		if s.Index(x.From) < 0 && !open {
			return nil, unknown(s, x.From, x.From)
		}
	}
	for i := range r.schema {
		r.schema[i].Name = r.name(s[i].Name)
	}
	for i, f := range r.schema {
		if r.schema.Index(f.Name) == i {
			continue
		}
		for _, x := range to {
			if x.To == f.Name {
				return nil, fail(x.From, "drop it before, or give it another name too", "there is a column %q already", x.To)
			}
		}
	}
	return r, nil
}

// Schema implements Step.
func (r *Rename) Schema() pipeline.Schema { return r.schema }

// Process implements pipeline.Stage.
func (r *Rename) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	columns := r.out.Columns[:0]
	for i := range in.Columns {
		c := in.Columns[i]
		was := c.Name
		c.Name = r.name(was)
		if was == c.Name && r.taken(was) {
			continue
		}
		columns = append(columns, c)
	}
	r.out = *in
	r.out.Columns = columns
	out.Main = &r.out
	return nil
}

// name returns what the column is called from here on.
func (r *Rename) name(from string) string {
	for _, x := range r.to {
		if x.From == from {
			return x.To
		}
	}
	return from
}

func (r *Rename) taken(name string) bool {
	return slices.ContainsFunc(r.to, func(x Renaming) bool { return x.To == name })
}
