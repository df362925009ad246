package expr

import (
	"encoding/binary"
	"math"

	"millrace.dev/millrace/pipeline"
)

// A choose is cond ? x : y.
type choose struct {
	cond, x, y node
	out        pipeline.Column
}

func (k *choose) kind() pipeline.Kind { return k.x.kind() }

func (k *choose) eval(b *pipeline.Batch) *pipeline.Column {
	cond, out := k.cond.eval(b), &k.out
	out.Kind, out.Valid = k.x.kind(), out.Valid[:0]
	if c, d, ok := k.words(); ok {
		pickWords(out, cond.Bools, c, d)
		if len(cond.Valid) > 0 {
			without(out, cond)
		}
		return out
	}
	x, y := k.x.eval(b), k.y.eval(b)
	pick(out, cond.Bools, x, y)
	if len(x.Valid)+len(y.Valid) > 0 {
		pickValid(out, cond.Bools, x, y)
	}
	if len(cond.Valid) > 0 {
		without(out, cond)
	}
	return out
}

// words returns the outcomes if both are texts of up to eight bytes.
func (k *choose) words() (x, y string, ok bool) {
	c, okX := known(k.x)
	d, okY := known(k.y)
	if !okX || !okY || !isText(c) || len(c.text) > 8 || len(d.text) > 8 {
		return "", "", false
	}
	return c.text, d.text, true
}

// pickWords is pick for words: all eight bytes are written, and those behind a
// text overwritten by the next.
func pickWords(out *pipeline.Column, which []byte, x, y string) {
	var words [2][8]byte
	copy(words[1][:], x)
	copy(words[0][:], y)
	w := [2]uint64{binary.LittleEndian.Uint64(words[0][:]), binary.LittleEndian.Uint64(words[1][:])}
	lengths := [2]uint32{uint32(len(y)), uint32(len(x))}
	out.Data, out.Off = resize(out.Data, 8*len(which)+8), resize(out.Off, len(which)+1)
	end := uint32(0)
	off := out.Off[1:]
	for i, k := range which[:len(off)] {
		binary.LittleEndian.PutUint64(out.Data[end:], w[k&1])
		end += lengths[k&1]
		off[i] = end
	}
	out.Off[0], out.Data = 0, out.Data[:end]
}

// A coalesce is x ?? y: x, or y where x is nil.
type coalesce struct {
	x, y  node
	bools []byte
	out   pipeline.Column
}

func (k *coalesce) kind() pipeline.Kind { return k.x.kind() }

func (k *coalesce) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	if len(x.Valid) == 0 {
		out.CopyFrom(x)
		return out
	}
	out.Kind = k.x.kind()
	k.bools = k.bools[:0]
	for _, bits := range x.Valid {
		k.bools = binary.LittleEndian.AppendUint64(k.bools, eightOf(bits))
	}
	y := k.y.eval(b)
	pick(out, k.bools[:b.Rows()], x, y)
	out.Valid = append(out.Valid[:0], y.Valid...)
	for i := range out.Valid {
		out.Valid[i] |= x.Valid[i]
	}
	return out
}

// pick puts x into out where which is 1, and y where it is 0.
func pick(out *pipeline.Column, which []byte, x, y *pipeline.Column) {
	switch n := len(which); out.Kind {
	case pipeline.Float:
		out.Floats = resize(out.Floats, n)
		pickFloats(out.Floats, which, x.Floats, y.Floats)
	case pipeline.Int:
		out.Ints = resize(out.Ints, n)
		for i, v := range x.Ints[:n] {
			out.Ints[i] = y.Ints[i] ^ (v^y.Ints[i])&int64(every(which[i]))
		}
	case pipeline.Bool:
		out.Bools = resize(out.Bools, n)
		for i, v := range x.Bools[:n] {
			out.Bools[i] = which[i]&v | (which[i]^1)&y.Bools[i]
		}
	default:
		pickTexts(out, which, x, y)
	}
}

// pickFloats has no branch: which rows take x is hard to foretell.
func pickFloats(out []float64, which []byte, x, y []float64) {
	which, x, y = which[:len(out)], x[:len(out)], y[:len(out)]
	for i := range out {
		v, w := math.Float64bits(x[i]), math.Float64bits(y[i])
		out[i] = math.Float64frombits(w ^ (v^w)&every(which[i]))
	}
}

func pickTexts(out *pipeline.Column, which []byte, x, y *pipeline.Column) {
	data, off := out.Data[:0], append(out.Off[:0], 0)
	for i, w := range which {
		from := y
		if w != 0 {
			from = x
		}
		data = append(data, from.Text(i)...)
		off = append(off, uint32(len(data)))
	}
	out.Data, out.Off = data, off
}

func pickValid(out *pipeline.Column, which []byte, x, y *pipeline.Column) {
	validOf := func(c *pipeline.Column, at int) byte {
		if len(c.Valid) == 0 {
			return 0xff
		}
		return c.Valid[at]
	}
	for at := range (len(which) + 7) >> 3 {
		var eight [8]byte
		copy(eight[:], which[8*at:])
		takes := bitsOf(binary.LittleEndian.Uint64(eight[:]))
		out.Valid = append(out.Valid, takes&validOf(x, at)|^takes&validOf(y, at))
	}
	if n := len(which); n&7 != 0 {
		out.Valid[n>>3] &= 1<<(n&7) - 1
	}
}

// without takes away the values of rows for which cond has none.
func without(out, cond *pipeline.Column) {
	if out.Kind != pipeline.Text && out.Kind != pipeline.Bytes {
		out.Valid = both(out.Valid, out, cond)
		zero(out)
		return
	}
	from := uint32(0)
	data := out.Data[:0]
	for i, to := range out.Off[1:] {
		if cond.Has(i) {
			data = append(data, out.Data[from:to]...)
		}
		from, out.Off[i+1] = to, uint32(len(data))
	}
	out.Data, out.Valid = data, both(out.Valid, out, cond)
}
