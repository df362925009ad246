package expr

import (
	"math/bits"

	"millrace.dev/millrace/pipeline"
)

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

// remainders does x % d, d not 0, with a multiplication in the place of a
// division: T. Granlund, P. Montgomery, Division by invariant integers using
// multiplication, PLDI 1994.
func remainders(out, x []int64, d int64) {
	by := magnitude(d)
	x = x[:len(out)]
	if by&(by-1) == 0 {
		for i, v := range x {
			out[i] = signed(magnitude(v)&(by-1), v)
		}
		return
	}
	// by lies between two powers of 2, so that m has 64 bits, and m·by is above
	// 2^(63+l) by less than 2^l: the quotient is exact up to 2^63.
	l := bits.Len64(by)
	m, _ := bits.Div64(1<<(l-1), 0, by)
	m++
	shift := uint(l-1) & 63
	any := int64(0)
	for i, v := range x {
		high, _ := bits.Mul64(uint64(v), m)
		out[i] = v - int64(high>>shift*by)
		any |= v
	}
	if any >= 0 { // none is negative, as is usual
		return
	}
	for i, v := range x {
		n := magnitude(v)
		high, _ := bits.Mul64(n, m)
		out[i] = signed(n-high>>shift*by, v)
	}
}

// magnitude returns v without its sign.
func magnitude(v int64) uint64 {
	s := v >> 63
	return uint64((v ^ s) - s)
}

// signed returns n with the sign of v.
func signed(n uint64, v int64) int64 {
	s := v >> 63
	return (int64(n) ^ s) - s
}
