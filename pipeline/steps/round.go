package steps

import (
	"math"

	"millrace.dev/millrace/pipeline"
)

// DecimalsMax is the most decimals that Round leaves; a float has no more.
const DecimalsMax = 15

// A Rounding says how many decimals a column keeps.
type Rounding struct {
	Column   string
	Decimals int // 0 to DecimalsMax
}

// A Round is a stage that rounds numbers, halves away from zero. Whole
// numbers, infinities and NaN stay as they are. It works in place.
type Round struct {
	columns []column
	scale   []float64
	schema  pipeline.Schema
}

// NewRound returns the stage.
func NewRound(to []Rounding, s pipeline.Schema) (*Round, error) {
	r := &Round{schema: s}
	for _, x := range to {
		c, err := find(s, x.Column, x.Column, pipeline.Float, pipeline.Int)
		if err != nil {
			return nil, err
		}
		if x.Decimals < 0 || x.Decimals > DecimalsMax {
			return nil, fail(x.Column, "", "%d decimals; there can be 0 to %d", x.Decimals, DecimalsMax)
		}
		r.columns, r.scale = append(r.columns, c), append(r.scale, math.Pow10(x.Decimals))
	}
	return r, nil
}

// Schema implements Step.
func (r *Round) Schema() pipeline.Schema { return r.schema }

// Process implements pipeline.Stage.
func (r *Round) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	for k, c := range r.columns {
		if c.Kind == pipeline.Float {
			round(c.of(in).Floats, r.scale[k])
		}
	}
	out.Main = in
	return nil
}

// A float from wholeFrom on has no decimals.
const wholeFrom = 1 << 52

func round(values []float64, scale float64) {
	for i, v := range values {
		if x := v * scale; x < wholeFrom && x > -wholeFrom {
			values[i] = math.Round(x)/scale + 0 // not -0
		}
	}
}
