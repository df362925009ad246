package join

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"millrace.dev/millrace/pipeline"
)

// ColumnsMax is the most columns that an open layout takes from its rows; the
// values of one more are left out.
const ColumnsMax = 1024

// A layout copies rows of the input into bytes and back into results.
//
// The bytes are, for each column with a value, its number in fields (LEB128)
// and the value: eight bytes, one of a bool, or a length and the text.
type layout struct {
	config Config
	shared int              // results that are shared columns
	fields []pipeline.Field // of the input: the numbers in rows
	to     [][]int32        // by stream and field: the result column, or -1
	bound  []int32          // by column of the batch at hand: its field, or -1
	names  []pipeline.Field // of the batch at hand
	out    pipeline.Batch
	at     [][]byte // by result column: a value; nil for none
}

func newLayout(c Config, in pipeline.Schema, keys *pipeline.Keys) (*layout, error) {
	if err := c.check(in); err != nil {
		return nil, err
	}
	l := &layout{config: c, shared: len(c.Shared), to: make([][]int32, len(c.Streams))}
	l.out.Keys = keys
	for _, name := range c.Shared {
		at := in.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("there is no column %q", name)
		}
		l.result(in[at])
		for s := range l.to {
			l.lead(s, l.number(in[at]), len(l.out.Columns)-1)
		}
	}
	for _, want := range c.Columns {
		stream, at := slices.Index(c.Streams, want.Stream), in.Index(want.Field)
		if stream < 0 || at < 0 {
			return nil, fmt.Errorf("there is no column %q", want.Name())
		}
		l.lead(stream, l.number(in[at]), l.result(pipeline.Field{Name: want.Name(), Kind: in[at].Kind}))
	}
	return l, nil
}

// schema returns the columns that all results have.
func (l *layout) schema() pipeline.Schema { return l.out.Schema() }

// result adds a result column and returns its place.
func (l *layout) result(f pipeline.Field) int {
	c := pipeline.NewColumn(f)
	for range l.out.Rows() {
		c.AppendNull()
	}
	l.out.Columns = append(l.out.Columns, c)
	l.at = append(l.at, nil)
	return len(l.out.Columns) - 1
}

// number returns the number of a field, a new one if need be.
func (l *layout) number(f pipeline.Field) int {
	if i := slices.Index(l.fields, f); i >= 0 {
		return i
	}
	l.fields = append(l.fields, f)
	for s := range l.to {
		l.to[s] = append(l.to[s], -1)
	}
	return len(l.fields) - 1
}

func (l *layout) lead(stream, field, result int) { l.to[stream][field] = int32(result) }

// bind finds the fields of the columns of b.
func (l *layout) bind(b *pipeline.Batch) {
	if slices.EqualFunc(b.Columns, l.names, func(c pipeline.Column, f pipeline.Field) bool { return c.Field == f }) {
		return
	}
	l.names, l.bound = l.names[:0], l.bound[:0]
	for i := range b.Columns {
		f := b.Columns[i].Field
		l.names = append(l.names, f)
		at := int32(-1)
		if known := slices.Index(l.fields, f); known >= 0 {
			at = int32(known)
		} else if l.config.Open && l.takes(f.Name) {
			at = int32(l.number(f))
		}
		l.bound = append(l.bound, at)
	}
}

// takes reports whether an open layout takes a field that nobody named.
func (l *layout) takes(name string) bool {
	return len(l.fields) < ColumnsMax && name != StreamColumn && name != "topic" && !slices.Contains(l.config.Shared, name)
}

// encode appends row i of b, of that stream, to dst.
func (l *layout) encode(dst []byte, b *pipeline.Batch, i, stream int) []byte {
	for k, field := range l.bound {
		if field < 0 || !b.Columns[k].Has(i) || !l.config.Open && l.to[stream][field] < 0 {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(field))
		switch c := &b.Columns[k]; c.Kind {
		case pipeline.Float:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.Floats[i]))
		case pipeline.Int:
			dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Ints[i]))
		case pipeline.Bool:
			dst = append(dst, c.Bools[i])
		default:
			dst = binary.AppendUvarint(dst, uint64(len(c.Text(i))))
			dst = append(dst, c.Text(i)...)
		}
	}
	return dst
}

// gather notes the values of a row for the result at hand.
func (l *layout) gather(r *row) {
	for data := r.data; len(data) > 0; {
		field, n := binary.Uvarint(data)
		data = data[n:]
		n = l.width(int(field), data)
		to := l.to[r.stream][field]
		if to < 0 && l.config.Open {
			to = l.open(int(r.stream), int(field))
		}
		if to >= 0 {
			l.at[to] = data[:n]
		}
		data = data[n:]
	}
}

// width returns how many bytes the value of a field has, of a text with its length.
func (l *layout) width(field int, data []byte) int {
	switch l.fields[field].Kind {
	case pipeline.Float, pipeline.Int:
		return 8
	case pipeline.Bool:
		return 1
	}
	size, n := binary.Uvarint(data)
	return n + int(size)
}

// open makes a result column of a field that nobody named.
func (l *layout) open(stream, field int) int32 {
	f := l.fields[field]
	f.Name = Column{l.config.Streams[stream], f.Name}.Name()
	l.lead(stream, field, l.result(f))
	return l.to[stream][field]
}

// put adds the result of what was gathered.
func (l *layout) put(r pipeline.Row) {
	l.out.AppendRow(r)
	for k := range l.out.Columns {
		c, v := &l.out.Columns[k], l.at[k]
		switch {
		case v == nil:
			c.AppendNull()
		case c.Kind == pipeline.Float:
			c.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(v)))
		case c.Kind == pipeline.Int:
			c.AppendInt(int64(binary.LittleEndian.Uint64(v)))
		case c.Kind == pipeline.Bool:
			c.AppendBool(v[0] != 0)
		default:
			_, n := binary.Uvarint(v)
			c.AppendText(v[n:])
		}
		l.at[k] = nil
	}
}
