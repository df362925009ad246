package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// batchFormat is the version of what AppendBatch writes:
//
//	u8       version, 1
//	uvarint  rows, columns
//	         Time, Arrived, Mark, Offset, Ordinal, Hop: see appendSteps
//	and for each column
//	u8       kind; 0x80 is added if there are rows without a value
//	uvarint  length of the name, and the name
//	         bitmap of the rows that have a value, if some have none
//	         the values of those that have one:
//	         Float  8 bytes each, little-endian
//	         Int    a varint each: the difference from the one before
//	         Bool   a bit each, least significant first
//	         others the lengths as uvarints, then all bytes
const batchFormat = 1

const someAbsent = 0x80

// How a row of numbers is written: all are the same, or each as a varint of
// its difference from the one before.
const (
	allSame = iota
	eachDiffers
)

var errBatch = errors.New("batch is damaged")

// AppendBatch appends b in a form that Batch.Decode reads. Keys are not in it.
func AppendBatch(dst []byte, b *Batch) []byte {
	n := b.Rows()
	dst = append(dst, batchFormat)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, uint64(len(b.Columns)))
	if n == 0 {
		return appendFields(dst, b)
	}
	dst = appendDifferences(dst, b.Time) // a byte a row at least: what is read is bounded by what is there
	dst = appendSteps(dst, b.Arrived)
	dst = appendSteps(dst, b.Mark)
	dst = appendSteps(dst, b.Offset)
	dst = appendSteps(dst, b.Ordinal)
	dst = appendSteps(dst, b.Hop)
	for k := range b.Columns {
		dst = appendColumn(dst, &b.Columns[k], n)
	}
	return dst
}

// appendFields appends the columns of a batch without rows.
func appendFields(dst []byte, b *Batch) []byte {
	for k := range b.Columns {
		dst = appendField(dst, &b.Columns[k], false)
	}
	return dst
}

func appendField(dst []byte, c *Column, absent bool) []byte {
	kind := byte(c.Kind)
	if absent {
		kind |= someAbsent
	}
	dst = binary.AppendUvarint(append(dst, kind), uint64(len(c.Name)))
	return append(dst, c.Name...)
}

// A whole is a number without a fraction, of whatever size.
type whole interface {
	~int64 | ~uint64 | ~uint32 | ~uint8
}

// appendSteps appends numbers, at least one: how, then as that says.
func appendSteps[T whole](dst []byte, all []T) []byte {
	for _, v := range all {
		if v != all[0] {
			return appendDifferences(append(dst, eachDiffers), all)
		}
	}
	return binary.AppendVarint(append(dst, allSame), int64(all[0]))
}

func appendDifferences[T whole](dst []byte, all []T) []byte {
	var last int64
	for _, v := range all {
		dst = binary.AppendVarint(dst, int64(v)-last) // may wrap; so does the sum
		last = int64(v)
	}
	return dst
}

func appendColumn(dst []byte, c *Column, n int) []byte {
	absent := len(c.Valid) > 0
	dst = appendField(dst, c, absent)
	if absent {
		dst = appendBitmap(dst, c.Valid, n)
	}
	switch c.Kind {
	case Float:
		for i, v := range c.Floats {
			if c.Has(i) {
				dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
			}
		}
	case Int:
		if !absent {
			return appendDifferences(dst, c.Ints)
		}
		var last int64
		for i, v := range c.Ints {
			if c.Has(i) {
				dst = binary.AppendVarint(dst, v-last)
				last = v
			}
		}
	case Bool:
		return appendBits(dst, c)
	default:
		return appendTexts(dst, c, n)
	}
	return dst
}

// appendBitmap appends the bits of n rows, and zeros for what is behind them.
func appendBitmap(dst, bits []byte, n int) []byte {
	dst = append(dst, bits[:(n+7)/8]...)
	if n%8 != 0 {
		dst[len(dst)-1] &= 1<<(n%8) - 1
	}
	return dst
}

func appendBits(dst []byte, c *Column) []byte {
	k := 0
	for i, v := range c.Bools {
		if !c.Has(i) {
			continue
		}
		if k%8 == 0 {
			dst = append(dst, 0)
		}
		dst[len(dst)-1] |= (v & 1) << (k % 8)
		k++
	}
	return dst
}

func appendTexts(dst []byte, c *Column, n int) []byte {
	for i := range n {
		if c.Has(i) {
			dst = binary.AppendUvarint(dst, uint64(c.Off[i+1]-c.Off[i]))
		}
	}
	if len(c.Valid) == 0 {
		return append(dst, c.Data[c.Off[0]:c.Off[n]]...)
	}
	for i := range n {
		if c.Has(i) {
			dst = append(dst, c.Text(i)...)
		}
	}
	return dst
}

// Decode makes b the batch that AppendBatch wrote at the beginning of src, and
// returns what is behind it. The rows have key 0. b shares no memory with src;
// it keeps its own and uses it again. After an error b has no rows.
func (b *Batch) Decode(src []byte) (rest []byte, err error) {
	b.Reset()
	d := unpacker{src: src}
	if v := d.byte(); d.bad || v != batchFormat {
		return nil, fmt.Errorf("batch is of format %d, this program reads %d", v, batchFormat)
	}
	n, columns := d.count(), d.count()
	if d.bad {
		return nil, errBatch
	}
	if n > 0 {
		b.Time = unpackDifferences(&d, b.Time, n)
		b.Arrived = unpackSteps(&d, b.Arrived, n)
		b.Mark = unpackSteps(&d, b.Mark, n)
		b.Offset = unpackSteps(&d, b.Offset, n)
		b.Ordinal = unpackSteps(&d, b.Ordinal, n)
		b.Hop = unpackSteps(&d, b.Hop, n)
		b.Key = slices.Grow(b.Key, n)[:len(b.Key)+n]
		clear(b.Key[len(b.Key)-n:])
	}
	for len(b.Columns) < columns {
		b.Columns = append(b.Columns, Column{})
	}
	b.Columns = b.Columns[:columns]
	for k := range b.Columns {
		d.column(&b.Columns[k], n)
	}
	if d.bad {
		b.empty()
		return nil, errBatch
	}
	return d.src, nil
}

// empty drops all rows of a batch whose parts may not fit together.
func (b *Batch) empty() {
	for k := range b.Columns {
		b.Columns[k].Reset()
	}
	b.Time, b.Arrived, b.Mark, b.Key = b.Time[:0], b.Arrived[:0], b.Mark[:0], b.Key[:0]
	b.Offset, b.Ordinal, b.Hop = b.Offset[:0], b.Ordinal[:0], b.Hop[:0]
}

// An unpacker reads src from its beginning. Once something does not fit it is
// bad, and gives zeros.
type unpacker struct {
	src []byte
	bad bool
}

func (d *unpacker) fail() { d.src, d.bad = nil, true }

func (d *unpacker) byte() byte {
	if len(d.src) == 0 {
		d.fail()
		return 0
	}
	v := d.src[0]
	d.src = d.src[1:]
	return v
}

func (d *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(d.src)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *unpacker) varint() int64 {
	v, n := binary.Varint(d.src)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.src = d.src[n:]
	return v
}

// count reads a number of things that take a byte each at least.
func (d *unpacker) count() int {
	v := d.uvarint()
	if v > uint64(len(d.src)) {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *unpacker) bytes(n int) []byte {
	if n > len(d.src) {
		d.fail()
		return nil
	}
	v := d.src[:n:n]
	d.src = d.src[n:]
	return v
}

func unpackSteps[T whole](d *unpacker, dst []T, n int) []T {
	if d.byte() == eachDiffers {
		return unpackDifferences(d, dst, n)
	}
	v := T(d.varint())
	for range n {
		dst = append(dst, v)
	}
	return dst
}

func unpackDifferences[T whole](d *unpacker, dst []T, n int) []T {
	if n > len(d.src) {
		d.fail()
		return dst
	}
	dst = slices.Grow(dst, n)
	var last int64
	for range n {
		last += d.varint()
		dst = append(dst, T(last))
	}
	return dst
}

// column reads one column of n rows.
func (d *unpacker) column(c *Column, n int) {
	kind := d.byte()
	name := d.bytes(d.count())
	if string(name) != c.Name {
		c.Name = string(name)
	}
	c.Kind = Kind(kind &^ someAbsent)
	c.Off = c.Off[:0] // its kind may have been another
	c.Reset()
	if c.Kind < Float || c.Kind > Bytes {
		d.fail()
		c.Kind = Float
	}
	have := n
	if kind&someAbsent != 0 {
		have = d.bitmap(c, n)
	}
	if d.bad || n == 0 {
		return
	}
	switch c.Kind {
	case Float:
		d.floats(c, n, have)
	case Int:
		d.ints(c, n, have)
	case Bool:
		d.bools(c, n, have)
	default:
		d.texts(c, n, have)
	}
}

// bitmap reads which rows have a value and returns how many.
func (d *unpacker) bitmap(c *Column, n int) (have int) {
	c.Valid = append(c.Valid, d.bytes((n+7)/8)...)
	if len(c.Valid) > 0 && n%8 != 0 {
		c.Valid[len(c.Valid)-1] &= 1<<(n%8) - 1
	}
	for i := range n {
		if !d.bad && c.Has(i) {
			have++
		}
	}
	return have
}

func (d *unpacker) floats(c *Column, n, have int) {
	src := d.bytes(8 * have)
	if d.bad {
		return
	}
	c.Floats = slices.Grow(c.Floats, n)
	for i := range n {
		if !c.Has(i) {
			c.Floats = append(c.Floats, 0)
			continue
		}
		c.Floats = append(c.Floats, math.Float64frombits(binary.LittleEndian.Uint64(src)))
		src = src[8:]
	}
}

func (d *unpacker) ints(c *Column, n, have int) {
	if have == n {
		c.Ints = unpackDifferences(d, c.Ints, n)
		return
	}
	var last int64
	for i := range n {
		if !c.Has(i) {
			c.Ints = append(c.Ints, 0)
			continue
		}
		last += d.varint()
		c.Ints = append(c.Ints, last)
	}
}

func (d *unpacker) bools(c *Column, n, have int) {
	src := d.bytes((have + 7) / 8)
	if d.bad {
		return
	}
	k := 0
	for i := range n {
		v := byte(0)
		if c.Has(i) {
			v = src[k/8] >> (k % 8) & 1
			k++
		}
		c.Bools = append(c.Bools, v)
	}
}

func (d *unpacker) texts(c *Column, n, have int) {
	if have > len(d.src) {
		d.fail()
		return
	}
	c.Off = slices.Grow(c.Off, n)
	var end uint64
	for i := range n {
		if c.Has(i) {
			end += d.uvarint()
		}
		if end > uint64(len(d.src)) || end > math.MaxUint32 {
			d.fail()
			return
		}
		c.Off = append(c.Off, uint32(end))
	}
	c.Data = append(c.Data, d.bytes(int(end))...)
}
