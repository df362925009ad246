package pipeline

import (
	"fmt"
	"slices"
)

// Kind is the type of a column's values. The numbers are those of function ABI 1.
type Kind uint8

const (
	Float Kind = iota + 1 // 64-bit float; NaN is a value, not an absence
	Int                   // 64-bit signed integer
	Bool                  // one byte a row, 0 or 1
	Text                  // UTF-8
	Bytes                 // anything
)

// String returns the kind as users know it: number, int, bool, text or bytes.
func (k Kind) String() string {
	switch k {
	case Float:
		return "number"
	case Int:
		return "int"
	case Bool:
		return "bool"
	case Text:
		return "text"
	case Bytes:
		return "bytes"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// A Field names a column and gives its kind.
type Field struct {
	Name string
	Kind Kind
}

// A Schema is the fields of a batch, in column order.
type Schema []Field

// Index returns the place of the field called name, or -1.
func (s Schema) Index(name string) int {
	return slices.IndexFunc(s, func(f Field) bool { return f.Name == name })
}

// A Column is one field of every row of a batch. Exactly one of the value
// slices is in use, as Kind says; its length is the number of rows (Off: one
// more). A row without a value holds a zero there and a zero bit in Valid.
type Column struct {
	Field
	Floats []float64
	Ints   []int64
	Bools  []byte
	Off    []uint32 // Text and Bytes: row i is Data[Off[i]:Off[i+1]]
	Data   []byte
	Valid  []byte // bitmap, least significant bit first; empty: every row has a value
}

// NewColumn returns a column without rows.
func NewColumn(f Field) Column {
	c := Column{Field: f}
	c.Reset()
	return c
}

// Rows returns the number of rows.
func (c *Column) Rows() int {
	switch c.Kind {
	case Float:
		return len(c.Floats)
	case Int:
		return len(c.Ints)
	case Bool:
		return len(c.Bools)
	}
	return max(len(c.Off), 1) - 1
}

// Reset empties the column and keeps its memory.
func (c *Column) Reset() {
	c.Floats, c.Ints, c.Bools, c.Data, c.Valid = c.Floats[:0], c.Ints[:0], c.Bools[:0], c.Data[:0], c.Valid[:0]
	if c.Kind == Text || c.Kind == Bytes {
		c.Off = append(c.Off[:0], 0)
	}
}

// Has reports whether row i has a value.
func (c *Column) Has(i int) bool {
	return len(c.Valid) == 0 || c.Valid[i>>3]&(1<<(i&7)) != 0
}

// Text returns the bytes of row i of a Text or Bytes column, valid until the column changes.
func (c *Column) Text(i int) []byte { return c.Data[c.Off[i]:c.Off[i+1]] }

// AppendFloat adds a row to a Float column.
func (c *Column) AppendFloat(v float64) {
	c.Floats = append(c.Floats, v)
	if len(c.Valid) > 0 {
		c.setValid(len(c.Floats) - 1)
	}
}

// AppendInt adds a row to an Int column.
func (c *Column) AppendInt(v int64) {
	c.Ints = append(c.Ints, v)
	if len(c.Valid) > 0 {
		c.setValid(len(c.Ints) - 1)
	}
}

// AppendBool adds a row to a Bool column.
func (c *Column) AppendBool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	c.Bools = append(c.Bools, b)
	if len(c.Valid) > 0 {
		c.setValid(len(c.Bools) - 1)
	}
}

// AppendText adds a row to a Text or Bytes column; it copies v.
func (c *Column) AppendText(v []byte) {
	c.Data = append(c.Data, v...)
	c.Off = append(c.Off, uint32(len(c.Data)))
	if len(c.Valid) > 0 {
		c.setValid(len(c.Off) - 2)
	}
}

// AppendNull adds a row without a value.
func (c *Column) AppendNull() {
	n := c.Rows()
	if len(c.Valid) == 0 {
		for range n >> 3 {
			c.Valid = append(c.Valid, 0xff)
		}
		c.Valid = append(c.Valid, 1<<(n&7)-1)
	} else if n&7 == 0 {
		c.Valid = append(c.Valid, 0)
	}
	switch c.Kind {
	case Float:
		c.Floats = append(c.Floats, 0)
	case Int:
		c.Ints = append(c.Ints, 0)
	case Bool:
		c.Bools = append(c.Bools, 0)
	default:
		c.Off = append(c.Off, uint32(len(c.Data)))
	}
}

// setValid marks row i, the last one, as having a value.
func (c *Column) setValid(i int) {
	if i>>3 == len(c.Valid) {
		c.Valid = append(c.Valid, 0)
	}
	c.Valid[i>>3] |= 1 << (i & 7)
}

// AppendFrom adds row i of src, a column of the same kind.
func (c *Column) AppendFrom(src *Column, i int) {
	switch {
	case !src.Has(i):
		c.AppendNull()
	case c.Kind == Float:
		c.AppendFloat(src.Floats[i])
	case c.Kind == Int:
		c.AppendInt(src.Ints[i])
	case c.Kind == Bool:
		c.AppendBool(src.Bools[i] != 0)
	default:
		c.AppendText(src.Text(i))
	}
}

// CopyFrom makes c equal to src; it shares no memory with it.
func (c *Column) CopyFrom(src *Column) {
	c.Field = src.Field
	c.Floats = append(c.Floats[:0], src.Floats...)
	c.Ints = append(c.Ints[:0], src.Ints...)
	c.Bools = append(c.Bools[:0], src.Bools...)
	c.Off = append(c.Off[:0], src.Off...)
	c.Data = append(c.Data[:0], src.Data...)
	c.Valid = append(c.Valid[:0], src.Valid...)
}

// truncate drops every row from n on.
func (c *Column) truncate(n int) {
	switch c.Kind {
	case Float:
		c.Floats = c.Floats[:n]
	case Int:
		c.Ints = c.Ints[:n]
	case Bool:
		c.Bools = c.Bools[:n]
	default:
		c.Off = c.Off[:n+1]
		c.Data = c.Data[:c.Off[n]]
	}
	if len(c.Valid) > 0 {
		c.Valid = c.Valid[:(n+7)>>3]
		if n&7 != 0 {
			c.Valid[n>>3] &= 1<<(n&7) - 1
		}
	}
}

// take keeps the rows listed, in ascending order, and drops the others.
func (c *Column) take(rows []int32) {
	if len(c.Valid) > 0 {
		c.takeValid(rows)
	}
	switch c.Kind {
	case Float:
		for to, from := range rows {
			c.Floats[to] = c.Floats[from]
		}
		c.Floats = c.Floats[:len(rows)]
	case Int:
		for to, from := range rows {
			c.Ints[to] = c.Ints[from]
		}
		c.Ints = c.Ints[:len(rows)]
	case Bool:
		for to, from := range rows {
			c.Bools[to] = c.Bools[from]
		}
		c.Bools = c.Bools[:len(rows)]
	default:
		end := uint32(0)
		for to, from := range rows {
			a, b := c.Off[from], c.Off[from+1]
			c.Off[to] = end
			end += uint32(copy(c.Data[end:], c.Data[a:b]))
		}
		c.Off = append(c.Off[:len(rows)], end)
		c.Data = c.Data[:end]
	}
}

func (c *Column) takeValid(rows []int32) {
	for to, from := range rows {
		bit := c.Valid[from>>3] >> (from & 7) & 1
		c.Valid[to>>3] = c.Valid[to>>3]&^(1<<(to&7)) | bit<<(to&7)
	}
	c.Valid = c.Valid[:(len(rows)+7)>>3]
	if n := len(rows); n&7 != 0 {
		c.Valid[n>>3] &= 1<<(n&7) - 1
	}
}
