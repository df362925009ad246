package decode

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// cborFormat reads CBOR (RFC 8949): maps whose keys are texts, or whole
// numbers, which are named in decimal. Of tags only those of time count.
type cborFormat struct{ *scanner }

// The major types of CBOR.
const (
	cborUint = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

const (
	cborIndefinite = 31 // as additional information
	cborBreak      = 0xff
	cborTimeText   = 0 // tags
	cborTimeNumber = 1
	cborNoTag      = math.MaxUint64
)

func (f cborFormat) scan(p []byte, n *node) bool { return f.ends(p, f.top(p, 0, n)) }

func (f cborFormat) row(p []byte, at span, n *node) bool { return f.top(p[:at.to], at.from, n) >= 0 }

func (f cborFormat) top(p []byte, i int, n *node) int {
	is := real // anything but object and array
	for j := i; j >= 0 && j < len(p); {
		major := p[j] >> 5
		if major == cborMap {
			is = object
		} else if major == cborArray {
			is = array
		}
		if major != cborTag {
			break
		}
		_, _, j = f.head(p, j)
	}
	at, ok := f.place(n, is)
	if !ok {
		return -1
	}
	return f.item(p, i, at, 0)
}

// head reads the beginning of an item: its first byte and its argument.
func (f cborFormat) head(p []byte, i int) (first byte, arg uint64, next int) {
	if i >= len(p) {
		return 0, 0, f.fail(i, "it ends too early")
	}
	first = p[i]
	i++
	info := first & 31
	if info < 24 || info == cborIndefinite {
		return first, uint64(info), i
	}
	if info > 27 {
		return 0, 0, f.fail(i-1, "unknown length")
	}
	size := 1 << (info - 24)
	if len(p)-i < size {
		return 0, 0, f.fail(len(p), "it ends too early")
	}
	for _, c := range p[i : i+size] {
		arg = arg<<8 | uint64(c)
	}
	return first, arg, i + size
}

// item reads any item for n, which is nil where nobody wants it.
func (f cborFormat) item(p []byte, i int, n *node, depth int) int {
	tag := uint64(cborNoTag)
	at := i
	first, arg, i := f.head(p, i)
	for i >= 0 && first>>5 == cborTag {
		if first&31 == cborIndefinite {
			return f.fail(at, "unknown length")
		}
		tag, at = arg, i
		first, arg, i = f.head(p, i)
	}
	if i < 0 {
		return i
	}
	var v *slot
	if n != nil {
		v = n.slot
		n.enter(f.message)
	}
	indefinite := first&31 == cborIndefinite
	switch major := first >> 5; {
	case indefinite && major < cborBytes:
		return f.fail(at, "unknown length")
	case major == cborUint && tag == cborTimeNumber && arg < 1<<62:
		f.setMoment(v, int64(arg), 0)
	case major == cborUint:
		f.setWhole(v, false, arg)
	case major == cborNegative && arg == math.MaxUint64:
		f.setReal(v, -1<<64)
	case major == cborNegative:
		f.setWhole(v, true, arg+1)
	case major == cborBytes, major == cborText:
		return f.string(p, at, v, tag)
	case major == cborSimple:
		return f.simple(p, at, i, v, tag)
	case !f.deeper(depth):
		return -1
	case major == cborArray:
		v.set(f.scanner, array)
		return f.array(p, i, n, length{arg, indefinite}, depth+1)
	default:
		v.set(f.scanner, object)
		return f.members(p, i, n, length{arg, indefinite}, depth+1)
	}
	return i
}

// A length is how many items follow: n, or all up to a break.
type length struct {
	n          uint64
	indefinite bool
}

// over reports whether item k, at p[i], is the end, and what is behind it.
func (l length) over(p []byte, i int, k uint64) (next int, over bool) {
	if !l.indefinite {
		return i, k == l.n
	}
	if i < len(p) && p[i] == cborBreak {
		return i + 1, true
	}
	return i, false
}

func (f cborFormat) array(p []byte, i int, n *node, l length, depth int) int {
	explodes := n != nil && n.explodes
	if explodes {
		f.items = f.items[:0]
	}
	for k := uint64(0); ; k++ {
		next, over := l.over(p, i, k)
		if over {
			return next
		}
		var child *node
		if n != nil && len(n.items) > 0 && k <= indexMax {
			child = n.items[int(k)]
		}
		from := i
		if i = f.item(p, i, child, depth); i < 0 || explodes && !f.scanner.item(from, i) {
			return -1
		}
	}
}

func (f cborFormat) members(p []byte, i int, n *node, l length, depth int) int {
	for k := uint64(0); ; k++ {
		next, over := l.over(p, i, k)
		if over {
			return next
		}
		name, at := f.name(p, i, depth)
		if at < 0 {
			return at
		}
		if at >= len(p) {
			return f.fail(at, "it ends too early")
		}
		begins := byte(0)
		if p[at]>>5 == cborArray {
			begins = '['
		} else if p[at] == 0xf6 || p[at] == 0xf7 {
			begins = 'n' // null, undefined
		}
		var child *node
		if n != nil && name != nil {
			if child = f.child(n, int(min(k, guessesMax)), name, begins); f.wrong != "" {
				return -1
			}
		}
		if i = f.item(p, at, child, depth); i < 0 {
			return i
		}
	}
}

// name reads a key; it is nil where it is neither text nor whole number.
func (f cborFormat) name(p []byte, i, depth int) (name []byte, next int) {
	first, arg, next := f.head(p, i)
	if next < 0 {
		return nil, next
	}
	switch first >> 5 {
	case cborText:
		return f.text(p, i)
	case cborUint, cborNegative:
		if first&31 == cborIndefinite || arg > math.MaxInt64 {
			break
		}
		x := int64(arg)
		if first>>5 == cborNegative {
			x = -1 - x
		}
		from := len(f.scratch)
		f.scratch = strconv.AppendInt(f.scratch, x, 10)
		return f.scratch[from:], next
	}
	return nil, f.item(p, i, nil, depth)
}

// string reads the text or the bytes at p[i].
func (f cborFormat) string(p []byte, i int, v *slot, tag uint64) int {
	t, next := f.text(p, i)
	switch {
	case next < 0:
	case p[i]>>5 == cborBytes:
		f.setBlob(v, t)
	case !utf8.Valid(t):
		return f.fail(i, "a text that is not UTF-8")
	case tag == cborTimeText:
		if us, ok := rfc3339(t, nil); ok && v != nil {
			v.set(f.scanner, moment).int = us
			return next
		}
		f.setText(v, t)
	default:
		f.setText(v, t)
	}
	return next
}

// text returns the content of the text or bytes at p[i]: a piece of p, or of
// the scratch memory when it comes in pieces.
func (f cborFormat) text(p []byte, i int) (t []byte, next int) {
	first, arg, next := f.head(p, i)
	if next < 0 {
		return nil, next
	}
	if first&31 != cborIndefinite {
		if arg > uint64(len(p)-next) {
			return nil, f.fail(len(p), "it ends inside a text")
		}
		end := next + int(arg)
		return p[next:end:end], end
	}
	from := len(f.scratch)
	for next < len(p) && p[next] != cborBreak {
		if p[next]>>5 != first>>5 || p[next]&31 == cborIndefinite {
			return nil, f.fail(next, "want a piece of a text")
		}
		if t, next = f.text(p, next); next < 0 {
			return nil, next
		}
		f.scratch = append(f.scratch, t...)
	}
	if next >= len(p) {
		return nil, f.fail(next, "it ends inside a text")
	}
	return f.scratch[from:len(f.scratch):len(f.scratch)], next + 1
}

// simple reads what has neither length nor content: truths, null and
// floating-point numbers. p[at] is its first byte, p[next] what is behind it.
func (f cborFormat) simple(p []byte, at, next int, v *slot, tag uint64) int {
	x := 0.0
	switch p[at] & 31 {
	case 20, 21:
		f.setTruth(v, p[at]&31 == 21)
		return next
	case 22, 23:
		v.set(f.scanner, null)
		return next
	case 25:
		x = half(binary.BigEndian.Uint16(p[at+1:]))
	case 26:
		x = float64(math.Float32frombits(binary.BigEndian.Uint32(p[at+1:])))
	case 27:
		x = math.Float64frombits(binary.BigEndian.Uint64(p[at+1:]))
	case cborIndefinite:
		return f.fail(at, "a break that ends nothing")
	default:
		v.set(f.scanner, null) // a simple value that means nothing to us
		return next
	}
	if us, ok := floor(x, 6); tag == cborTimeNumber && ok && v != nil {
		v.set(f.scanner, moment).int = us
		return next
	}
	f.setReal(v, x)
	return next
}

// half returns the value of a half-precision number [RFC 8949, appendix D].
func half(h uint16) float64 {
	exp, mantissa := int(h>>10&31), float64(h&1023)
	x := 0.0
	switch {
	case exp == 0:
		x = math.Ldexp(mantissa, -24)
	case exp != 31:
		x = math.Ldexp(mantissa+1024, exp-25)
	case mantissa == 0:
		x = math.Inf(1)
	default:
		return math.NaN()
	}
	if h>>15 != 0 {
		x = -x
	}
	return x
}
