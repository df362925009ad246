package expr

import (
	"math"
	"strconv"

	"millrace.dev/millrace/pipeline"
)

type negative struct {
	x   node
	out pipeline.Column
}

func (k *negative) kind() pipeline.Kind { return k.x.kind() }

func (k *negative) operands() []node { return []node{k.x} }

func (k *negative) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = x.Kind, append(out.Valid[:0], x.Valid...)
	if x.Kind == pipeline.Int {
		out.Ints = resize(out.Ints, b.Rows())
		for i, v := range x.Ints {
			out.Ints[i] = -v
		}
		return out
	}
	out.Floats = resize(out.Floats, b.Rows())
	for i, v := range x.Floats {
		out.Floats[i] = -v
	}
	zero(out) // not -0
	return out
}

// A floatMath computes with floats.
type floatMath struct {
	op   string
	x, y node
	out  pipeline.Column
}

func (k *floatMath) kind() pipeline.Kind { return pipeline.Float }

func (k *floatMath) operands() []node { return []node{k.x, k.y} }

func (k *floatMath) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Floats = pipeline.Float, resize(out.Floats, b.Rows())
	if c, ok := known(k.y); ok && k.computeWith(out.Floats, x.Floats[:len(out.Floats)], c.float) {
		out.Valid = append(out.Valid[:0], x.Valid...)
		zero(out)
		return out
	}
	y := k.y.eval(b)
	out.Valid = both(out.Valid, x, y)
	k.compute(out.Floats, x.Floats[:len(out.Floats)], y.Floats[:len(out.Floats)])
	zero(out)
	return out
}

// computeWith computes with a constant on the right; false: there is no loop
// for that.
func (k *floatMath) computeWith(out, x []float64, c float64) bool {
	switch k.op {
	case "+":
		for i, v := range x {
			out[i] = v + c
		}
	case "-":
		for i, v := range x {
			out[i] = v - c
		}
	case "*":
		for i, v := range x {
			out[i] = v * c
		}
	case "/":
		for i, v := range x {
			out[i] = v / c
		}
	default:
		return false
	}
	return true
}

func (k *floatMath) compute(out, x, y []float64) {
	switch k.op {
	case "+":
		for i := range out {
			out[i] = x[i] + y[i]
		}
	case "-":
		for i := range out {
			out[i] = x[i] - y[i]
		}
	case "*":
		for i := range out {
			out[i] = x[i] * y[i]
		}
	case "/":
		for i := range out {
			out[i] = x[i] / y[i]
		}
	case "%":
		for i := range out {
			out[i] = math.Mod(x[i], y[i])
		}
	default: // ** and ^
		for i := range out {
			out[i] = math.Pow(x[i], y[i])
		}
	}
}

// An intMath computes with whole numbers, which wrap.
type intMath struct {
	op   string
	x, y node
	out  pipeline.Column
}

func (k *intMath) kind() pipeline.Kind { return pipeline.Int }

func (k *intMath) operands() []node { return []node{k.x, k.y} }

func (k *intMath) eval(b *pipeline.Batch) *pipeline.Column {
	x, y, out := k.x.eval(b), k.y.eval(b), &k.out
	out.Kind = pipeline.Int
	if k.op == "%" {
		return k.remainder(x, y)
	}
	out.Valid = both(out.Valid, x, y)
	out.Ints = resize(out.Ints, b.Rows())
	switch k.op {
	case "+":
		for i, v := range x.Ints {
			out.Ints[i] = v + y.Ints[i]
		}
	case "-":
		for i, v := range x.Ints {
			out.Ints[i] = v - y.Ints[i]
		}
	default:
		for i, v := range x.Ints {
			out.Ints[i] = v * y.Ints[i]
		}
	}
	zero(out)
	return out
}

func (k *intMath) remainder(x, y *pipeline.Column) *pipeline.Column {
	k.out.Reset()
	for i, v := range x.Ints {
		if d := y.Ints[i]; d != 0 && x.Has(i) && y.Has(i) {
			k.out.AppendInt(v % d)
		} else {
			k.out.AppendNull()
		}
	}
	return &k.out
}

// A convert is float(x) or int(x) of a number or a text.
type convert struct {
	x   node
	to  pipeline.Kind
	out pipeline.Column
}

func (k *convert) kind() pipeline.Kind { return k.to }

func (k *convert) operands() []node { return []node{k.x} }

func (k *convert) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind = k.to
	if x.Kind == pipeline.Int && k.to == pipeline.Float {
		out.Valid, out.Floats = append(out.Valid[:0], x.Valid...), resize(out.Floats, b.Rows())
		for i, v := range x.Ints {
			out.Floats[i] = float64(v)
		}
		return out
	}
	out.Reset()
	for i := range b.Rows() {
		if !x.Has(i) || !k.one(x, i) {
			out.AppendNull()
		}
	}
	return out
}

// one converts row i, if that can be.
func (k *convert) one(x *pipeline.Column, i int) bool {
	switch {
	case x.Kind == pipeline.Float:
		v := x.Floats[i]
		if !(v > -1<<63 && v < 1<<63) {
			return false
		}
		k.out.AppendInt(int64(v))
	case k.to == pipeline.Int:
		v, err := strconv.ParseInt(string(x.Text(i)), 10, 64)
		if err != nil {
			return false
		}
		k.out.AppendInt(v)
	default:
		v, err := strconv.ParseFloat(string(x.Text(i)), 64)
		if err != nil {
			return false
		}
		k.out.AppendFloat(v)
	}
	return true
}

// A function of a number.
type function struct {
	f   func(float64) float64
	x   node // of floats
	out pipeline.Column
}

func (k *function) kind() pipeline.Kind { return pipeline.Float }

func (k *function) operands() []node { return []node{k.x} }

func (k *function) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Float, append(out.Valid[:0], x.Valid...)
	out.Floats = resize(out.Floats, b.Rows())
	for i, v := range x.Floats {
		out.Floats[i] = k.f(v)
	}
	return out
}

// An intAbs is abs(x) of a whole number.
type intAbs struct {
	x   node
	out pipeline.Column
}

func (k *intAbs) kind() pipeline.Kind { return pipeline.Int }

func (k *intAbs) operands() []node { return []node{k.x} }

func (k *intAbs) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Int, append(out.Valid[:0], x.Valid...)
	out.Ints = resize(out.Ints, b.Rows())
	for i, v := range x.Ints {
		out.Ints[i] = max(v, -v)
	}
	return out
}

// An extreme is max(x, …) or min(x, …): the first, unless a later one is
// greater or less; so NaN stays if it is the first.
type extreme struct {
	least bool
	xs    []node // of one kind
	out   pipeline.Column
}

func (k *extreme) kind() pipeline.Kind { return k.xs[0].kind() }

func (k *extreme) operands() []node { return k.xs }

func (k *extreme) eval(b *pipeline.Batch) *pipeline.Column {
	out := &k.out
	out.CopyFrom(k.xs[0].eval(b))
	for _, x := range k.xs[1:] {
		x := x.eval(b)
		out.Valid = both(out.Valid, out, x)
		if out.Kind == pipeline.Int {
			prefer(out.Ints, x.Ints, k.least)
		} else {
			prefer(out.Floats, x.Floats, k.least)
		}
	}
	zero(out)
	return out
}

// prefer replaces every value of best by that of x which is less, or else greater.
func prefer[T float64 | int64](best, x []T, least bool) {
	for i, v := range x {
		if least && v < best[i] || !least && v > best[i] {
			best[i] = v
		}
	}
}
