package expr

import (
	"strconv"

	"millrace.dev/millrace/pipeline"
)

// A convert is float(x) or int(x) of a number or a text.
type convert struct {
	x   node
	to  pipeline.Kind
	out pipeline.Column
}

func (k *convert) kind() pipeline.Kind { return k.to }

func (k *convert) operands() []node { return []node{k.x} }

func (k *convert) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind = k.to
	if x.Kind == pipeline.Int && k.to == pipeline.Float {
		out.Valid, out.Floats = append(out.Valid[:0], x.Valid...), resize(out.Floats, b.Rows())
		for i, v := range x.Ints {
			out.Floats[i] = float64(v)
		}
		return out
	}
	out.Reset()
	for i := range b.Rows() {
		if !x.Has(i) || !k.one(x, i) {
			out.AppendNull()
		}
	}
	return out
}

// one converts row i, if that can be.
func (k *convert) one(x *pipeline.Column, i int) bool {
	switch {
	case x.Kind == pipeline.Float:
		v := x.Floats[i]
		if !(v > -1<<63 && v < 1<<63) {
			return false
		}
		k.out.AppendInt(int64(v))
	case k.to == pipeline.Int:
		v, err := strconv.ParseInt(string(x.Text(i)), 10, 64)
		if err != nil {
			return false
		}
		k.out.AppendInt(v)
	default:
		v, err := strconv.ParseFloat(string(x.Text(i)), 64)
		if err != nil {
			return false
		}
		k.out.AppendFloat(v)
	}
	return true
}
