package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// The format is told byte by byte in docs/journal.md.
const (
	frameMagic    = 0x464a524d // "MRJF"
	headerBytes   = 48         // of a frame, before its name
	bodyBytesMost = 64 << 10   // of a frame with more than one message: a damage costs so much
	nameBytesMax  = 1 << 10
)

// The kinds of frames that are no entries.
const (
	messages Kind = 'D'
	theEnd   Kind = 'E' // the journal was closed here
)

// The flags of a frame.
const (
	flagWhole = 1 << iota // see Entry
	flagGone
	flagMore // the next frame goes on with the body
	flagRest // it goes on with the body of the frame before
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frame is what is written and read as one.
type frame struct {
	kind   Kind
	flags  uint8
	gap    uint32   // bytes between the end of the frame before and this one
	sum    uint32   // CRC of the body
	length int      // of the body
	first  uint64   // offsets from first to before next are told for
	next   uint64   //
	synced Position // what was before here was on disk when this was written
	name   []byte
	place  int64 // where it begins in its segment
}

func (f *frame) size() int64 { return int64(headerBytes + len(f.name) + f.length) }

// putHeader writes what is known when a frame is laid out to h, which has
// headerBytes; finish does the rest.
func (f *frame) putHeader(h []byte) {
	le := binary.LittleEndian
	le.PutUint32(h, frameMagic)
	le.PutUint32(h[4:], uint32(f.length))
	h[8], h[9] = byte(f.kind), f.flags
	le.PutUint16(h[10:], uint16(len(f.name)))
	le.PutUint64(h[16:], f.first)
	le.PutUint64(h[24:], f.next)
	le.PutUint32(h[40:], f.gap)
}

// finish completes a frame that is to stand at place of a segment: b begins
// with it. It returns how long it is.
func finish(b []byte, synced Position, salt uint64, place int64) int {
	le := binary.LittleEndian
	body := headerBytes + int(le.Uint16(b[10:]))
	end := body + int(le.Uint32(b[4:]))
	le.PutUint32(b[12:], crc32.Checksum(b[body:end], castagnoli))
	le.PutUint64(b[32:], uint64(synced))
	le.PutUint32(b[44:], headerSum(b[:body], salt, place))
	return end
}

// headerSum is the CRC of a header and name. It has the salt of the segment
// and the place in it, so that a frame is none in another place: not in a file
// that is used again, and not inside of a payload.
func headerSum(b []byte, salt uint64, place int64) uint32 {
	var here [16]byte
	binary.LittleEndian.PutUint64(here[:], salt)
	binary.LittleEndian.PutUint64(here[8:], uint64(place))
	sum := crc32.Update(0, castagnoli, here[:])
	sum = crc32.Update(sum, castagnoli, b[:44])
	return crc32.Update(sum, castagnoli, b[headerBytes:])
}

// parseHeader reads the fixed part of a header; the name is not checked yet.
func parseHeader(h []byte) (f frame, nameBytes int, ok bool) {
	le := binary.LittleEndian
	if le.Uint32(h) != frameMagic {
		return frame{}, 0, false
	}
	f = frame{
		length: int(le.Uint32(h[4:])),
		kind:   Kind(h[8]),
		flags:  h[9],
		sum:    le.Uint32(h[12:]),
		first:  le.Uint64(h[16:]),
		next:   le.Uint64(h[24:]),
		synced: Position(le.Uint64(h[32:])),
		gap:    le.Uint32(h[40:]),
	}
	nameBytes = int(le.Uint16(h[10:]))
	return f, nameBytes, nameBytes <= nameBytesMax && f.next >= f.first
}

// The flags of a record.
const (
	recordTick = 1 << iota
	recordDurable
	recordHop // a byte with the hops follows
)

const recordBytesMost = 48 // bytes of a record beside topic and payload

// A coder writes and reads records, each relative to the one before.
type coder struct {
	kept, ask uint32 // Options.RouteKept and RouteAsk
	offset    uint64 // the next one, if none is left out
	arrived   int64
}

func (c *coder) begin(first uint64) { c.offset, c.arrived = first, 0 }

func (c *coder) append(dst []byte, r *Record) []byte {
	dst = binary.AppendUvarint(dst, r.Offset-c.offset)
	flags := byte(0)
	if r.Tick {
		flags |= recordTick
	}
	if r.Keep == Durable {
		flags |= recordDurable
	}
	if r.Hop != 0 {
		dst = append(dst, flags|recordHop, r.Hop)
	} else {
		dst = append(dst, flags)
	}
	dst = binary.AppendVarint(dst, r.Arrived-c.arrived)
	dst = binary.AppendUvarint(dst, uint64(r.Route&c.kept)>>bits.TrailingZeros32(c.kept))
	dst = binary.AppendUvarint(dst, uint64(len(r.Topic)))
	dst = append(dst, r.Topic...)
	dst = binary.AppendUvarint(dst, uint64(len(r.Payload)))
	c.offset, c.arrived = r.Offset+1, r.Arrived
	return append(dst, r.Payload...)
}

// read appends the records of a body, which stay views of it, and reports
// whether it is one.
func (c *coder) read(dst []Record, body []byte) ([]Record, bool) {
	in := cursor{b: body}
	for len(in.b) > 0 && !in.bad {
		r := Record{Keep: Relaxed}
		r.Offset = c.offset + in.uvarint()
		flags := in.byte()
		r.Tick = flags&recordTick != 0
		if flags&recordDurable != 0 {
			r.Keep = Durable
		}
		if flags&recordHop != 0 {
			r.Hop = in.byte()
		}
		r.Arrived = c.arrived + in.varint()
		r.Route = uint32(in.uvarint())<<bits.TrailingZeros32(c.kept)&c.kept | c.ask
		r.Topic = in.bytes()
		r.Payload = in.bytes()
		c.offset, c.arrived = r.Offset+1, r.Arrived
		if !in.bad {
			dst = append(dst, r)
		}
	}
	return dst, !in.bad
}

// A cursor reads bytes from the front. What does not fit makes it bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	c.skip(n)
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	c.skip(n)
	return v
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) bytes() []byte {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) skip(n int) {
	if n <= 0 {
		c.bad, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}
