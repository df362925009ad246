package expr

import (
	"math"

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
	out := &k.out
	out.Kind, out.Floats = pipeline.Float, resize(out.Floats, b.Rows())
	if c, ok := known(k.y); ok && hasLoop(k.op) {
		k.with(c.float, b)
		zero(out)
		return out
	}
	x, y := k.x.eval(b), k.y.eval(b)
	out.Valid = both(out.Valid, x, y)
	if !compute(k.op, out.Floats, x.Floats, y.Floats) {
		k.compute(out.Floats, x.Floats, y.Floats)
	}
	zero(out)
	return out
}

// with computes with a constant on the right.
func (k *floatMath) with(c float64, b *pipeline.Batch) {
	out := &k.out
	s := scale[float64]{steps: k.op, f: c}
	x := k.x
	if below, ok := x.(*floatMath); ok {
		if d, ok := known(below.y); ok && s.after(below.op, d.float) {
			x = below.x
		}
	}
	if whole, ok := x.(*convert); ok && whole.x.kind() == pipeline.Int {
		v := whole.x.eval(b)
		out.Valid = append(out.Valid[:0], v.Valid...)
		scaled(out.Floats, v.Ints, s)
		return
	}
	v := x.eval(b)
	out.Valid = append(out.Valid[:0], v.Valid...)
	scaled(out.Floats, v.Floats, s)
}

// compute does what only floats can.
func (k *floatMath) compute(out, x, y []float64) {
	x, y = x[:len(out)], y[:len(out)]
	switch k.op {
	case "%":
		for i, v := range x {
			out[i] = math.Mod(v, y[i])
		}
	default: // ** and ^
		for i, v := range x {
			out[i] = math.Pow(v, y[i])
		}
	}
}

// hasLoop tells whether compute and scaled have a loop for an operator.
func hasLoop(op string) bool { return op == "+" || op == "-" || op == "*" || op == "/" }

// compute does x op y; false: there is no loop for it. Whole numbers are not
// divided.
func compute[T float64 | int64](op string, out, x, y []T) bool {
	x, y = x[:len(out)], y[:len(out)]
	switch op {
	case "+":
		for i, v := range x {
			out[i] = v + y[i]
		}
	case "-":
		for i, v := range x {
			out[i] = v - y[i]
		}
	case "*":
		for i, v := range x {
			out[i] = v * y[i]
		}
	case "/":
		for i, v := range x {
			out[i] = v / y[i]
		}
	}
	return hasLoop(op)
}

// A scale is one or two steps with constants, f and then g, in one loop: those
// two that make a unit of another, such as gain and offset.
type scale[T float64 | int64] struct {
	steps string
	f, g  T
}

// after puts a step before the one that there is, if there is a loop for both.
func (s *scale[T]) after(op string, f T) bool {
	second, g := s.steps, s.f
	if op == "-" { // the same to the last bit
		op, f = "+", -f
	}
	if second == "-" {
		second, g = "+", -g
	}
	for _, both := range [...]string{"*+", "/+", "+*", "+/"} {
		if both[:1] == op && both[1:] == second {
			*s = scale[T]{both, f, g}
			return true
		}
	}
	return false
}

// scaled does the steps of s.
func scaled[X, T float64 | int64](out []T, x []X, s scale[T]) {
	x = x[:len(out)]
	f, g := s.f, s.g
	switch s.steps {
	case "+":
		for i, v := range x {
			out[i] = T(v) + f
		}
	case "-":
		for i, v := range x {
			out[i] = T(v) - f
		}
	case "*":
		for i, v := range x {
			out[i] = T(v) * f
		}
	case "/":
		for i, v := range x {
			out[i] = T(v) / f
		}
	case "*+":
		for i, v := range x { // T keeps the compiler from rounding once only
			out[i] = T(T(v)*f) + g
		}
	case "/+":
		for i, v := range x {
			out[i] = T(v)/f + g
		}
	case "+*":
		for i, v := range x {
			out[i] = (T(v) + f) * g
		}
	default:
		for i, v := range x {
			out[i] = (T(v) + f) / g
		}
	}
}

// An intMath computes with whole numbers, which wrap.
type intMath struct {
	op   string // + - * %
	x, y node
	out  pipeline.Column
}

func (k *intMath) kind() pipeline.Kind { return pipeline.Int }

func (k *intMath) operands() []node { return []node{k.x, k.y} }

func (k *intMath) eval(b *pipeline.Batch) *pipeline.Column {
	out := &k.out
	out.Kind, out.Ints = pipeline.Int, resize(out.Ints, b.Rows())
	if c, ok := known(k.y); ok && (k.op != "%" || c.int != 0) {
		k.with(c.int, b)
		zero(out)
		return out
	}
	x, y := k.x.eval(b), k.y.eval(b)
	if k.op == "%" {
		return k.remainder(x, y)
	}
	out.Valid = both(out.Valid, x, y)
	compute(k.op, out.Ints, x.Ints, y.Ints)
	zero(out)
	return out
}

// with computes with a constant on the right.
func (k *intMath) with(c int64, b *pipeline.Batch) {
	out := &k.out
	s := scale[int64]{steps: k.op, f: c}
	x := k.x
	if below, ok := x.(*intMath); ok {
		if d, ok := known(below.y); ok && s.after(below.op, d.int) {
			x = below.x
		}
	}
	v := x.eval(b)
	out.Valid = append(out.Valid[:0], v.Valid...)
	if k.op == "%" {
		remainders(out.Ints, v.Ints, c)
		return
	}
	scaled(out.Ints, v.Ints, s)
}

// A function of a number: abs, ceil, floor or round.
type function struct {
	name string
	x    node // of floats
	out  pipeline.Column
}

func (k *function) kind() pipeline.Kind { return pipeline.Float }

func (k *function) operands() []node { return []node{k.x} }

func (k *function) eval(b *pipeline.Batch) *pipeline.Column {
	if k.name == "abs" {
		return k.abs(b)
	}
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Float, append(out.Valid[:0], x.Valid...)
	out.Floats = resize(out.Floats, b.Rows())
	to, from := out.Floats, x.Floats[:len(out.Floats)]
	switch k.name {
	case "ceil":
		for i, v := range from {
			to[i] = math.Ceil(v)
		}
	case "floor":
		for i, v := range from {
			to[i] = math.Floor(v)
		}
	default:
		for i, v := range from {
			to[i] = math.Round(v)
		}
	}
	return out
}

// abs leaves -0 as it is, like expr-lang's. A distance from a constant is
// never -0.
func (k *function) abs(b *pipeline.Batch) *pipeline.Column {
	out, operand := &k.out, k.x
	m, ok := k.x.(*floatMath)
	center, isFrom := 0.0, false
	if ok && m.op == "-" {
		if c, ok := known(m.y); ok && c.float != 0 {
			center, isFrom, operand = c.float, true, m.x
		}
	}
	x := operand.eval(b)
	out.Kind, out.Valid = pipeline.Float, append(out.Valid[:0], x.Valid...)
	out.Floats = resize(out.Floats, b.Rows())
	to, from := out.Floats, x.Floats[:len(out.Floats)]
	if isFrom {
		for i, v := range from {
			to[i] = math.Abs(v - center)
		}
		zero(out)
		return out
	}
	for i, v := range from { // the sign goes, but for that of -0
		bits := math.Float64bits(v)
		to[i] = math.Float64frombits(bits &^ ((bits - 1) & (1 << 63)))
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
	x, out := k.xs[0].eval(b), &k.out
	out.Kind = x.Kind
	out.Valid = append(out.Valid[:0], x.Valid...)
	if len(k.xs) == 1 {
		out.CopyFrom(x)
	}
	for _, y := range k.xs[1:] {
		y := y.eval(b)
		out.Valid = both(out.Valid, out, y)
		if out.Kind == pipeline.Int {
			out.Ints = resize(out.Ints, b.Rows())
			prefer(out.Ints, x.Ints, y.Ints, k.least)
		} else {
			out.Floats = resize(out.Floats, b.Rows())
			prefer(out.Floats, x.Floats, y.Floats, k.least)
		}
		x = out
	}
	zero(out)
	return out
}

// prefer takes y where it is less, or else greater, than x.
func prefer[T float64 | int64](out, x, y []T, least bool) {
	x, y = x[:len(out)], y[:len(out)]
	if least {
		for i, v := range x {
			if y[i] < v {
				v = y[i]
			}
			out[i] = v
		}
		return
	}
	for i, v := range x {
		if y[i] > v {
			v = y[i]
		}
		out[i] = v
	}
}
