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
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, out.Valid[:0]
	out.Bools = resize(out.Bools, b.Rows())
	if len(x.Valid) == 0 && all(x.Bools, bit(k.or)) { // y does not matter
		copy(out.Bools, x.Bools)
		return out
	}
	y := k.y.eval(b)
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

// The eight bytes of as many rows that are true.
const eightTrue = 0x0101010101010101

// all tells whether every row is v, 0 or 1.
func all(bools []byte, v byte) bool {
	for ; len(bools) >= 8; bools = bools[8:] {
		if binary.LittleEndian.Uint64(bools) != eightTrue*uint64(v) {
			return false
		}
	}
	for _, b := range bools {
		if b != v {
			return false
		}
	}
	return true
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
	turn(out.Bools, x.Bools)
	zero(out)
	return out
}

// turn is not x, eight rows at a time.
func turn(out, x []byte) {
	for len(out) >= 8 {
		binary.LittleEndian.PutUint64(out, binary.LittleEndian.Uint64(x)^eightTrue)
		out, x = out[8:], x[8:]
	}
	for i := range out {
		out[i] = x[i] ^ 1
	}
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
	if len(x.Valid) == 0 {
		for i := range out.Bools {
			out.Bools[i] = bit(k.not)
		}
		return out
	}
	for i := range out.Bools {
		out.Bools[i] = bit(x.Has(i) == k.not)
	}
	return out
}
