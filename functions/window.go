package functions

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/pipeline"
)

// windowMemoryMax is the least that a window may have, unless its limits say
// otherwise: it holds a slot for every open pane.
const windowMemoryMax = 64 << 20

// An Aggregate is one result column of a window. Op is count, sum, mean, min,
// max, stddev, first, last, range, quantile, variance, rate, integral,
// time_mean, distinct, top or mode. Arg is the quantile, 0 to 1; of rate and
// integral the seconds of the unit of time; of top how many values, 1 to 10.
type Aggregate struct {
	Name, Op, Column string
	Arg              float64
}

// A WindowConfig says what a window does.
type WindowConfig struct {
	Stage      string // for dead letters and logs
	Window     pipeline.Window
	Aggregates []Aggregate
	Key        []string // columns that make up the key
	Carry      []string // columns whose value a result takes from the latest row
	Limits     Limits
}

// A Window is the stage that cuts rows into windows and aggregates them: the
// function window, with a slot for each pane.
type Window struct {
	Stage
	panes   *pipeline.Panes
	turn    pipeline.Turn
	info    []pane // by pane ID, which is the slot's number
	carry   []input
	answers []answer
	touched []int32
	pieces  []int32
	scratch []int32 // slots in which panes are merged
	asked   []asked
	result  *pipeline.Batch
	text    []byte
}

// A pane is what the host keeps for a pane beside its slot.
type pane struct {
	isOpen bool
	failed error // why it has no slot
	hop    uint8
	last   int32 // its latest row in this batch; -1: none
	carry  []carried
}

// A carried value is that of a column in the pane's last row.
type carried struct {
	has   bool
	value []byte // or eight bytes of a number, or one of a bool
}

// An answer is where a result column comes from: outputs of the guest.
type answer struct {
	op        string
	first, to int
	of        pipeline.Kind // what items are of
}

// The numbers of the aggregates: docs/functions.md, The window function.
func windowOps() []string {
	return []string{
		"count", "sum", "mean", "min", "max", "stddev", "first", "last", "range", "quantile",
		"variance", "rate", "integral", "time_mean", "distinct", "top",
	}
}

const (
	opMode = "mode" // the first of top
	topMax = 10
)

// NewWindow makes a window over batches with the schema in and the dictionary keys.
func (r *Runtime) NewWindow(ctx context.Context, c WindowConfig, in pipeline.Schema, keys *pipeline.Keys) (*Window, error) {
	w, err := r.newWindow(ctx, c, in, keys)
	if err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	return w, nil
}

func (r *Runtime) newWindow(ctx context.Context, c WindowConfig, in pipeline.Schema, keys *pipeline.Keys) (*Window, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	wasm, ok := builtin.Lookup("window")
	if !ok {
		return nil, errors.New("the function is not there")
	}
	m, err := r.Load(ctx, "window", wasm)
	if err != nil {
		return nil, err
	}
	w := &Window{panes: pipeline.NewPanes(c.Window)}
	limits := r.limits(c.Limits)
	if c.Limits.Memory == 0 {
		limits.Memory = max(limits.Memory, windowMemoryMax)
	}
	limits.Steps = max(limits.Steps, startStepsMax) // it ends, however few steps users' functions may make
	w.Stage = Stage{name: c.Stage, module: m, ctx: ctx, limits: limits, keys: keys, parts: c.Key, ours: true}
	if err := w.layOut(c, in); err != nil {
		return nil, err
	}
	if err := w.start(); err != nil {
		return nil, err
	}
	w.rows.into = newResults(nil) // rows get no answer
	w.tick.starts = []int64{}
	w.result = pipeline.NewBatch(w.schema, keys)
	return w, w.reserve()
}

// check says what is wrong with a window.
func (c *WindowConfig) check() error {
	w := &c.Window
	overlaps := w.Kind == pipeline.Hopping || w.Kind == pipeline.Counted
	switch {
	case w.Size <= 0 || w.PanesMax <= 0 || len(c.Aggregates) == 0:
		return errors.New("wants a size and panes above 0, and an aggregate")
	case w.Every < 0 || w.Every > w.Size || w.Every > 0 && !overlaps || w.Every == 0 && w.Kind == pipeline.Hopping:
		return fmt.Errorf("every %d: want more than 0 and at most the size, %d, of a window that overlaps others", w.Every, w.Size)
	case overlaps && w.Panes() > int64(w.PanesMax):
		return fmt.Errorf("is made of %d panes of a key, the most is %d", w.Panes(), w.PanesMax)
	case w.Early < 0 || w.Early > 0 && (w.Kind == pipeline.Sliding || w.Kind == pipeline.Counted):
		return errors.New("sliding and counted windows do not speak early")
	case w.Correct < 0 || w.Correct > 0 && w.Kind != pipeline.Tumbling && w.Kind != pipeline.Hopping:
		return errors.New("only tumbling and hopping windows are corrected")
	}
	return nil
}

// layOut finds columns and parameters, and makes the schema of the results.
func (w *Window) layOut(c WindowConfig, in pipeline.Schema) error {
	for _, name := range c.Key {
		w.schema = append(w.schema, pipeline.Field{Name: name, Kind: pipeline.Text})
	}
	var columns []string
	for _, f := range in {
		columns = append(columns, f.Name)
	}
	for _, name := range c.Carry {
		at := in.Index(name)
		if at < 0 {
			return fmt.Errorf("there is no column %q to carry%s", name, hintFor(name, "columns", columns))
		}
		w.carry = append(w.carry, input{name: name, kind: in[at].Kind, at: at})
		w.schema = append(w.schema, in[at])
	}
	w.schema = append(w.schema, pipeline.Field{Name: "window_start", Kind: pipeline.Int}, pipeline.Field{Name: "window_end", Kind: pipeline.Int})
	if c.Window.Early > 0 {
		w.schema = append(w.schema, pipeline.Field{Name: "early", Kind: pipeline.Bool})
	}
	if c.Window.Correct > 0 {
		w.schema = append(w.schema, pipeline.Field{Name: "revision", Kind: pipeline.Int})
	}
	w.spec.params = []float64{float64(len(c.Aggregates))}
	for _, a := range c.Aggregates {
		if err := w.aggregate(a, in, columns); err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	for i, f := range w.schema {
		if w.schema.Index(f.Name) != i {
			return fmt.Errorf("two result columns are called %s\n\thint: give the aggregate another name", f.Name)
		}
	}
	return nil
}

// aggregate adds an aggregate to parameters, outputs and schema.
func (w *Window) aggregate(a Aggregate, in pipeline.Schema, columns []string) error {
	name, outs := a.Op, 1
	if a.Op == opMode {
		name, a.Arg = "top", 1
	}
	op := slices.Index(windowOps(), name)
	if op < 0 {
		return fmt.Errorf("unknown aggregate %q%s", a.Op, hintFor(a.Op, "aggregates", windowOps()))
	}
	as, kind := formPlain, pipeline.Float
	switch name {
	case "distinct":
		as = formHash
	case "top":
		if a.Arg != math.Trunc(a.Arg) || a.Arg < 1 || a.Arg > topMax {
			return fmt.Errorf("top of %v values: want 1 to %d", a.Arg, topMax)
		}
		as, kind, outs = formItem, pipeline.Int, itemWords*int(a.Arg)
	}
	at := 0
	if a.Op != "count" {
		var err error
		if at, err = w.aggregated(a.Column, as, in, columns); err != nil {
			return err
		}
	}
	w.spec.params = append(w.spec.params, float64(op), float64(at), a.Arg)
	result := answer{op: a.Op, first: len(w.outs), to: len(w.outs) + outs}
	for range outs {
		w.outs = append(w.outs, pipeline.Field{Name: a.Name, Kind: kind})
	}
	switch a.Op {
	case opMode:
		result.of = in[in.Index(a.Column)].Kind
		kind = result.of
	case "top":
		result.of = in[in.Index(a.Column)].Kind
		kind = pipeline.Text
	}
	w.answers = append(w.answers, result)
	w.schema = append(w.schema, pipeline.Field{Name: a.Name, Kind: kind})
	return nil
}

// aggregated returns the place of a column among the inputs.
func (w *Window) aggregated(name string, as form, in pipeline.Schema, columns []string) (int, error) {
	if at := slices.IndexFunc(w.inputs, func(i input) bool { return i.name == name && i.form == as }); at >= 0 {
		return at, nil
	}
	read := input{name: name, kind: pipeline.Float, form: as}
	if as != formPlain {
		read.kind = pipeline.Int
	}
	read.at = slices.IndexFunc(in, func(f pipeline.Field) bool { return f.Name == name && read.takes(f.Kind) })
	if read.at < 0 && in.Index(name) >= 0 {
		return 0, fmt.Errorf("column %s is %s, and this aggregate takes numbers\n\thint: count, distinct, mode and top take any kind", name, in[in.Index(name)].Kind)
	}
	if read.at < 0 {
		return 0, fmt.Errorf("there is no column %q%s", name, hintFor(name, "columns", columns))
	}
	at := len(w.inputs)
	w.inputs = append(w.inputs, read)
	if as == formItem {
		for read.word = 1; read.word < itemWords; read.word++ {
			w.inputs = append(w.inputs, read)
		}
	}
	return at, nil
}
