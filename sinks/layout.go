package sinks

import (
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A layout says in which columns of a batch the fields are that a sink
// writes. It is worked out anew only when a batch has other columns.
type layout struct {
	only   []string // the fields, in order; nil for all that are there
	except []string // of those, not these

	schema pipeline.Schema // what fields was worked out for
	fields []field
	known  bool
}

// A field is one name and the columns that have it: more than one when
// payloads disagree on its kind; then a row has a value in one of them.
type field struct {
	name    string
	key     []byte // ,"name":
	columns []int
}

// fit works the layout out for the columns of b.
func (l *layout) fit(b *pipeline.Batch) {
	if l.known && fits(l.schema, b) {
		return
	}
	l.schema, l.known = b.Schema(), true
	l.fields = l.fields[:0]
	names := l.only
	if names == nil {
		for _, f := range l.schema {
			names = append(names, f.Name)
		}
	}
	for _, name := range names {
		same := func(f field) bool { return f.name == name }
		if slices.Contains(l.except, name) || slices.ContainsFunc(l.fields, same) {
			continue
		}
		f := field{name: name, key: append(appendQuoted([]byte{','}, []byte(name)), ':')}
		for i := range l.schema {
			if l.schema[i].Name == name {
				f.columns = append(f.columns, i)
			}
		}
		l.fields = append(l.fields, f)
	}
}

func fits(s pipeline.Schema, b *pipeline.Batch) bool {
	if len(s) != len(b.Columns) {
		return false
	}
	for i := range b.Columns {
		if b.Columns[i].Field != s[i] {
			return false
		}
	}
	return true
}

// column returns the column that has the value of row i, or nil.
func (f *field) column(b *pipeline.Batch, i int) *pipeline.Column {
	for _, k := range f.columns {
		if c := &b.Columns[k]; c.Has(i) {
			return c
		}
	}
	return nil
}
