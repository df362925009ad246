package functions

import (
	"encoding/binary"

	"millrace.dev/millrace/pipeline"
)

// results gathers what frames answered, a row after the other.
type results struct {
	emit []byte
	cols []pipeline.Column
	bits [][]byte // whether a row has a value, by column
	nil8 [bitmapBytes]byte
}

func newResults(out []pipeline.Field) *results {
	r := &results{bits: make([][]byte, len(out))}
	for _, f := range out {
		r.cols = append(r.cols, pipeline.NewColumn(f))
	}
	return r
}

func (r *results) reset() {
	r.emit = r.emit[:0]
	for k := range r.cols {
		r.cols[k].Reset()
		r.bits[k] = r.bits[k][:0]
	}
}

// add takes the answers of a frame of n rows.
func (r *results) add(f *frame, n int) {
	at := len(r.emit)
	r.emit = append(r.emit, f.emit[:n]...)
	for k := range r.cols {
		c, v := &r.cols[k], &f.out[k]
		switch v.kind {
		case pipeline.Float:
			c.Floats = append(c.Floats, v.floats[:n]...)
		case pipeline.Int:
			c.Ints = append(c.Ints, v.ints[:n]...)
		default:
			c.Bools = append(c.Bools, v.bools[:n]...)
		}
		r.bits[k] = appendBits(r.bits[k], at, v.valid, n)
	}
}

// none takes a row that the guest did not answer.
func (r *results) none() {
	at := len(r.emit)
	r.emit = append(r.emit, emitEnd)
	for k := range r.cols {
		switch c := &r.cols[k]; c.Kind {
		case pipeline.Float:
			c.Floats = append(c.Floats, 0)
		case pipeline.Int:
			c.Ints = append(c.Ints, 0)
		default:
			c.Bools = append(c.Bools, 0)
		}
		r.bits[k] = appendBits(r.bits[k], at, r.nil8[:], 1)
	}
}

// appendBits appends n bits of src to dst, which has at bits.
func appendBits(dst []byte, at int, src []byte, n int) []byte {
	shift := at & 7
	if shift == 0 {
		dst = append(dst, src[:(n+7)>>3]...)
	} else {
		for i := range (n + 7) >> 3 {
			dst[len(dst)-1] |= src[i] << shift
			dst = append(dst, src[i]>>(8-shift))
		}
	}
	dst = dst[:(at+n+7)>>3]
	if end := (at + n) & 7; end != 0 {
		dst[len(dst)-1] &= 1<<end - 1
	}
	return dst
}

// finish makes proper columns: a zero where there is no value, bools 0 or 1,
// no bitmap where every row has a value.
func (r *results) finish() {
	for k := range r.cols {
		c, bits := &r.cols[k], r.bits[k]
		if c.Kind == pipeline.Bool {
			cleanBools(c.Bools)
		}
		if allSet(bits, len(r.emit)) {
			c.Valid = c.Valid[:0]
			continue
		}
		c.Valid = append(c.Valid[:0], bits...)
		for i := range r.emit {
			if bits[i>>3]&(1<<(i&7)) != 0 {
				continue
			}
			switch c.Kind {
			case pipeline.Float:
				c.Floats[i] = 0
			case pipeline.Int:
				c.Ints[i] = 0
			default:
				c.Bools[i] = 0
			}
		}
	}
}

func cleanBools(b []byte) {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&^0x0101010101010101 != 0 {
			break
		}
		b = b[8:]
	}
	for i, v := range b {
		if v > 1 {
			b[i] = 1
		}
	}
}

func allSet(bits []byte, n int) bool {
	for n >= 64 {
		if binary.LittleEndian.Uint64(bits) != 1<<64-1 {
			return false
		}
		bits, n = bits[8:], n-64
	}
	for ; n >= 8; bits, n = bits[1:], n-8 {
		if bits[0] != 0xff {
			return false
		}
	}
	return n == 0 || bits[0] == 1<<n-1
}
