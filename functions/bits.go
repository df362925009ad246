package functions

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// A form is how a value of any kind is handed over.
type form uint8

const (
	formPlain form = iota // as it is
	formHash              // 64 bits, the same for the same values
	formItem              // 256 bits from which the value can be made again
)

// itemBytes is how much of a text an item holds: four numbers of eight bytes.
const (
	itemWords = 4
	itemBytes = 8 * itemWords
)

// putBits is put for an input that is not plain. NaN is no value.
func (f *frame) putBits(v *view, c *pipeline.Column, from, n int, in *input) {
	if c == nil {
		f.put(v, nil, from, n)
		return
	}
	f.setValid(v, c, from, n)
	for i := range n {
		if c.Kind != pipeline.Float {
			v.ints[i] = bitsOf(c, from+i, in)
			continue
		}
		x := c.Floats[from+i] + 0 // -0 is 0
		if x != x {
			f.dropValue(v, i, n)
		}
		v.ints[i] = int64(math.Float64bits(x))
		if in.word > 0 {
			v.ints[i] = 0
		}
	}
}

// dropValue says that row i of n has no value.
func (f *frame) dropValue(v *view, i, n int) {
	if addr := f.image[v.desc+4:]; binary.LittleEndian.Uint32(addr) == 0 {
		binary.LittleEndian.PutUint32(addr, v.validAddr)
		for k := range (n + 7) >> 3 {
			v.valid[k] = 0xff
		}
	}
	v.valid[i>>3] &^= 1 << (i & 7)
}

// bitsOf returns the bits of value i of a column that is not of floats.
func bitsOf(c *pipeline.Column, i int, in *input) int64 {
	switch {
	case isText(c.Kind) && in.form == formHash:
		return hashOf(c.Text(i))
	case isText(c.Kind):
		return wordOf(c.Text(i), in.word)
	case in.word > 0:
		return 0
	case c.Kind == pipeline.Int:
		return c.Ints[i]
	}
	return int64(c.Bools[i])
}

// hashOf is FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo) of 64 bits.
func hashOf(text []byte) int64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range text {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return int64(h)
}

// wordOf returns eight bytes of a text that is cut to itemBytes, at a whole
// character, and filled with zeros.
func wordOf(text []byte, word int) int64 {
	if len(text) > itemBytes {
		n := itemBytes
		for n > itemBytes-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	var b [8]byte
	copy(b[:], text[min(8*word, len(text)):])
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// appendItem appends, as text, the value of which the ints of row i are the
// item.
func appendItem(dst []byte, words []pipeline.Column, i int, kind pipeline.Kind) []byte {
	first := words[0].Ints[i]
	switch kind {
	case pipeline.Float:
		return strconv.AppendFloat(dst, math.Float64frombits(uint64(first)), 'g', -1, 64)
	case pipeline.Int:
		return strconv.AppendInt(dst, first, 10)
	case pipeline.Bool:
		return strconv.AppendBool(dst, first != 0)
	}
	var b [itemBytes]byte
	for w := range itemWords {
		binary.LittleEndian.PutUint64(b[8*w:], uint64(words[w].Ints[i]))
	}
	return append(dst, strings.TrimRight(string(b[:]), "\x00")...)
}

// appendItemTo appends the value itself to a column of its kind.
func appendItemTo(c *pipeline.Column, words []pipeline.Column, i int) {
	first := words[0].Ints[i]
	switch {
	case !words[0].Has(i):
		c.AppendNull()
	case c.Kind == pipeline.Float:
		c.AppendFloat(math.Float64frombits(uint64(first)))
	case c.Kind == pipeline.Int:
		c.AppendInt(first)
	case c.Kind == pipeline.Bool:
		c.AppendBool(first != 0)
	default:
		var room [itemBytes]byte
		c.AppendText(appendItem(room[:0], words, i, c.Kind))
	}
}
