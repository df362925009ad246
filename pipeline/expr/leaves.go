package expr

import (
	"encoding/binary"
	"fmt"
	"math"

	"millrace.dev/millrace/pipeline"
)

// A column is one of the batch's.
type column struct {
	index int
	field pipeline.Field
}

func (c *column) kind() pipeline.Kind { return c.field.Kind }

func (c *column) eval(b *pipeline.Batch) *pipeline.Column {
	x := b.Find(c.field, c.index)
	if x == nil {
		panic(fmt.Sprintf("BUG: there is no column %v", c.field))
	}
	return x
}

// A constant is the same in every row; nil where null is set or is is 0.
type constant struct {
	is    pipeline.Kind
	null  bool
	float float64
	int   int64
	bool  bool
	text  string
	out   pipeline.Column // as many rows as were ever wanted
	lent  pipeline.Column // the first of them
}

func (c *constant) kind() pipeline.Kind { return c.is }

func (c *constant) eval(b *pipeline.Batch) *pipeline.Column {
	if c.out.Kind == 0 {
		c.out = pipeline.NewColumn(pipeline.Field{Kind: c.is})
	}
	n := b.Rows()
	for c.out.Rows() < n {
		c.append()
	}
	c.lent = c.out
	switch c.is {
	case pipeline.Float:
		c.lent.Floats = c.out.Floats[:n]
	case pipeline.Int:
		c.lent.Ints = c.out.Ints[:n]
	case pipeline.Bool:
		c.lent.Bools = c.out.Bools[:n]
	default:
		c.lent.Off = c.out.Off[:n+1]
	}
	if c.null {
		c.lent.Valid = c.out.Valid[:(n+7)>>3]
	}
	return &c.lent
}

func (c *constant) append() {
	switch {
	case c.null:
		c.out.AppendNull()
	case c.is == pipeline.Float:
		c.out.AppendFloat(c.float)
	case c.is == pipeline.Int:
		c.out.AppendInt(c.int)
	case c.is == pipeline.Bool:
		c.out.AppendBool(c.bool)
	default:
		c.out.AppendText([]byte(c.text))
	}
}

// known returns the constant that x is, if it is one with a value.
func known(x node) (*constant, bool) {
	c, ok := x.(*constant)
	return c, ok && !c.null && c.is != 0
}

// A parent is a node that has operands.
type parent interface {
	node
	operands() []node
}

// fold returns the constant that p is if all its operands are, or p.
func fold(p parent) node {
	for _, x := range p.operands() {
		if _, ok := known(x); !ok {
			return p
		}
	}
	one := pipeline.NewBatch(nil, nil)
	one.AppendRow(pipeline.Row{})
	out := p.eval(one)
	if !out.Has(0) {
		return p
	}
	c := &constant{is: out.Kind}
	switch out.Kind {
	case pipeline.Float:
		c.float = out.Floats[0]
	case pipeline.Int:
		c.int = out.Ints[0]
	case pipeline.Bool:
		c.bool = out.Bools[0] != 0
	default:
		c.text = string(out.Text(0))
	}
	return c
}

// A let computes a value once for all places that name it.
type let struct {
	value  node
	locals *reference
	body   node
}

func (l *let) kind() pipeline.Kind { return l.body.kind() }

func (l *let) eval(b *pipeline.Batch) *pipeline.Column {
	l.locals.now = l.value.eval(b)
	return l.body.eval(b)
}

// A reference names the value of a let around it.
type reference struct {
	to  node
	now *pipeline.Column
}

func (r *reference) kind() pipeline.Kind { return r.to.kind() }

func (r *reference) eval(*pipeline.Batch) *pipeline.Column { return r.now }

// resize returns s with n elements; they hold anything.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// both sets dst to the rows that have a value in x and y; it may be x.Valid.
func both(dst []byte, x, y *pipeline.Column) []byte {
	switch {
	case len(x.Valid) == 0:
		return append(dst[:0], y.Valid...)
	case len(y.Valid) == 0:
		return append(dst[:0], x.Valid...)
	}
	dst = append(dst[:0], x.Valid...)
	for i, v := range y.Valid {
		dst[i] &= v
	}
	return dst
}

// zero puts zeros where c has no value.
func zero(c *pipeline.Column) {
	if len(c.Valid) == 0 {
		return
	}
	switch c.Kind {
	case pipeline.Float:
		for i, v := range c.Floats {
			c.Floats[i] = math.Float64frombits(math.Float64bits(v) & every(c.Valid[i>>3]>>(i&7)&1))
		}
	case pipeline.Int:
		for i, v := range c.Ints {
			c.Ints[i] = v & int64(every(c.Valid[i>>3]>>(i&7)&1))
		}
	case pipeline.Bool:
		bools := c.Bools
		for _, bits := range c.Valid {
			if len(bools) < 8 {
				for i := range bools {
					bools[i] &= bits >> i & 1
				}
				return
			}
			binary.LittleEndian.PutUint64(bools, binary.LittleEndian.Uint64(bools)&eightOf(bits))
			bools = bools[8:]
		}
	}
}

// every returns 64 bits that are all b, 0 or 1.
func every(b byte) uint64 { return -uint64(b) }

// eightOf returns the eight bits as bytes that are 0 or 1.
func eightOf(bits byte) uint64 {
	const one = 0x8040201008040201 // bit i of byte i
	return (uint64(bits)*eightTrue&one + 0x7f*eightTrue) >> 7 & eightTrue
}

// bitsOf is the opposite of eightOf.
func bitsOf(eight uint64) byte {
	const gather = 0x0102040810204080 // moves bit 8i to bit 56+i; no two meet
	return byte(eight * gather >> 56)
}
