package expr

import "millrace.dev/millrace/pipeline"

// A Set is a stage that computes a column and gives it a name, in the place
// of what was called so before, or behind all.
type Set struct {
	name    string
	program *Program
	schema  pipeline.Schema
	own     pipeline.Column
	out     pipeline.Batch
}

// NewSet returns the stage that calls name what src computes. The error is an
// *Error.
func NewSet(name, src string, s pipeline.Schema) (*Set, error) {
	p, err := Compile(src, s)
	if err != nil {
		return nil, err
	}
	return &Set{name: name, program: p, schema: s.With(pipeline.Field{Name: name, Kind: p.Kind()})}, nil
}

// Schema returns the columns of the rows that come out.
func (s *Set) Schema() pipeline.Schema { return s.schema }

// Process implements pipeline.Stage.
func (s *Set) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	c := *s.program.Eval(in)
	if !s.program.computes() { // two columns must not share memory
		s.own.CopyFrom(&c)
		c = s.own
	}
	c.Name = s.name
	s.out.Borrow(in)
	s.out.Put(c)
	out.Main = &s.out
	return nil
}

// computes reports whether the results are in memory of the program's own
// that it fills anew each time.
func (p *Program) computes() bool {
	switch p.root.(type) {
	case *column, *constant, *reference, *let:
		return false
	}
	return true
}
