package expr

import (
	"encoding/binary"

	"millrace.dev/millrace/pipeline"
)

// An operator compares.
type operator uint8

const (
	equal operator = iota
	unequal
	less
	atMost
	greater
	atLeast
)

var operators = map[string]operator{"==": equal, "!=": unequal, "<": less, "<=": atMost, ">": greater, ">=": atLeast}

// turned is the operator that says the same with its operands changed over.
func (op operator) turned() operator {
	return [...]operator{equal, unequal, greater, atLeast, less, atMost}[op]
}

// A comparison compares numbers of one kind, texts, or bools. A constant is
// always on the right and then in c.
type comparison struct {
	op   operator
	x, y node
	c    *constant
	out  pipeline.Column
}

func newComparison(op operator, x, y node) parent {
	if _, ok := known(x); ok {
		x, y, op = y, x, op.turned()
	}
	c, ok := known(y)
	if ok && isNumber(x) && op != unequal {
		return newWithin(op, x, c)
	}
	return &comparison{op: op, x: x, y: y, c: c, out: pipeline.Column{Field: pipeline.Field{Kind: pipeline.Bool}}}
}

func (k *comparison) kind() pipeline.Kind { return pipeline.Bool }

func (k *comparison) operands() []node { return []node{k.x, k.y} }

func (k *comparison) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Bools = resize(out.Bools, b.Rows())
	if k.c != nil {
		out.Valid = append(out.Valid[:0], x.Valid...)
		k.with(x)
		zero(out)
		return out
	}
	y := k.y.eval(b)
	out.Valid = both(out.Valid, x, y)
	switch k.x.kind() {
	case pipeline.Float:
		compare(k.op, out.Bools, x.Floats, y.Floats)
	case pipeline.Int:
		compare(k.op, out.Bools, x.Ints, y.Ints)
	case pipeline.Bool:
		compare(k.op, out.Bools, x.Bools, y.Bools)
	default:
		for i := range out.Bools {
			out.Bools[i] = bit(holds(k.op, string(x.Text(i)), string(y.Text(i))))
		}
	}
	zero(out)
	return out
}

// with compares x with the constant. Of numbers, only != comes here.
func (k *comparison) with(x *pipeline.Column) {
	out := k.out.Bools
	switch k.x.kind() {
	case pipeline.Float:
		differ(out, x.Floats, k.c.float)
	case pipeline.Int:
		differ(out, x.Ints, k.c.int)
	case pipeline.Bool:
		turn := bit(k.c.bool) ^ bit(k.op == equal) // of 0 and 1
		for i, v := range x.Bools {
			out[i] = v ^ turn
		}
	default:
		compareTextWith(k.op, out, x, k.c.text)
	}
}

func differ[T float64 | int64](out []byte, x []T, c T) {
	x = x[:len(out)]
	for i, v := range x {
		out[i] = bit(v != c)
	}
}

// bit is 1 for true. It compiles to an instruction without a branch.
func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// compare compares x and y; one loop for each operator keeps the choice out
// of the loop.
func compare[T float64 | int64 | byte](op operator, out []byte, x, y []T) {
	x, y = x[:len(out)], y[:len(out)]
	switch op {
	case equal:
		for i, v := range x {
			out[i] = bit(v == y[i])
		}
	case unequal:
		for i, v := range x {
			out[i] = bit(v != y[i])
		}
	case less:
		for i, v := range x {
			out[i] = bit(v < y[i])
		}
	case atMost:
		for i, v := range x {
			out[i] = bit(v <= y[i])
		}
	case greater:
		for i, v := range x {
			out[i] = bit(v > y[i])
		}
	case atLeast:
		for i, v := range x {
			out[i] = bit(v >= y[i])
		}
	}
}

func compareTextWith(op operator, out []byte, x *pipeline.Column, c string) {
	if op == equal || op == unequal {
		equalText(out, x, c, bit(op == unequal))
		return
	}
	for i := range out {
		out[i] = bit(holds(op, string(x.Text(i)), c))
	}
}

// equalText compares texts with c; its length first, then eight bytes at a
// time, of which the last overlap those before.
func equalText(out []byte, x *pipeline.Column, c string, differs byte) {
	if len(c) <= 8 {
		equalWord(out, x, c, differs)
		return
	}
	begin, end := binary.LittleEndian.Uint64([]byte(c)), binary.LittleEndian.Uint64([]byte(c[len(c)-8:]))
	from := x.Off[0]
	for i, to := range x.Off[1 : len(out)+1] {
		t := x.Data[from:to]
		from = to
		out[i] = differs
		if len(t) == len(c) && binary.LittleEndian.Uint64(t) == begin && binary.LittleEndian.Uint64(t[len(t)-8:]) == end {
			out[i] = bit(string(t) == c) ^ differs
		}
	}
}

// equalWord is equalText for up to eight bytes, without a branch: which rows
// are equal is hard to foretell.
func equalWord(out []byte, x *pipeline.Column, c string, differs byte) {
	var word, mask [8]byte
	for i := range copy(word[:], c) {
		mask[i] = 0xff
	}
	w, m := binary.LittleEndian.Uint64(word[:]), binary.LittleEndian.Uint64(mask[:])
	off, n := x.Off[:len(out)+1], uint32(len(c))
	whole := len(out) // rows that have a word; the others are too near to the end
	for whole > 0 && int(off[whole-1])+8 > len(x.Data) {
		out[whole-1] = bit(string(x.Text(whole-1)) == c) ^ differs
		whole--
	}
	out = out[:whole]
	from := off[0]
	for i, to := range off[1 : whole+1] {
		v := binary.LittleEndian.Uint64(x.Data[from:])
		out[i] = bit((v^w)&m|uint64(to-from^n) == 0) ^ differs
		from = to
	}
}

func holds(op operator, x, y string) bool {
	switch op {
	case equal:
		return x == y
	case unequal:
		return x != y
	case less:
		return x < y
	case atMost:
		return x <= y
	case greater:
		return x > y
	}
	return x >= y
}
