package expr

import (
	"math"

	"millrace.dev/millrace/pipeline"
)

// A within is lo <= x <= hi, of numbers. Every comparison with a constant is
// one, but for !=: x > 3 is from the number after 3 on. So two comparisons of
// one column are made together, and arithmetic below them in the same loop.
type within struct {
	x      node
	floats bounds[float64] // of a Float
	ints   bounds[int64]   // of an Int
	out    pipeline.Column
}

// bounds of which one is NaN hold nothing, as do those that are crossed.
type bounds[T float64 | int64] struct{ lo, hi T }

func newWithin(op operator, x node, c *constant) *within {
	k := &within{x: x, out: pipeline.Column{Field: pipeline.Field{Kind: pipeline.Bool}}}
	if x.kind() == pipeline.Int {
		k.ints = intBounds(op, c.int)
	} else {
		k.floats = floatBounds(op, c.float)
	}
	return k
}

func floatBounds(op operator, c float64) bounds[float64] {
	b := bounds[float64]{math.Inf(-1), math.Inf(1)}
	switch op {
	case equal:
		return bounds[float64]{c, c}
	case less:
		if b.hi = math.Nextafter(c, b.lo); c == b.lo {
			b.hi = math.NaN()
		}
	case atMost:
		b.hi = c
	case greater:
		if b.lo = math.Nextafter(c, b.hi); c == b.hi {
			b.lo = math.NaN()
		}
	case atLeast:
		b.lo = c
	}
	return b
}

func intBounds(op operator, c int64) bounds[int64] {
	b := bounds[int64]{math.MinInt64, math.MaxInt64}
	nothing := bounds[int64]{math.MaxInt64, math.MinInt64}
	switch {
	case op == less && c == b.lo || op == greater && c == b.hi:
		return nothing
	case op == equal:
		return bounds[int64]{c, c}
	case op == less:
		b.hi = c - 1
	case op == atMost:
		b.hi = c
	case op == greater:
		b.lo = c + 1
	case op == atLeast:
		b.lo = c
	}
	return b
}

// and returns what is within both, if they are of the same column or name.
func (k *within) and(other *within) (*within, bool) {
	if !same(k.x, other.x) {
		return nil, false
	}
	both := &within{x: k.x, out: pipeline.Column{Field: k.out.Field}}
	both.floats = bounds[float64]{max(k.floats.lo, other.floats.lo), min(k.floats.hi, other.floats.hi)}
	both.ints = bounds[int64]{max(k.ints.lo, other.ints.lo), min(k.ints.hi, other.ints.hi)}
	return both, true
}

func same(x, y node) bool {
	if c, ok := x.(*column); ok {
		d, ok := y.(*column)
		return ok && *c == *d
	}
	_, ok := x.(*reference)
	return ok && x == y
}

func (k *within) kind() pipeline.Kind { return pipeline.Bool }

func (k *within) operands() []node { return []node{k.x} }

func (k *within) eval(b *pipeline.Batch) *pipeline.Column {
	out := &k.out
	out.Bools = resize(out.Bools, b.Rows())
	if m, ok := k.x.(*floatMath); ok && hasLoop(m.op) {
		k.compute(m, b)
	} else if x := k.x.eval(b); x.Kind == pipeline.Int {
		out.Valid = append(out.Valid[:0], x.Valid...)
		inside(out.Bools, x.Ints, k.ints, math.MinInt64, math.MaxInt64)
	} else {
		out.Valid = append(out.Valid[:0], x.Valid...)
		inside(out.Bools, x.Floats, k.floats, math.Inf(-1), math.Inf(1))
	}
	zero(out)
	return out
}

// inside finds the values within b, with a loop of its own where one test is
// enough. Least and most bound nothing.
func inside[T float64 | int64](out []byte, x []T, b bounds[T], least, most T) {
	x = x[:len(out)]
	switch {
	case b.lo == b.hi:
		for i, v := range x {
			out[i] = bit(v == b.lo)
		}
	case b.hi == most:
		for i, v := range x {
			out[i] = bit(v >= b.lo)
		}
	case b.lo == least:
		for i, v := range x {
			out[i] = bit(v <= b.hi)
		}
	default:
		for i, v := range x {
			out[i] = bit(v >= b.lo) & bit(v <= b.hi)
		}
	}
}

// compute finds the results of m within the bounds without keeping them.
func (k *within) compute(m *floatMath, b *pipeline.Batch) {
	x, out := m.x.eval(b), &k.out
	if c, ok := known(m.y); ok {
		out.Valid = append(out.Valid[:0], x.Valid...)
		k.computeWith(m.op, out.Bools, x.Floats, c.float)
		return
	}
	y := m.y.eval(b)
	out.Valid = both(out.Valid, x, y)
	k.computeOf(m.op, out.Bools, x.Floats, y.Floats)
}

// has is a loop's test.
func (b bounds[T]) has(v T) byte { return bit(v >= b.lo) & bit(v <= b.hi) }

func (k *within) computeWith(op string, out []byte, x []float64, c float64) {
	x, b := x[:len(out)], k.floats
	switch op {
	case "+":
		for i, v := range x {
			out[i] = b.has(v + c)
		}
	case "-":
		for i, v := range x {
			out[i] = b.has(v - c)
		}
	case "*":
		for i, v := range x {
			out[i] = b.has(v * c)
		}
	default:
		for i, v := range x {
			out[i] = b.has(v / c)
		}
	}
}

func (k *within) computeOf(op string, out []byte, x, y []float64) {
	x, y, b := x[:len(out)], y[:len(out)], k.floats
	switch op {
	case "+":
		for i, v := range x {
			out[i] = b.has(v + y[i])
		}
	case "-":
		for i, v := range x {
			out[i] = b.has(v - y[i])
		}
	case "*":
		for i, v := range x {
			out[i] = b.has(v * y[i])
		}
	default:
		for i, v := range x {
			out[i] = b.has(v / y[i])
		}
	}
}
