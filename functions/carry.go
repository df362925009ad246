package functions

import (
	"encoding/binary"
	"math"

	"millrace.dev/millrace/pipeline"
)

// appendValue appends the bytes of row i of c, which has a value there.
func appendValue(dst []byte, c *pipeline.Column, i int) []byte {
	switch c.Kind {
	case pipeline.Float:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.Floats[i]))
	case pipeline.Int:
		return binary.LittleEndian.AppendUint64(dst, uint64(c.Ints[i]))
	case pipeline.Bool:
		return append(dst, c.Bools[i])
	}
	return append(dst, c.Text(i)...)
}

// appendTo appends the value to a column of the kind it came from.
func (v *carried) appendTo(c *pipeline.Column) {
	switch {
	case !v.has:
		c.AppendNull()
	case isText(c.Kind):
		c.AppendText(v.value)
	case c.Kind == pipeline.Bool && len(v.value) == 1:
		c.AppendBool(v.value[0] != 0)
	case c.Kind == pipeline.Float && len(v.value) == 8:
		c.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(v.value)))
	case c.Kind == pipeline.Int && len(v.value) == 8:
		c.AppendInt(int64(binary.LittleEndian.Uint64(v.value)))
	default: // of another kind in a snapshot
		c.AppendNull()
	}
}
