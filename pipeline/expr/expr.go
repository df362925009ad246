// Package expr compiles expressions such as
//
//	temp > -40 and temp < 150 or device in ["m1", "m2"]
//
// and evaluates them a column at a time.
//
//	text ──parser of expr-lang──▶ tree ──▶ kernels ──▶ a column
//	                                        └─▶ expr-lang's VM, a row at a time, for functions on text
//
// The grammar is that of expr-lang. Names are columns; a.b and readings[0].t
// are names with dots, $env["oil-temp"] is any name.
//
// A row without a value is nil, and nil stays nil: in arithmetic, comparison
// and functions a nil operand gives nil. and, or, not are three-valued as in
// SQL: nil and false is false, nil or true is true. Only == nil, != nil and ??
// look at it. Floats are IEEE 754: a comparison with NaN is false, but for !=.
// What has no answer is nil too: n % 0 of whole numbers, int("x"), a text
// longer than TextBytesMax.
//
// Whole numbers are 64 bits and wrap. With a number they become one, and /
// and ** always give a number; % also takes numbers.
//
// Nothing in an expression loops over more than a text, so that its time is
// bounded; functions that loop, read the clock or use memory freely are
// refused.
package expr

import (
	"encoding/binary"
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// The limits of an expression: its bytes, its parts, and the bytes of a text
// that it computes.
const (
	BytesMax     = 4096
	partsMax     = 10_000
	TextBytesMax = 256 << 10
)

// A Program is a compiled expression. It is for one goroutine.
type Program struct{ root node }

// Compile checks src against the columns in s. The error is an *Error.
func Compile(src string, s pipeline.Schema) (*Program, error) {
	parsed, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := compiler{source: parsed, schema: s}
	root := c.compile(parsed.tree)
	if c.err == nil && root.kind() == 0 {
		c.fail(parsed.tree, "this is always nil", "")
	}
	if c.err != nil {
		return nil, c.err
	}
	return &Program{root}, nil
}

// Kind returns the kind of the results.
func (p *Program) Kind() pipeline.Kind { return p.root.kind() }

// Eval computes the expression for every row of b, which has the columns of
// the schema it was compiled for, at whatever place. The column is only lent,
// until b changes or the next Eval, and has no name unless it is one of b's.
func (p *Program) Eval(b *pipeline.Batch) *pipeline.Column { return p.root.eval(b) }

// A Where is a stage that keeps the rows for which an expression is true; it
// drops those for which it is false or nil. It works in place.
type Where struct {
	program *Program
	rows    []int32
}

// NewWhere returns the stage for src. The error is an *Error.
func NewWhere(src string, s pipeline.Schema) (*Where, error) {
	p, err := Compile(src, s)
	if err != nil {
		return nil, err
	}
	if p.Kind() != pipeline.Bool {
		return nil, &Error{Msg: fmt.Sprintf("where wants true or false, and this is %s", kindName(p.Kind())), Hint: "compare it, such as with > 30"}
	}
	return &Where{program: p}, nil
}

// Process implements pipeline.Stage.
func (w *Where) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	if rows, isAll := w.keep(in); !isAll {
		in.Take(rows)
	}
	out.Main = in
	return nil
}

// keep returns the rows to keep, unless these are all.
func (w *Where) keep(b *pipeline.Batch) (rows []int32, isAll bool) {
	keep := w.program.Eval(b).Bools
	if all(keep, 1) {
		return nil, true
	}
	return w.choose(keep), false
}

// choose returns the rows to keep, eight at a time without a branch: what is
// kept is hard to foretell.
func (w *Where) choose(keep []byte) []int32 {
	w.rows = resize(w.rows, len(keep)+16)
	n, i := 0, 0
	for ; i+8 <= len(keep); i += 8 {
		eight := binary.LittleEndian.Uint64(keep[i:])
		if eight == 0 {
			continue
		}
		to, row := (*[16]int32)(w.rows[n:]), int32(i)
		counts := eight * eightTrue // byte k: how many of rows 0 to k are kept
		at := counts << 8           // its place, or that of the next that is kept
		to[at&15] = row
		to[at>>8&15] = row + 1
		to[at>>16&15] = row + 2
		to[at>>24&15] = row + 3
		to[at>>32&15] = row + 4
		to[at>>40&15] = row + 5
		to[at>>48&15] = row + 6
		to[at>>56&15] = row + 7
		n += int(counts >> 56)
	}
	for ; i < len(keep); i++ {
		w.rows[n] = int32(i)
		n += int(keep[i])
	}
	return w.rows[:n]
}
