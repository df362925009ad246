package sinks

import (
	"slices"
	"time"

	"millrace.dev/millrace/pipeline"
)

const (
	rowBytes    = 45      // what a row is counted for beside its columns: six numbers and the hop
	headBytes   = 256     // what a chunk is counted for beside its rows and columns
	columnBytes = 192     // what a column is counted for beside its rows
	chunkBytes  = 1 << 20 // a chunk is full at this size
	// columnsMax is the most columns of a chunk that takes rows of batches
	// with other columns.
	columnsMax = 1024
)

// A chunk is a stretch of a queue: rows that are written together.
type chunk struct {
	b     pipeline.Batch
	bytes int64     // what it is counted for
	since time.Time // when its first row came
	kept  bool      // it has rows of the journal, which are not dropped
	ends  []end     // see there
}

// sizeOf returns what the rows from..to of b are counted for.
func sizeOf(b *pipeline.Batch, from, to int) int64 {
	rows := int64(to - from)
	n := rows * rowBytes
	for k := range b.Columns {
		switch c := &b.Columns[k]; c.Kind {
		case pipeline.Float, pipeline.Int:
			n += rows * 8
		case pipeline.Bool:
			n += rows
		default:
			n += rows*4 + int64(c.Off[to]-c.Off[from])
		}
	}
	return n
}

// begin empties the chunk and gives it the columns of b.
func (c *chunk) begin(b *pipeline.Batch, now time.Time) {
	c.b.Reset()
	for len(c.b.Columns) < len(b.Columns) {
		c.b.Columns = append(c.b.Columns, pipeline.Column{})
	}
	c.b.Columns = c.b.Columns[:len(b.Columns)]
	for k := range b.Columns {
		c.b.Columns[k].Field = b.Columns[k].Field
		c.b.Columns[k].Reset()
	}
	c.since, c.kept, c.ends = now, false, c.ends[:0]
	c.count()
}

// sameColumns reports whether the columns of a and b are the same, in order.
func sameColumns(a, b *pipeline.Batch) bool {
	return slices.EqualFunc(a.Columns, b.Columns, func(x, y pipeline.Column) bool { return x.Field == y.Field })
}

// widen gives the chunk the columns of b that it lacks; its rows have no
// value there. It reports false, and does nothing, when they would be too many.
func (c *chunk) widen(b *pipeline.Batch) bool {
	var more []pipeline.Field
	for k := range b.Columns {
		if f := b.Columns[k].Field; columnOf(&c.b, f) == nil {
			more = append(more, f)
		}
	}
	if len(c.b.Columns)+len(more) > columnsMax {
		return false
	}
	for _, f := range more {
		column := pipeline.NewColumn(f)
		for range c.b.Rows() {
			column.AppendNull()
		}
		c.b.Columns = append(c.b.Columns, column)
	}
	c.count()
	return true
}

func columnOf(b *pipeline.Batch, f pipeline.Field) *pipeline.Column {
	for k := range b.Columns {
		if b.Columns[k].Field == f {
			return &b.Columns[k]
		}
	}
	return nil
}

// append adds the rows from..to of b, whose columns the chunk has.
func (c *chunk) append(b *pipeline.Batch, from, to int) {
	d := &c.b
	d.Time = append(d.Time, b.Time[from:to]...)
	d.Arrived = append(d.Arrived, b.Arrived[from:to]...)
	d.Mark = append(d.Mark, b.Mark[from:to]...)
	d.Key = append(d.Key, b.Key[from:to]...)
	d.Offset = append(d.Offset, b.Offset[from:to]...)
	d.Ordinal = append(d.Ordinal, b.Ordinal[from:to]...)
	d.Hop = append(d.Hop, b.Hop[from:to]...)
	same := sameColumns(d, b)
	for k := range d.Columns {
		to0 := &d.Columns[k]
		src := (*pipeline.Column)(nil)
		if same {
			src = &b.Columns[k]
		} else {
			src = columnOf(b, to0.Field)
		}
		if src != nil {
			appendRows(to0, src, from, to)
			continue
		}
		for range to - from {
			to0.AppendNull()
		}
	}
	c.count()
}

// count brings bytes up to date, after rows or columns came or went.
func (c *chunk) count() {
	c.bytes = headBytes + int64(len(c.b.Columns))*columnBytes + sizeOf(&c.b, 0, c.b.Rows())
}

// appendRows adds the rows from..to of src to dst, a column of the same kind.
func appendRows(dst, src *pipeline.Column, from, to int) {
	if len(dst.Valid) > 0 || len(src.Valid) > 0 { // bit by bit
		for i := from; i < to; i++ {
			dst.AppendFrom(src, i)
		}
		return
	}
	switch src.Kind {
	case pipeline.Float:
		dst.Floats = append(dst.Floats, src.Floats[from:to]...)
	case pipeline.Int:
		dst.Ints = append(dst.Ints, src.Ints[from:to]...)
	case pipeline.Bool:
		dst.Bools = append(dst.Bools, src.Bools[from:to]...)
	default:
		shift := uint32(len(dst.Data)) - src.Off[from] // may wrap; so does the sum
		dst.Data = append(dst.Data, src.Data[src.Off[from]:src.Off[to]]...)
		for _, off := range src.Off[from+1 : to+1] {
			dst.Off = append(dst.Off, off+shift)
		}
	}
}
