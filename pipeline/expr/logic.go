package expr

import (
	"encoding/binary"

	"millrace.dev/millrace/pipeline"
)

// A logic is x and y, or x or y, of three values: a row without one is
// unknown, and what is unknown matters only where the other side does not
// decide alone.
type logic struct {
	or   bool
	x, y node
	out  pipeline.Column
}

func (k *logic) kind() pipeline.Kind { return pipeline.Bool }

func (k *logic) operands() []node { return []node{k.x, k.y} }

func (k *logic) eval(b *pipeline.Batch) *pipeline.Column {
	x, y, out := k.x.eval(b), k.y.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, out.Valid[:0]
	out.Bools = resize(out.Bools, b.Rows())
	if k.or { // unknown is stored as 0, which is right in both
		either(out.Bools, x.Bools, y.Bools)
	} else {
		each(out.Bools, x.Bools, y.Bools)
	}
	if len(x.Valid)+len(y.Valid) > 0 {
		k.valid(x, y)
	}
	return out
}

// either is x or y, eight rows at a time.
func either(out, x, y []byte) {
	for len(out) >= 8 {
		binary.LittleEndian.PutUint64(out, binary.LittleEndian.Uint64(x)|binary.LittleEndian.Uint64(y))
		out, x, y = out[8:], x[8:], y[8:]
	}
	for i := range out {
		out[i] = x[i] | y[i]
	}
}

// each is x and y, eight rows at a time.
func each(out, x, y []byte) {
	for len(out) >= 8 {
		binary.LittleEndian.PutUint64(out, binary.LittleEndian.Uint64(x)&binary.LittleEndian.Uint64(y))
		out, x, y = out[8:], x[8:], y[8:]
	}
	for i := range out {
		out[i] = x[i] & y[i]
	}
}

// valid finds the rows whose outcome is known: both sides are, or one decides.
func (k *logic) valid(x, y *pipeline.Column) {
	out, decides := &k.out, bit(k.or)
	out.Valid = resize(out.Valid, (len(out.Bools)+7)>>3)
	clear(out.Valid)
	for i := range out.Bools {
		hasX, hasY := x.Has(i), y.Has(i)
		if hasX && hasY || hasX && x.Bools[i] == decides || hasY && y.Bools[i] == decides {
			out.Valid[i>>3] |= 1 << (i & 7)
		}
	}
}

type not struct {
	x   node
	out pipeline.Column
}

func (k *not) kind() pipeline.Kind { return pipeline.Bool }

func (k *not) operands() []node { return []node{k.x} }

func (k *not) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, append(out.Valid[:0], x.Valid...)
	out.Bools = resize(out.Bools, b.Rows())
	bits := out.Bools[:len(x.Bools)]
	for i, v := range x.Bools {
		bits[i] = v ^ 1
	}
	zero(out)
	return out
}

// An isNil is x == nil, or x != nil.
type isNil struct {
	x   node
	not bool
	out pipeline.Column
}

func (k *isNil) kind() pipeline.Kind { return pipeline.Bool }

func (k *isNil) operands() []node { return []node{k.x} }

func (k *isNil) eval(b *pipeline.Batch) *pipeline.Column {
	out := &k.out
	out.Kind = pipeline.Bool
	out.Bools = resize(out.Bools, b.Rows())
	if k.x.kind() == 0 { // nil == nil
		for i := range out.Bools {
			out.Bools[i] = bit(!k.not)
		}
		return out
	}
	x := k.x.eval(b)
	for i := range out.Bools {
		out.Bools[i] = bit(x.Has(i) == k.not)
	}
	return out
}

// A choose is cond ? x : y.
type choose struct {
	cond, x, y node
	out        pipeline.Column
}

func (k *choose) kind() pipeline.Kind { return k.x.kind() }

func (k *choose) eval(b *pipeline.Batch) *pipeline.Column {
	cond, x, y, out := k.cond.eval(b), k.x.eval(b), k.y.eval(b), &k.out
	out.Kind = k.x.kind()
	out.Reset()
	for i, v := range cond.Bools {
		switch {
		case !cond.Has(i):
			out.AppendNull()
		case v != 0:
			out.AppendFrom(x, i)
		default:
			out.AppendFrom(y, i)
		}
	}
	return out
}

// A coalesce is x ?? y: x, or y where x is nil.
type coalesce struct {
	x, y node
	out  pipeline.Column
}

func (k *coalesce) kind() pipeline.Kind { return k.x.kind() }

func (k *coalesce) eval(b *pipeline.Batch) *pipeline.Column {
	x, y, out := k.x.eval(b), k.y.eval(b), &k.out
	out.Kind = k.x.kind()
	out.Reset()
	for i := range b.Rows() {
		if x.Has(i) {
			out.AppendFrom(x, i)
		} else {
			out.AppendFrom(y, i)
		}
	}
	return out
}
