package functions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"millrace.dev/millrace/pipeline"
)

// A Binding says where a function stands in a pipeline.
type Binding struct {
	Stage  string             // for dead letters and logs, such as steps[1] function zscore
	Input  map[string]string  // input → column, where their names differ
	With   map[string]float64 // parameters that are not at their default
	Key    []string           // the columns that make up the key, for rows that a timer makes
	Limits Limits
}

// Stats are the counters of a stage.
type Stats struct {
	Calls       int64 // of the guest
	Rows        int64 // that were handed to it, ticks included
	Traps       int64 // calls that failed
	Steps       int64 // loop rounds and calls
	MemoryBytes int64 // of the instance, now
}

type counters struct{ calls, rows, traps, steps, memory atomic.Int64 }

// A Stage is an instance of a function in a pipeline. It is for one
// goroutine, but for Stats.
type Stage struct {
	name   string
	module *Module
	ctx    context.Context
	limits Limits
	spec   frameSpec
	inputs []input
	raw    [2]input // topic and payload, if the module wants them
	outs   []pipeline.Field
	schema pipeline.Schema
	keys   *pipeline.Keys
	parts  []string // names of the columns that make up the key
	timers bool

	log     *guestLog
	inst    *instance
	frame   *frame
	text    text
	slots   slots
	image   *image // before the frame, when all of memory is state
	globals []uint64
	broken  error // the stage can go on no more

	bad         int // consecutive bad rows, those out of steps counting more
	skipped     int // rows since the last probe, in quarantine
	quarantined bool

	// The function is one of ours that takes every row and ends. Should it fail
	// all the same, so does the pipeline: nothing is kept to go back to.
	ours bool

	byKey   []int32  // slot by key code; -1: none
	codes   []uint32 // key code by slot
	hops    []uint8  // of the slot's latest row
	number  numbering
	rows    job
	tick    job
	due     []due
	made    []made // rows made by ticks
	out     pipeline.Batch
	mixed   *pipeline.Batch
	take    []int32
	counter counters
}

// An input is a column that the guest reads.
type input struct {
	name string
	kind pipeline.Kind // in the guest
	at   int           // its place in the schema, tried first
	form form          // how a value becomes one of that kind
	word int           // formItem: which eight bytes of it
}

// A job is rows or ticks for the guest. Numbers are slots; -1 means that
// there is no memory for one.
type job struct {
	kind    int
	batch   *pipeline.Batch // nil for ticks
	time    []int64
	mark    []int64
	numbers []int32
	starts  []int64 // of windows that speak: what their slots' timers hold
	into    *results
	out     *pipeline.Outputs
}

// Bind makes a stage. Inputs are bound to columns of the schema in, and
// parameters checked; keys is the dictionary of the batches to come. An error
// is complete but for the place in the configuration.
func (m *Module) Bind(ctx context.Context, b Binding, in pipeline.Schema, keys *pipeline.Keys) (*Stage, error) {
	s, err := m.bind(ctx, b, in, keys)
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", m.name, err)
	}
	return s, nil
}

func (m *Module) bind(ctx context.Context, b Binding, in pipeline.Schema, keys *pipeline.Keys) (*Stage, error) {
	f := &m.manifest
	if f.Variadic {
		return nil, errors.New("is variadic\n\thint: only the step window: runs such a function")
	}
	s := &Stage{name: b.Stage, module: m, ctx: ctx, limits: m.runtime.limits(b.Limits), keys: keys, parts: b.Key, timers: f.Timers}
	s.number.base = timerBase(b.Stage)
	if err := s.bindInputs(f, b.Input, in); err != nil {
		return nil, err
	}
	params, err := f.values(b.With)
	if err != nil {
		return nil, err
	}
	s.spec = frameSpec{params: params, raw: f.Raw}
	s.schema = slices.Clone(in)
	for _, o := range f.Out {
		field := pipeline.Field{Name: o.Name, Kind: o.Kind}
		s.outs = append(s.outs, field)
		if at := s.schema.Index(o.Name); at >= 0 {
			s.schema[at] = field
		} else {
			s.schema = append(s.schema, field)
		}
	}
	return s, s.start()
}

// start makes the instance; what the stage is must have been set.
func (s *Stage) start() error {
	for _, i := range s.inputs {
		s.spec.in = append(s.spec.in, i.kind)
	}
	for _, o := range s.outs {
		s.spec.out = append(s.spec.out, o.Kind)
	}
	s.rows = job{kind: kindRows, into: newResults(s.outs)}
	s.tick = job{kind: kindTick, into: newResults(s.outs)}
	s.log = &guestLog{to: s.module.runtime.log.With("stage", s.name)}
	if err := s.open(); err != nil {
		return err
	}
	if s.module.manifest.State == stateMemory {
		s.image = &image{}
	}
	return nil
}

// open makes an instance with a frame and no slots.
func (s *Stage) open() error {
	i, err := s.module.newInstance(s.ctx, s.limits, s.log)
	if err != nil {
		return err
	}
	s.inst, s.text, s.slots.addr, s.slots.spares, s.slots.full = i, text{}, nil, 0, nil
	s.slots.stamps = s.slots.stamps[:0]
	if err = s.configure(); err != nil {
		i.close(s.ctx)
		s.inst = nil
	}
	return err
}

func (s *Stage) configure() error {
	i := s.inst
	var err error
	if s.frame, err = newFrame(i, s.spec); err != nil {
		return fmt.Errorf("a frame: %w", err)
	}
	if s.module.tables[exportInit] {
		s.frame.begin(kindRows, 0, 0)
		s.frame.seal()
		i.log.tail() // what was said before is not the reason
		got, err := i.call(i.m.ExportedFunction(exportInit), uint64(s.frame.addr), startStepsMax)
		if err != nil {
			return fmt.Errorf("%s: %w", exportInit, err)
		}
		if code := int32(got); code < 0 {
			if why := i.log.tail(); why != "" {
				return fmt.Errorf("refuses its parameters%s", why)
			}
			return fmt.Errorf("refuses its parameters: %s answered %d", exportInit, code)
		}
	}
	got, err := i.call(i.m.ExportedFunction(exportState), 0, startStepsMax)
	if err != nil {
		return fmt.Errorf("%s: %w", exportState, err)
	}
	if size := uint32(got); size < 8 || size > slotBytesMax {
		return fmt.Errorf("%s: a slot of %d bytes; want 8, for the timer, to %d", exportState, size, slotBytesMax)
	}
	s.slots.size = (uint32(got) + 7) &^ 7
	return nil
}

// bindInputs finds the column of each input.
func (s *Stage) bindInputs(f *Manifest, bound map[string]string, in pipeline.Schema) error {
	var inputs, columns []string
	for _, i := range f.In {
		inputs = append(inputs, i.Name)
	}
	for _, c := range in {
		columns = append(columns, c.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(bound)) {
		if !slices.Contains(inputs, name) {
			return fmt.Errorf("has no input %q%s", name, hintFor(name, "inputs", inputs))
		}
	}
	for _, i := range f.In {
		column, ok := bound[i.Name]
		if !ok {
			column = i.Name
		}
		at := slices.IndexFunc(in, func(c pipeline.Field) bool { return c.Name == column && readable(c.Kind, i.Kind) })
		if at >= 0 {
			s.inputs = append(s.inputs, input{name: column, kind: i.Kind, at: at})
			continue
		}
		if at = in.Index(column); at >= 0 {
			return fmt.Errorf("input %s wants %s, and column %s is %s", i.Name, i.Kind, column, in[at].Kind)
		}
		hint := hintFor(column, "columns", columns)
		if !ok {
			hint = fmt.Sprintf("\n\thint: bind it, such as input: {%s: temp}; columns here: %s", i.Name, strings.Join(columns, ", "))
		}
		return fmt.Errorf("input %s: there is no column %q%s", i.Name, column, hint)
	}
	if !f.Raw {
		return nil
	}
	for k, want := range []input{{name: "topic", kind: pipeline.Text}, {name: "payload", kind: pipeline.Bytes}} {
		if want.at = in.Index(want.name); want.at < 0 || !readable(in[want.at].Kind, want.kind) {
			return fmt.Errorf("wants raw messages, and there is no column %s here\n\thint: put it before the first window", want.name)
		}
		s.raw[k] = want
	}
	return nil
}

// readable tells whether a column can be handed to an input: of the same
// kind, an int as a number, text as bytes.
func readable(column, input pipeline.Kind) bool {
	return column == input || column == pipeline.Int && input == pipeline.Float || column == pipeline.Text && input == pipeline.Bytes
}

// values are the parameters in order, defaults filled in.
func (m *Manifest) values(with map[string]float64) ([]float64, error) {
	var names []string
	for _, p := range m.Params {
		names = append(names, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(with)) {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("has no parameter %q%s", name, hintFor(name, "parameters", names))
		}
	}
	var values []float64
	for _, p := range m.Params {
		v, ok := with[p.Name]
		if !ok {
			v = p.Default
		}
		if why := p.refuses(v); why != "" {
			return nil, fmt.Errorf("parameter %s: %s", p.Name, why)
		}
		values = append(values, v)
	}
	return values, nil
}

// Schema returns the columns of the rows that come out.
func (s *Stage) Schema() pipeline.Schema { return slices.Clone(s.schema) }

// Stats returns the counters; any goroutine may ask.
func (s *Stage) Stats() Stats {
	c := &s.counter
	return Stats{c.calls.Load(), c.rows.Load(), c.traps.Load(), c.steps.Load(), c.memory.Load()}
}

// Close frees the instance. Nothing may be called after it but Stats.
func (s *Stage) Close(ctx context.Context) error {
	if s.inst == nil {
		return nil
	}
	i := s.inst
	s.inst, s.frame, s.broken = nil, nil, errors.New("the stage is closed")
	return i.close(ctx)
}
