package decode

import "encoding/binary"

// The wire types of protobuf.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wireOpen   = 3 // a group begins
	wireClose  = 4
	wire32     = 5
)

// fieldNumberMax is the largest number a field may have.
const fieldNumberMax = 1<<29 - 1

// A wireField is a field as it stands in a protobuf message.
type wireField struct {
	number int
	wire   byte
	bits   uint64 // of wireVarint, wire64 and wire32
	data   []byte // its bytes, of wireBytes without their length
	from   int    // where data begins
}

// varint reads the varint at p[i].
func (s *scanner) varint(p []byte, i int) (x uint64, next int) {
	if i < len(p) && p[i] < 0x80 {
		return uint64(p[i]), i + 1
	}
	x, n := binary.Uvarint(p[min(i, len(p)):])
	if n <= 0 {
		return 0, s.fail(i, "want a varint")
	}
	return x, i + n
}

// wireField reads the field at p[i]; of a group data is all up to its end.
func (s *scanner) wireField(p []byte, i, depth int) (f wireField, next int) {
	at := i
	tag, i := s.varint(p, i)
	if i < 0 {
		return f, i
	}
	if tag>>3 == 0 || tag>>3 > fieldNumberMax {
		return f, s.fail(at, "a field without a number")
	}
	f.number, f.wire = int(tag>>3), byte(tag&7)
	switch f.wire {
	case wireOpen:
		return f, s.group(p, i, f.number, depth)
	case wireClose, 6, 7:
		return f, s.fail(at, "unknown wire type")
	}
	return f, s.content(p, i, &f, f.wire)
}

// content reads what a wire type has at p[i] into f.
func (s *scanner) content(p []byte, i int, f *wireField, wire byte) (next int) {
	size := uint64(0)
	switch wire {
	case wireVarint:
		bits, end := s.varint(p, i)
		if end >= 0 {
			f.bits, f.data, f.from = bits, p[i:end:end], i
		}
		return end
	case wire64:
		size = 8
	case wire32:
		size = 4
	default:
		if size, i = s.varint(p, i); i < 0 {
			return i
		}
	}
	if size > uint64(len(p)-i) {
		return s.fail(i, "it ends too early")
	}
	end := i + int(size)
	f.data, f.from = p[i:end:end], i
	switch wire {
	case wire64:
		f.bits = binary.LittleEndian.Uint64(p[i:])
	case wire32:
		f.bits = uint64(binary.LittleEndian.Uint32(p[i:]))
	}
	return end
}

// group passes over a group, which nobody has used since 2008.
func (s *scanner) group(p []byte, i, number, depth int) int {
	if !s.deeper(depth) {
		return -1
	}
	for {
		tag, next := s.varint(p, i)
		if next < 0 {
			return next
		}
		if tag&7 == wireClose {
			if int(tag>>3) != number {
				return s.fail(i, "the end of another group")
			}
			return next
		}
		if _, i = s.wireField(p, i, depth+1); i < 0 {
			return i
		}
	}
}
