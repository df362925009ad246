package steps

import (
	"fmt"
	"slices"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// A Step is a stage that knows the columns it puts out.
type Step interface {
	pipeline.Stage
	Schema() pipeline.Schema // what comes out; the caller must not change it
}

// An Error says what is wrong with the configuration of a step, at which of
// its keys, and what to do.
type Error struct {
	At   string // the key below that of the step, such as fields.temp; empty for the step itself
	Msg  string // one line
	Hint string // may be empty
}

// Error returns message and hint on one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + "; " + e.Hint
}

func fail(at, hint, format string, args ...any) *Error {
	return &Error{at, fmt.Sprintf(format, args...), hint}
}

// A column is one that a step reads.
type column struct {
	pipeline.Field
	at int // its place in the schema
}

// of returns the column in b.
func (c column) of(b *pipeline.Batch) *pipeline.Column {
	x := b.Find(c.Field, c.at)
	if x == nil {
		panic(fmt.Sprintf("BUG: there is no column %v", c.Field))
	}
	return x
}

// find returns the column called name, which is of one of kinds, or of any
// where there are none.
func find(s pipeline.Schema, at, name string, kinds ...pipeline.Kind) (column, error) {
	i := s.Index(name)
	if i < 0 {
		return column{}, unknown(s, at, name)
	}
	if len(kinds) > 0 && !slices.Contains(kinds, s[i].Kind) {
		hint := ""
		if kinds[0] == pipeline.Text {
			hint = fmt.Sprintf("say fields: {%s: text} in the pipeline, or make a text of it with set: {%s: string(%s)}", name, name, name)
		}
		return column{}, fail(at, hint, "column %s is %s, and %s is wanted", name, s[i].Kind, kinds[0])
	}
	return column{s[i], i}, nil
}

func unknown(s pipeline.Schema, at, name string) error {
	var names []string
	for _, f := range s {
		names = append(names, f.Name)
	}
	return fail(at, "columns here: "+strings.Join(names, ", "), "unknown column %q", name)
}

// number returns row i of a Float or Int column.
func number(c *pipeline.Column, i int) float64 {
	if c.Kind == pipeline.Int {
		return float64(c.Ints[i])
	}
	return c.Floats[i]
}

// A choice is the rows that a step lets pass; its memory is used again.
type choice struct{ rows []int32 }

// of lets the rows of b pass for which pass is true.
func (c *choice) of(b *pipeline.Batch, pass func(i int) bool) *pipeline.Batch {
	c.rows = c.rows[:0]
	for i := range b.Rows() {
		if pass(i) {
			c.rows = append(c.rows, int32(i))
		}
	}
	b.Take(c.rows)
	return b
}
