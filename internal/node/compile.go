package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/expr"
	"millrace.dev/millrace/pipeline/topics"
)

// FutureMax is how far ahead of its arrival an event time may be before the
// message is set aside as not to be believed.
const FutureMax = int64(3600e6) // µs

// A Pipeline is one pipeline of a file, checked and built: give it messages
// and time. It opens no port and no sink. It is for one goroutine.
type Pipeline struct {
	Config  *config.Pipeline
	Filters []*topics.Filter
	Schema  pipeline.Schema // of the results; batches may have more columns when Open
	Open    bool            // every field of the payload goes through

	keys    *pipeline.Keys
	marks   pipeline.Marks
	decoder *decode.Decoder
	batch   *pipeline.Batch
	dead    []pipeline.DeadLetter
	chain   pipeline.Chain
	fields  pipeline.Schema // what is decoded from payloads, beside what Open adds
	windows []*meter        // one behind each window

	measured []measured
	closers  []interface{ Close(context.Context) error }
}

// Compile checks and builds every pipeline of f. The error is a
// config.Problems with all that is wrong, each with its place.
func Compile(ctx context.Context, f *config.File, rt *functions.Runtime) ([]*Pipeline, error) {
	c := compiler{ctx: ctx, file: f, rt: rt, modules: map[string]*functions.Module{}}
	var all []*Pipeline
	for i := range f.Pipelines {
		all = append(all, c.pipeline(&f.Pipelines[i]))
	}
	for i := range f.Unsound {
		c.functions(&f.Unsound[i])
		c.expressions(f.Unsound[i].Steps)
	}
	if len(c.problems) > 0 {
		for _, p := range all {
			p.Close(ctx)
		}
		c.problems.Sort()
		return nil, c.problems
	}
	return all, nil
}

type compiler struct {
	ctx      context.Context
	file     *config.File
	rt       *functions.Runtime
	modules  map[string]*functions.Module // by name as written
	problems config.Problems
}

func (c *compiler) problem(path, hint, format string, args ...any) {
	c.problems = append(c.problems, c.file.Problem(path, fmt.Sprintf(format, args...), hint))
}

func (c *compiler) pipeline(cfg *config.Pipeline) *Pipeline {
	p := &Pipeline{Config: cfg, keys: pipeline.NewKeys(cfg.KeysMax + 1)}
	p.marks = pipeline.Marks{Lateness: cfg.Lateness.Microseconds(), Idle: cfg.Idle.After.Microseconds()}
	if cfg.Idle.Never {
		p.marks.Idle = -1
	}
	if cfg.Time.Field == "" {
		p.marks.Idle = 0 // event time is the clock
	}
	p.Filters = c.filters(cfg)
	plan := newPlan(c.file, cfg, p.Filters, c.functions(cfg))
	p.Open, p.fields = plan.open, plan.fields
	if !c.decoder(p, plan) {
		return p
	}
	p.Schema = p.decoder.Schema()
	for i := range cfg.Steps {
		if !stepOf(cfg.Steps[i].Kind).build(c, p, plan, i) {
			c.expressions(cfg.Steps[i+1:]) // which columns there are from here on is not known
			return p
		}
	}
	c.targets(p, cfg)
	return p
}

// functions returns the module of each step that is a function, by its path.
func (c *compiler) functions(cfg *config.Pipeline) map[string]*functions.Module {
	modules := map[string]*functions.Module{}
	for i := range cfg.Steps {
		if s := &cfg.Steps[i]; s.Function != "" {
			modules[s.Path] = c.module(s)
		}
	}
	return modules
}

// expressions checks what can be known of expressions without their columns.
func (c *compiler) expressions(steps []config.Step) {
	for i := range steps {
		if steps[i].Where != "" {
			_, err := expr.Infer(steps[i].Where)
			c.where(&steps[i], err)
		}
	}
}

func (c *compiler) filters(cfg *config.Pipeline) []*topics.Filter {
	var all []*topics.Filter
	for i, s := range cfg.From {
		f, err := topics.ParseFilter(s)
		if err != nil {
			continue // told when the file was read
		}
		all = append(all, f)
		if !slices.Equal(f.Levels(), all[0].Levels()) {
			c.problem(fmt.Sprintf("%s.from[%d]", cfg.Path, i), "name the same levels at the same places, or make two pipelines", "filter %s names other levels than %s", s, cfg.From[0])
		}
	}
	return all
}

func (c *compiler) module(s *config.Step) *functions.Module {
	if m, ok := c.modules[s.Function]; ok {
		return m
	}
	path := s.Path + ".function"
	wasm, ok := builtin.Lookup(s.Function)
	if !ok {
		if !strings.HasSuffix(s.Function, ".wasm") {
			hint := "shipped functions: " + strings.Join(builtin.Names(), ", ") + "; a file of your own is written ./my.wasm"
			if near := config.Closest(s.Function, builtin.Names()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			c.problem(path, hint, "unknown function %q", s.Function)
			return nil
		}
		var err error
		if wasm, err = os.ReadFile(c.file.Join(s.Function)); err != nil {
			c.problem(path, "the path is relative to "+filepath.Clean(c.file.Dir), "%v", err)
			return nil
		}
	}
	m, err := c.rt.Load(c.ctx, s.Function, wasm)
	if err != nil {
		c.problem(path, "", "%v", err)
	}
	c.modules[s.Function] = m
	return m
}

func (c *compiler) decoder(p *Pipeline, plan *plan) bool {
	cfg := p.Config
	d, err := decode.New(decode.Config{
		Format: cfg.Decode, Levels: plan.levels(), Fields: plan.fields, Open: plan.open,
		Topic: plan.topic || plan.open, Payload: plan.payload,
		Time: decode.TimeField{Name: cfg.Time.Field, Unit: cfg.Time.Unit}, Key: cfg.Key, FutureMax: FutureMax,
	}, p.keys)
	if err != nil {
		c.problem(cfg.Path, "", "%v", err)
		return false
	}
	p.decoder, p.batch = d, d.NewBatch()
	return true
}

// targets checks that the results have the columns that the sinks name.
func (c *compiler) targets(p *Pipeline, cfg *config.Pipeline) {
	for i := range cfg.To {
		t := &cfg.To[i]
		if t.Ref != "" {
			t = c.file.Sink(t.Ref)
		}
		for _, name := range t.Names() {
			if name != "time" && p.Schema.Index(name) < 0 && !p.Open {
				c.problem(cfg.To[i].Path, columnHint(name, p.Schema), "unknown column %q", name)
			}
		}
	}
}

func columnHint(name string, s pipeline.Schema) string {
	var names []string
	for _, f := range s {
		names = append(names, f.Name)
	}
	if near := config.Closest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "columns here: " + strings.Join(names, ", ")
}

// Process sends messages through the pipeline; r gets what comes out.
func (p *Pipeline) Process(recs []journal.Record, r pipeline.Results) error {
	for len(recs) > 0 {
		n := min(len(recs), pipeline.RowsMax)
		p.batch.Reset()
		p.dead = p.dead[:0]
		p.decoder.Decode(recs[:n], p.batch, &p.dead)
		if len(p.dead) > 0 {
			r.Dead(p.dead)
		}
		p.marks.Observe(p.batch)
		if err := p.chain.Process(p.batch, r); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// Advance tells the pipeline that it is now, in µs since 1970, and that all
// messages that arrived before have been processed.
func (p *Pipeline) Advance(now int64, r pipeline.Results) error {
	p.marks.Advance(now)
	return p.chain.Advance(&p.marks, r)
}

// Waits reports whether a stage waits for time to pass.
func (p *Pipeline) Waits() bool {
	return slices.ContainsFunc(p.chain.Stages, func(s pipeline.Stage) bool {
		_, ok := s.(pipeline.Advancer)
		return ok
	})
}

// Close frees what the stages hold.
func (p *Pipeline) Close(ctx context.Context) error {
	var errs []error
	for _, c := range p.closers {
		errs = append(errs, c.Close(ctx))
	}
	p.closers = nil
	return errors.Join(errs...)
}
