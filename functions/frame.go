package functions

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"millrace.dev/millrace/pipeline"
)

// Places in a frame and their sizes: docs/functions.md, A frame.
const (
	frameBytes  = 96
	columnBytes = 16
	bitmapBytes = RowsMax / 8

	atRows       = 4
	atKind       = 8
	atColumns    = 12
	atNow        = 16
	atTime       = 24
	atSlot       = 28
	atTopicOff   = 32
	atTopics     = 36
	atPayloadOff = 40
	atPayloads   = 44
	atCol        = 48
	atOuts       = 52
	atOcol       = 56
	atEmit       = 60
	atOutLen     = 72
	atParam      = 76
	atParams     = 80
	atMark       = 88

	kindRows = 0
	kindTick = 1
)

// A frameSpec is what the layout of a frame follows from.
type frameSpec struct {
	in, out []pipeline.Kind
	params  []float64
	raw     bool
}

// A frame is the place in guest memory where rows are handed over. Its layout
// is made once; the slices look straight into guest memory, which never moves.
type frame struct {
	addr   uint32
	image  []byte // of the struct, the columns and the parameters, kept by the host
	header []byte // the same in guest memory, written anew for each call
	time   []int64
	mark   []int64
	slot   []uint32
	emit   []byte
	in     []view
	out    []view
	topic  view
	load   view // payload
}

// A view is a column of a frame.
type view struct {
	kind      pipeline.Kind
	desc      int // place of its struct in the image; of topic and payload: that of off
	validAddr uint32
	valid     []byte
	floats    []float64
	ints      []int64
	bools     []byte
	off       []uint32
}

// A builder gives out the bytes of a frame from its start on. It runs twice:
// without memory to find the size, then to make the views.
type builder struct {
	mem  []byte // of the instance
	addr uint32
	used uint32
}

// take gives out n elements of size bytes.
func (b *builder) take(n, size uint32) (addr uint32, mem []byte) {
	addr = b.addr + b.used
	b.used += (n*size + 7) &^ 7
	if b.mem == nil {
		return addr, nil
	}
	return addr, b.mem[addr : addr+n*size]
}

// slice looks at guest memory as values of T, whose alignment take sees to.
func slice[T any](mem []byte) []T {
	if len(mem) == 0 {
		return nil
	}
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[0])), uintptr(len(mem))/unsafe.Sizeof(t))
}

// newFrame asks the guest for room and lays the frame out.
func newFrame(i *instance, s frameSpec) (*frame, error) {
	size := builder{}
	(&frame{}).layOut(&size, s)
	addr, err := i.room(size.used)
	if err != nil {
		return nil, err
	}
	return frameAt(i, addr, s), nil
}

func frameAt(i *instance, addr uint32, s frameSpec) *frame {
	f := &frame{addr: addr}
	f.layOut(&builder{mem: i.mem, addr: addr}, s)
	return f
}

func (f *frame) layOut(b *builder, s frameSpec) {
	le := binary.LittleEndian
	head := uint32(frameBytes + columnBytes*(len(s.in)+len(s.out)) + 8*len(s.params))
	f.image = make([]byte, head)
	put := func(at int, v uint32) { le.PutUint32(f.image[at:], v) }
	base, header := b.take(head, 1)
	f.header = header
	part := func(at int, n, size uint32) []byte {
		addr, mem := b.take(n, size)
		put(at, addr)
		return mem
	}
	put(0, frameBytes)
	f.time = slice[int64](part(atTime, RowsMax, 8))
	f.slot = slice[uint32](part(atSlot, RowsMax, 4))
	f.mark = slice[int64](part(atMark, RowsMax, 8))
	f.emit = part(atEmit, RowsMax, 1)
	put(atCol, base+frameBytes)
	put(atOuts, uint32(len(s.out)))
	put(atOcol, base+frameBytes+columnBytes*uint32(len(s.in)))
	put(atParam, base+head-8*uint32(len(s.params)))
	put(atParams, uint32(len(s.params)))
	for k, v := range s.params {
		le.PutUint64(f.image[int(head)-8*(len(s.params)-k):], math.Float64bits(v))
	}
	desc := frameBytes
	column := func(kind pipeline.Kind) view {
		v := view{kind: kind, desc: desc}
		desc += columnBytes
		put(v.desc, uint32(kind))
		v.valid = part(v.desc+4, bitmapBytes, 1)
		v.validAddr = le.Uint32(f.image[v.desc+4:])
		switch kind {
		case pipeline.Float:
			v.floats = slice[float64](part(v.desc+8, RowsMax, 8))
		case pipeline.Int:
			v.ints = slice[int64](part(v.desc+8, RowsMax, 8))
		case pipeline.Bool:
			v.bools = part(v.desc+8, RowsMax, 1)
		default:
			v.off = slice[uint32](part(v.desc+12, RowsMax+1, 4))
		}
		return v
	}
	for _, kind := range s.in {
		f.in = append(f.in, column(kind))
	}
	for _, kind := range s.out {
		f.out = append(f.out, column(kind))
	}
	if s.raw {
		f.topic = view{kind: pipeline.Text, desc: atTopicOff, off: slice[uint32](part(atTopicOff, RowsMax+1, 4))}
		f.load = view{kind: pipeline.Bytes, desc: atPayloadOff, off: slice[uint32](part(atPayloadOff, RowsMax+1, 4))}
	}
}

// begin makes the frame ready for n rows or ticks.
func (f *frame) begin(kind, n int, now int64) {
	le := binary.LittleEndian
	le.PutUint32(f.image[atRows:], uint32(n))
	le.PutUint32(f.image[atKind:], uint32(kind))
	le.PutUint64(f.image[atNow:], uint64(now))
	columns := len(f.in)
	if kind == kindTick {
		columns = 0
	}
	le.PutUint32(f.image[atColumns:], uint32(columns))
	clear(f.emit[:n])
	for k := range f.out {
		clear(f.out[k].valid[:(n+7)>>3])
	}
}

// seal writes the struct where the guest finds it. It is done for every call,
// as a guest may have written there.
func (f *frame) seal() { copy(f.header, f.image) }

// put copies rows from, from+1, … of a column that is no text to the n rows of
// the frame. Without a column no row has a value.
func (f *frame) put(v *view, c *pipeline.Column, from, n int) {
	if c == nil {
		f.setValid(v, nil, 0, n)
		clear(v.floats)
		clear(v.ints)
		clear(v.bools)
		return
	}
	f.setValid(v, c, from, n)
	switch {
	case v.kind == c.Kind && v.kind == pipeline.Float:
		copy(v.floats[:n], c.Floats[from:from+n])
	case v.kind == c.Kind && v.kind == pipeline.Int:
		copy(v.ints[:n], c.Ints[from:from+n])
	case v.kind == c.Kind:
		copy(v.bools[:n], c.Bools[from:from+n])
	default: // Bind lets only integers be read as numbers
		for i, x := range c.Ints[from : from+n] {
			v.floats[i] = float64(x)
		}
	}
}

func (f *frame) setValid(v *view, c *pipeline.Column, from, n int) {
	addr := v.validAddr
	switch {
	case c == nil:
		clear(v.valid)
	case len(c.Valid) == 0:
		addr = 0
	default:
		copyBits(v.valid, c.Valid, from, n)
	}
	binary.LittleEndian.PutUint32(f.image[v.desc+4:], addr)
}

// copyBits copies n bits of src, from bit from on, to the start of dst.
func copyBits(dst, src []byte, from, n int) {
	src = src[from>>3:]
	shift := from & 7
	bytes := (n + 7) >> 3
	if shift == 0 {
		copy(dst[:bytes], src)
	} else {
		for i := range bytes {
			b := src[i] >> shift
			if i+1 < len(src) {
				b |= src[i+1] << (8 - shift)
			}
			dst[i] = b
		}
	}
	if n&7 != 0 {
		dst[bytes-1] &= 1<<(n&7) - 1
	}
}

// putText copies the texts of n rows to room, which is at addr, and returns
// what is left of it. A nil column is empty text.
func (f *frame) putText(v *view, c *pipeline.Column, from, n int, t text) text {
	le := binary.LittleEndian
	if v.desc >= frameBytes {
		f.setValid(v, c, from, n)
		le.PutUint32(f.image[v.desc+8:], t.addr)
	} else {
		le.PutUint32(f.image[v.desc+4:], t.addr)
	}
	if c == nil {
		clear(v.off)
		return t
	}
	first := c.Off[from]
	for i, o := range c.Off[from : from+n+1] {
		v.off[i] = o - first
	}
	used := uint32(copy(t.mem, c.Data[first:c.Off[from+n]]))
	return text{t.addr + used, t.mem[used:]}
}

// A text is room for text in guest memory.
type text struct {
	addr uint32
	mem  []byte
}

// check says how the guest broke the contract, if it did, and counts the rows
// that go on.
func (f *frame) check(n int) error {
	if codes := f.emit[:n]; !onlyCodes(codes) {
		return fmt.Errorf("broke the contract: emit code %d, want 0, 1 or 2", slices.Max(codes))
	}
	if got := binary.LittleEndian.Uint32(f.header[atOutLen:]); got != 0 {
		return fmt.Errorf("broke the contract: %d bytes of free-form output, want none", got)
	}
	return nil
}

// onlyCodes tells whether all bytes are codes that a guest may answer.
func onlyCodes(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		const ones = 0x0101010101010101
		if w := binary.LittleEndian.Uint64(b); w&^(3*ones)|w&(w>>1)&ones != 0 { // above 3, or 3
			return false
		}
	}
	return len(b) == 0 || slices.Max(b) <= emitDead
}

// What a guest answers for a row.
const (
	emitEnd  = 0
	emitOn   = 1
	emitDead = 2
)
