package join

import (
	"fmt"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// A base is what Align and Join share: the rows that wait and the way out.
type base struct {
	waiting
	keys []uint32 // room for due
}

func newBase(c Config, in pipeline.Schema, keys *pipeline.Keys) (base, error) {
	l, err := newLayout(c, in, keys)
	return base{waiting: waiting{layout: l}}, err
}

// Schema returns the columns of the results; with Open there may be more.
func (s *base) Schema() pipeline.Schema { return s.layout.schema() }

// A moment is what made a result come out: a row, or time.
type moment struct {
	key     uint32
	mark    int64
	arrived int64
}

// begin makes the stage ready for the rows of in, or for time.
func (s *base) begin(in *pipeline.Batch) {
	s.layout.out.Reset()
	if in != nil {
		s.layout.bind(in)
		s.grow(in.Keys.Len())
	}
}

// end hands the results on.
func (s *base) end(out *pipeline.Outputs) {
	if s.layout.out.Rows() > 0 {
		out.Main = &s.layout.out
	} else {
		out.Main = nil
	}
}

// stream returns the stream of row i, or -1 for a row of another.
func (s *base) stream(c *pipeline.Column, i int) int {
	if c == nil || !c.Has(i) {
		return -1
	}
	name := c.Text(i)
	for k, known := range s.layout.config.Streams {
		if string(name) == known {
			return k
		}
	}
	return -1
}

// takes reports whether row i may wait, and sets it aside if not.
func (s *base) takes(in *pipeline.Batch, i, stream int, out *pipeline.Outputs) bool {
	c := &s.layout.config
	key := in.Key[i]
	switch {
	case stream < 0:
		out.DeadRow(in, i, c.Stage, "the row is of none of the streams %s", strings.Join(c.Streams, ", "))
	case in.Mark[i] != pipeline.NoMark && in.Time[i]+c.Within < in.Mark[i]:
		out.LateRow(in, i)
	case len(s.rows[key]) >= c.RowsMax:
		out.DeadRow(in, i, c.Stage, "key %s has %d rows waiting, the most is %d", quoted(in.Keys.Name(key)), c.RowsMax, c.RowsMax)
	default:
		return true
	}
	return false
}

func quoted(key string) string { return fmt.Sprintf("%q", strings.ReplaceAll(key, "\x00", " ")) }

// lowered is the watermark of results whose stage holds rows for within.
func lowered(mark, within int64) int64 {
	if mark == pipeline.NoMark {
		return mark
	}
	return mark - within
}

// left is the watermark of a result that leaves because the watermark has
// passed it. That may have gone far at once; the row was not late for what
// stands behind before it did.
func left(mark, within, time int64) int64 { return min(lowered(mark, within), time) }
