package decode

import (
	"encoding/binary"
	"math"
	"strconv"
)

// msgpackFormat reads MessagePack: maps whose keys are texts, or whole
// numbers, which are named in decimal. Of extensions only the time counts.
type msgpackFormat struct{ *scanner }

// msgpackTime is the extension type of a time.
const msgpackTime = -1

// A packed value is the beginning of one: its shape and, with it, a number, or
// how many bytes or members follow.
type packed struct {
	is       shape
	n        uint64 // a number's magnitude or bits, or how much follows
	negative bool
	single   bool // a floating-point number of 32 bits
	ext      int8 // of a moment: the extension type
}

func (f msgpackFormat) scan(p []byte, n *node) bool { return f.ends(p, f.top(p, 0, n)) }

func (f msgpackFormat) row(p []byte, at span, n *node) bool {
	return f.top(p[:at.to], at.from, n) >= 0
}

func (f msgpackFormat) top(p []byte, i int, n *node) int {
	h, next := f.head(p, i)
	if next < 0 {
		return next
	}
	at, ok := f.place(n, h.is)
	if !ok {
		return -1
	}
	return f.item(p, i, at, 0)
}

// head reads the beginning of a value.
func (f msgpackFormat) head(p []byte, i int) (h packed, next int) {
	if i >= len(p) {
		return h, f.fail(i, "it ends too early")
	}
	c := p[i]
	i++
	switch {
	case c < 0x80:
		return packed{is: number, n: uint64(c)}, i
	case c < 0x90:
		return packed{is: object, n: uint64(c & 15)}, i
	case c < 0xa0:
		return packed{is: array, n: uint64(c & 15)}, i
	case c < 0xc0:
		return packed{is: text, n: uint64(c & 31)}, i
	case c >= 0xe0:
		return packed{is: number, n: uint64(-int64(int8(c))), negative: true}, i
	case c == 0xc0:
		return packed{is: null}, i
	case c == 0xc2 || c == 0xc3:
		return packed{is: truth, n: uint64(c & 1)}, i
	case c == 0xc1:
		return h, f.fail(i-1, "a byte that is never used")
	}
	return f.longHead(p, i, c)
}

// longHead reads the rest of a beginning: a number or a length of 1 to 8
// bytes, and the type of an extension.
func (f msgpackFormat) longHead(p []byte, i int, c byte) (h packed, next int) {
	kind := msgpackKinds[c-0xc0]
	size := kind.size
	extra := 0
	if kind.is == moment {
		extra = 1
	}
	if len(p)-i < size+extra {
		return h, f.fail(len(p), "it ends too early")
	}
	h.is, h.single = kind.is, size == 4
	for _, b := range p[i : i+size] {
		h.n = h.n<<8 | uint64(b)
	}
	if kind.is == moment {
		h.ext = int8(p[i+size])
		if size == 0 {
			h.n = 1 << (c - 0xd4)
		}
	}
	if kind.signed {
		x := int64(h.n<<(64-8*size)) >> (64 - 8*size)
		if x < 0 {
			h.negative, h.n = true, -uint64(x)
		}
	}
	return h, i + size + extra
}

// A msgpackKind is what a first byte from 0xc0 to 0xdf means.
type msgpackKind struct {
	is     shape
	size   int // bytes of the number or length behind it
	signed bool
}

var msgpackKinds = [32]msgpackKind{
	0x04: {blob, 1, false}, 0x05: {blob, 2, false}, 0x06: {blob, 4, false},
	0x07: {moment, 1, false}, 0x08: {moment, 2, false}, 0x09: {moment, 4, false},
	0x0a: {real, 4, false}, 0x0b: {real, 8, false},
	0x0c: {number, 1, false}, 0x0d: {number, 2, false}, 0x0e: {number, 4, false}, 0x0f: {number, 8, false},
	0x10: {number, 1, true}, 0x11: {number, 2, true}, 0x12: {number, 4, true}, 0x13: {number, 8, true},
	0x14: {moment, 0, false}, 0x15: {moment, 0, false}, 0x16: {moment, 0, false}, 0x17: {moment, 0, false}, 0x18: {moment, 0, false},
	0x19: {text, 1, false}, 0x1a: {text, 2, false}, 0x1b: {text, 4, false},
	0x1c: {array, 2, false}, 0x1d: {array, 4, false}, 0x1e: {object, 2, false}, 0x1f: {object, 4, false},
}

// item reads any value for n, which is nil where nobody wants it.
func (f msgpackFormat) item(p []byte, i int, n *node, depth int) int {
	h, i := f.head(p, i)
	if i < 0 {
		return i
	}
	var v *slot
	if n != nil {
		v = n.slot
		n.enter(f.message)
	}
	switch h.is {
	case null:
		v.set(f.scanner, null)
	case truth:
		f.setTruth(v, h.n == 1)
	case number:
		f.setWhole(v, h.negative, h.n)
	case real:
		x := math.Float64frombits(h.n)
		if h.single {
			x = float64(math.Float32frombits(uint32(h.n)))
		}
		f.setReal(v, x)
	case text, blob, moment:
		if h.n > uint64(len(p)-i) {
			return f.fail(len(p), "it ends inside a text")
		}
		end := i + int(h.n)
		f.string(p[i:end:end], v, h)
		return end
	case array:
		if v.set(f.scanner, array); !f.deeper(depth) {
			return -1
		}
		return f.array(p, i, n, h.n, depth+1)
	default:
		if v.set(f.scanner, object); !f.deeper(depth) {
			return -1
		}
		return f.members(p, i, n, h.n, depth+1)
	}
	return i
}

// string gives v a text, bytes or an extension.
func (f msgpackFormat) string(t []byte, v *slot, h packed) {
	switch {
	case h.is == text:
		f.setText(v, t)
	case h.is == blob:
		f.setBlob(v, t)
	case h.ext != msgpackTime:
		v.set(f.scanner, null)
	case len(t) == 4:
		f.setMoment(v, int64(binary.BigEndian.Uint32(t)), 0)
	case len(t) == 8:
		x := binary.BigEndian.Uint64(t)
		f.setMoment(v, int64(x&(1<<34-1)), int64(x>>34))
	case len(t) == 12:
		f.setMoment(v, int64(binary.BigEndian.Uint64(t[4:])), int64(binary.BigEndian.Uint32(t)))
	default:
		v.set(f.scanner, null)
	}
}

func (f msgpackFormat) array(p []byte, i int, n *node, size uint64, depth int) int {
	explodes := n != nil && n.explodes
	if explodes {
		f.items = f.items[:0]
	}
	for k := range size {
		var child *node
		if n != nil && len(n.items) > 0 && k <= indexMax {
			child = n.items[int(k)]
		}
		from := i
		if i = f.item(p, i, child, depth); i < 0 || explodes && !f.scanner.item(from, i) {
			return -1
		}
	}
	return i
}

func (f msgpackFormat) members(p []byte, i int, n *node, size uint64, depth int) int {
	for k := range size {
		name, at := f.name(p, i, depth)
		if at < 0 {
			return at
		}
		var child *node
		if n != nil && name != nil {
			h, next := f.head(p, at)
			if next < 0 {
				return next
			}
			begins := byte(0)
			if h.is == array {
				begins = '['
			} else if h.is == null {
				begins = 'n'
			}
			if child = f.child(n, int(min(k, guessesMax)), name, begins); f.wrong != "" {
				return -1
			}
		}
		if i = f.item(p, at, child, depth); i < 0 {
			return i
		}
	}
	return i
}

// name reads a key; it is nil where it is neither text nor whole number.
func (f msgpackFormat) name(p []byte, i, depth int) (name []byte, next int) {
	h, next := f.head(p, i)
	switch {
	case next < 0:
		return nil, next
	case h.is == text && h.n <= uint64(len(p)-next):
		return p[next : next+int(h.n)], next + int(h.n)
	case h.is == number:
		from := len(f.scratch)
		if h.negative {
			f.scratch = append(f.scratch, '-')
		}
		f.scratch = strconv.AppendUint(f.scratch, h.n, 10)
		return f.scratch[from:], next
	}
	return nil, f.item(p, i, nil, depth)
}
