package steps

import (
	"strings"

	"millrace.dev/millrace/pipeline"
)

// A Conversion says from which unit to which a column goes, such as F to C.
type Conversion struct{ Column, Units string }

// A Convert is a stage that turns numbers into another unit. What comes out
// are floats; null stays null.
type Convert struct {
	columns []column
	lines   []line
	own     []pipeline.Column
	schema  pipeline.Schema
	out     pipeline.Batch
}

// NewConvert returns the stage.
func NewConvert(all []Conversion, s pipeline.Schema) (*Convert, error) {
	v := &Convert{schema: s}
	for _, x := range all {
		c, err := find(s, x.Column, x.Column, pipeline.Float, pipeline.Int)
		if err != nil {
			return nil, err
		}
		l, err := x.line()
		if err != nil {
			return nil, err
		}
		f := pipeline.Field{Name: x.Column, Kind: pipeline.Float}
		v.columns, v.lines, v.own, v.schema = append(v.columns, c), append(v.lines, l), append(v.own, pipeline.NewColumn(f)), v.schema.With(f)
	}
	return v, nil
}

// line reads the units.
func (x *Conversion) line() (line, error) {
	from, to, ok := strings.Cut(x.Units, " to ")
	if !ok {
		return line{}, fail(x.Column, "such as F to C, W to kW or psi to bar", "%q does not say from what to what", x.Units)
	}
	var sides [2]unit
	for i, name := range []string{strings.TrimSpace(from), strings.TrimSpace(to)} {
		u, hint := unitOf(name)
		if hint != "" {
			return line{}, fail(x.Column, hint, "unknown unit %q", name)
		}
		sides[i] = u
	}
	if a, b := sides[0], sides[1]; a.quantity != b.quantity {
		return line{}, fail(x.Column, a.quantity+" is in "+unitsFor(a.quantity), "%s is no %s", strings.TrimSpace(to), a.quantity)
	}
	return sides[0].lineTo(sides[1]), nil
}

// Schema implements Step.
func (v *Convert) Schema() pipeline.Schema { return v.schema }

// Process implements pipeline.Stage.
func (v *Convert) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	v.out.Borrow(in)
	for k, c := range v.columns {
		x, own, l := c.of(in), &v.own[k], v.lines[k]
		own.Valid = append(own.Valid[:0], x.Valid...)
		own.Floats = own.Floats[:0]
		if x.Kind == pipeline.Int {
			for _, i := range x.Ints {
				own.Floats = append(own.Floats, float64(i))
			}
		} else {
			own.Floats = append(own.Floats, x.Floats...)
		}
		l.apply(own.Floats)
		for i := range own.Floats {
			if !own.Has(i) {
				own.Floats[i] = 0
			}
		}
		v.out.Put(*own)
	}
	out.Main = &v.out
	return nil
}

func (l line) apply(values []float64) {
	for i, x := range values {
		values[i] = (x*l.mul + l.add) / l.div
	}
}
