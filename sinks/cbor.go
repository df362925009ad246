package sinks

import (
	"encoding/binary"
	"math"

	"millrace.dev/millrace/pipeline"
)

// The major types of CBOR (RFC 8949, 3.1), and what stands alone.
const (
	cborUint  = 0 << 5
	cborNeg   = 1 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborMap   = 5 << 5
	cborTag0  = 6<<5 | 0 // a date and time as in RFC 3339 follows
	cborFalse = 7<<5 | 20
	cborTrue  = 7<<5 | 21
	cborFloat = 7<<5 | 27 // 64 bits follow
)

// A cborRows writes rows as CBOR maps (RFC 8949) with what the JSON object
// has, in the same order; time is text with tag 0. Bytes stay bytes, and NaN
// and infinities are values.
type cborRows struct {
	layout  layout
	clock   clock
	scratch []byte
}

func newCBOR(fields []string) cborRows {
	l := layout{except: []string{timeName}}
	if len(fields) > 0 {
		l.only = fields
	}
	return cborRows{layout: l}
}

// append appends row i of b, which the layout fits.
func (r *cborRows) append(dst []byte, b *pipeline.Batch, i int) []byte {
	n := 1
	for k := range r.layout.fields {
		if r.layout.fields[k].column(b, i) != nil {
			n++
		}
	}
	dst = appendHead(dst, cborMap, uint64(n))
	dst = append(appendHead(dst, cborText, uint64(len(timeName))), timeName...)
	r.scratch = r.clock.append(r.scratch[:0], b.Time[i])
	dst = appendHead(append(dst, cborTag0), cborText, uint64(len(r.scratch)))
	dst = append(dst, r.scratch...)
	for k := range r.layout.fields {
		f := &r.layout.fields[k]
		c := f.column(b, i)
		if c == nil {
			continue
		}
		name := string([]rune(f.name))
		dst = append(appendHead(dst, cborText, uint64(len(name))), name...)
		dst = r.value(dst, c, i)
	}
	return dst
}

func (r *cborRows) value(dst []byte, c *pipeline.Column, i int) []byte {
	switch c.Kind {
	case pipeline.Float:
		return binary.BigEndian.AppendUint64(append(dst, cborFloat), math.Float64bits(c.Floats[i]))
	case pipeline.Int:
		if v := c.Ints[i]; v < 0 {
			return appendHead(dst, cborNeg, uint64(-(v + 1)))
		}
		return appendHead(dst, cborUint, uint64(c.Ints[i]))
	case pipeline.Bool:
		if c.Bools[i] != 0 {
			return append(dst, cborTrue)
		}
		return append(dst, cborFalse)
	case pipeline.Bytes:
		text := c.Text(i)
		return append(appendHead(dst, cborBytes, uint64(len(text))), text...)
	}
	r.scratch = appendUTF8(r.scratch[:0], c, i)
	return append(appendHead(dst, cborText, uint64(len(r.scratch))), r.scratch...)
}

// appendHead appends a major type and its argument in the shortest form.
func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}
