package decode

import (
	"math"
	"strconv"
)

// A decimal is a JSON number as it was written: ±mantissa × 10^exp.
type decimal struct {
	mantissa uint64
	exp      int
	negative bool
	whole    bool // the mantissa holds every digit
}

// digitsMax is how many digits always fit into a mantissa.
const digitsMax = 19

// number reads the number at p[i] into d.
func (s *scanner) number(p []byte, i int, d *decimal) int {
	d.negative = p[i] == '-'
	if d.negative {
		i++
	}
	mantissa, first := uint64(0), i
	for i < len(p) && p[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(p[i]-'0')
		i++
	}
	digits := i - first
	if digits == 0 {
		return s.fail(i, "want a digit")
	}
	if digits > 1 && p[first] == '0' {
		return s.fail(first, "a number may not begin with 0")
	}
	d.exp = 0
	if i < len(p) && p[i] == '.' {
		i++
		point := i
		for i < len(p) && p[i]-'0' <= 9 {
			mantissa = mantissa*10 + uint64(p[i]-'0')
			i++
		}
		if i == point {
			return s.fail(i, "want a digit")
		}
		d.exp = point - i
		digits += i - point
	}
	d.mantissa, d.whole = mantissa, digits <= digitsMax
	if i < len(p) && p[i]|0x20 == 'e' {
		return s.exponent(p, i+1, d)
	}
	return i
}

// exponent reads the exponent at p[i] and adds it to d's.
func (s *scanner) exponent(p []byte, i int, d *decimal) int {
	negative := i < len(p) && p[i] == '-'
	if negative || i < len(p) && p[i] == '+' {
		i++
	}
	exp, first := 0, i
	for i < len(p) && p[i]-'0' <= 9 {
		exp = min(exp*10+int(p[i]-'0'), 1e6)
		i++
	}
	if i == first {
		return s.fail(i, "want a digit")
	}
	if negative {
		exp = -exp
	}
	d.exp += exp
	return i
}

// tens are the powers of ten that a float64 holds exactly.
var tens = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// smallPowers are the powers of ten below 2^10.
var smallPowers = [...]uint64{1, 10, 100, 1000}

// float returns the nearest float64, as strconv does; ok is false where that
// is infinite. written is the number's text. Where mantissa and power are both
// exact, one operation rounds once and is right: William D. Clinger, How to
// Read Floating Point Numbers Accurately, 1990.
func (d *decimal) float(written []byte) (f float64, ok bool) {
	if d.isPlain() {
		return d.plain(), true
	}
	if d.whole && d.exp == 0 && d.mantissa != 0 {
		f = float64(d.mantissa) // rounds once
		if d.negative {
			f = -f
		}
		return f, true
	}
	if !d.whole || d.mantissa > 1<<53 || d.exp < -22 || d.exp > 22 {
		f, err := strconv.ParseFloat(string(written), 64)
		return f, err == nil
	}
	f = float64(d.mantissa)
	if d.exp < 0 {
		f /= tens[-d.exp]
	} else {
		f *= tens[d.exp]
	}
	if d.negative {
		f = -f
	}
	return f, true
}

// isPlain reports whether plain returns the number: not negative, and with a
// mantissa and a power that a float64 holds exactly.
func (d *decimal) isPlain() bool {
	return d.whole && !d.negative && d.mantissa < 1<<53 && uint(-d.exp) < uint(len(tens))
}

func (d *decimal) plain() float64 { return float64(d.mantissa) / tens[-d.exp] }

// int returns the number as an int64; ok is false where it is none. 3.0 and
// 3e2 are: JSON knows only one kind of number.
func (d *decimal) int() (n int64, ok bool) {
	m, exp := d.mantissa, d.exp
	if !d.whole {
		return 0, false
	}
	for ; exp < 0 && m%10 == 0 && m != 0; exp++ {
		m /= 10
	}
	if m == 0 {
		return 0, true
	}
	if exp < 0 {
		return 0, false
	}
	return d.scaled(m, exp)
}

// scaled returns ±m × 10^exp for an exp that is not negative.
func (d *decimal) scaled(m uint64, exp int) (n int64, ok bool) {
	for ; exp > 0 && m != 0; exp-- {
		if m > math.MaxInt64/10 {
			return 0, false
		}
		m *= 10
	}
	switch {
	case d.negative && m <= 1<<63:
		return int64(-m), true
	case m <= math.MaxInt64:
		return int64(m), true
	}
	return 0, false
}

// floor returns the greatest integer that is not above the number × 10^shift.
func (d *decimal) floor(shift int, written []byte) (n int64, ok bool) {
	if !d.whole {
		if f, ok := d.float(written); ok {
			return floor(f, shift)
		}
		return 0, false
	}
	if exp := uint(d.exp + shift); exp < uint(len(smallPowers)) && d.mantissa < 1<<53 && !d.negative {
		return int64(d.mantissa * smallPowers[exp]), true // below 2^63
	}
	m, exp, rest := d.mantissa, d.exp+shift, uint64(0)
	for ; exp < 0 && m != 0; exp++ {
		rest |= m % 10
		m /= 10
	}
	if d.negative && rest != 0 {
		m++
	}
	return d.scaled(m, exp)
}

// floor returns the greatest integer that is not above f × 10^shift.
func floor(f float64, shift int) (n int64, ok bool) {
	f = math.Floor(f * math.Pow10(shift))
	return int64(f), math.Abs(f) < 1<<62
}

// append writes a whole number in decimal.
func (d *decimal) append(dst []byte) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	return strconv.AppendUint(dst, d.mantissa, 10)
}
