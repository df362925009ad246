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

func newComparison(op operator, x, y node) *comparison {
	if _, ok := known(x); ok {
		x, y, op = y, x, op.turned()
	}
	c, _ := known(y)
	return &comparison{op: op, x: x, y: y, c: c, out: pipeline.Column{Field: pipeline.Field{Kind: pipeline.Bool}}}
}

func (k *comparison) kind() pipeline.Kind { return pipeline.Bool }

func (k *comparison) operands() []node { return []node{k.x, k.y} }

func (k *comparison) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Bools = resize(out.Bools, b.Rows())
	if k.c != nil {
		out.Valid = append(out.Valid[:0], x.Valid...)
		switch k.x.kind() {
		case pipeline.Float:
			compareWith(k.op, out.Bools, x.Floats, k.c.float)
		case pipeline.Int:
			compareWith(k.op, out.Bools, x.Ints, k.c.int)
		case pipeline.Bool:
			compareWith(k.op, out.Bools, x.Bools, bit(k.c.bool))
		default:
			compareTextWith(k.op, out.Bools, x, k.c.text)
		}
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

// bit is 1 for true. It compiles to an instruction without a branch.
func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// compareWith compares all x with c; one loop for each operator keeps the
// choice out of the loop.
func compareWith[T float64 | int64 | byte](op operator, out []byte, x []T, c T) {
	x = x[:len(out)]
	switch op {
	case equal:
		for i, v := range x {
			out[i] = bit(v == c)
		}
	case unequal:
		for i, v := range x {
			out[i] = bit(v != c)
		}
	case less:
		for i, v := range x {
			out[i] = bit(v < c)
		}
	case atMost:
		for i, v := range x {
			out[i] = bit(v <= c)
		}
	case greater:
		for i, v := range x {
			out[i] = bit(v > c)
		}
	case atLeast:
		for i, v := range x {
			out[i] = bit(v >= c)
		}
	}
}

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

// equalText compares texts with c; a short one as a word.
func equalText(out []byte, x *pipeline.Column, c string, differs byte) {
	var word, mask [8]byte
	n := copy(word[:], c)
	for i := range n {
		mask[i] = 0xff
	}
	w, m := binary.LittleEndian.Uint64(word[:]), binary.LittleEndian.Uint64(mask[:])
	from := x.Off[0]
	for i, to := range x.Off[1 : len(out)+1] {
		switch {
		case int(to-from) != len(c):
			out[i] = differs
		case len(c) <= 8 && int(from)+8 <= len(x.Data):
			out[i] = bit((binary.LittleEndian.Uint64(x.Data[from:])^w)&m == 0) ^ differs
		default:
			out[i] = bit(string(x.Data[from:to]) == c) ^ differs
		}
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
