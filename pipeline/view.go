package pipeline

import "slices"

// Borrow makes b a view of src: the same rows and columns, in the same
// memory. Columns of b can then be put, taken away and renamed without src
// knowing. Rows taken out of b are gone from src too, which is not to be read
// any more.
func (b *Batch) Borrow(src *Batch) {
	columns := append(b.Columns[:0], src.Columns...)
	*b = *src
	b.Columns = columns
}

// Put makes c the column of its name: in the place of those that were called
// so, of whatever kind, or behind all. b takes c as it is and copies nothing.
func (b *Batch) Put(c Column) {
	at := -1
	for k := 0; k < len(b.Columns); k++ {
		switch {
		case b.Columns[k].Name != c.Name:
		case at < 0:
			at = k
		default:
			b.Columns = slices.Delete(b.Columns, k, k+1)
			k--
		}
	}
	if at < 0 {
		b.Columns = append(b.Columns, c)
		return
	}
	b.Columns[at] = c
}

// Find returns the column of f, looked for at place at first, or nil. Where a
// pipeline takes every field of its payloads, columns stand at other places
// than in the schema of its stages.
func (b *Batch) Find(f Field, at int) *Column {
	if at < len(b.Columns) && b.Columns[at].Field == f {
		return &b.Columns[at]
	}
	for k := range b.Columns {
		if b.Columns[k].Field == f {
			return &b.Columns[k]
		}
	}
	return nil
}

// With returns the schema with a field called f.Name of that kind: in its
// place, or behind all.
func (s Schema) With(f Field) Schema {
	s = slices.Clone(s)
	if at := s.Index(f.Name); at >= 0 {
		s[at] = f
		return s
	}
	return append(s, f)
}
