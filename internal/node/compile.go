package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"millrace.dev/millrace/pipeline/steps"
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
	decoder *decode.Decoder // nil: rows come from another pipeline
	batch   *pipeline.Batch
	dead    []pipeline.DeadLetter
	chain   pipeline.Chain
	streams *streams       // nil: the pipeline has no streams
	reads   *reading       // nil: rows come from messages
	named   []topics.Level // of the topics that rows come from
	pivot   *topics.Level  // the level that is the name of a column; nil: none
	rebirth func(group, node string)
	fields  pipeline.Schema // what is decoded from payloads, beside what Open adds
	windows []*meter        // one behind each window
	savings []saving
	sources int                // the filters whose messages become rows; the others are of tables
	tables  []*liveTable       // that messages change
	whole   bool               // all of it could be built
	keep    journal.Durability // the strongest that it or one that reads its results asks for

	memories []memory // the stages that remember, those of branches too
	branches map[*pipeline.Branch]*config.Branch
	measured []measured
	closers  []interface{ Close(context.Context) error }
}

// Compile checks and builds every pipeline of f. The error is a
// config.Problems with all that is wrong, each with its place.
func Compile(ctx context.Context, f *config.File, rt *functions.Runtime) ([]*Pipeline, error) {
	c := compiler{ctx: ctx, file: f, rt: rt, modules: map[string]*functions.Module{}, built: map[string]*Pipeline{}, tables: map[string]*steps.Table{}}
	var all []*Pipeline
	for i := range f.Pipelines {
		all = append(all, c.pipeline(&f.Pipelines[i]))
	}
	for i := range f.Unsound {
		c.unsound(&f.Unsound[i])
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
	built    map[string]*Pipeline         // by name
	tables   map[string]*steps.Table      // of files, by step path
	problems config.Problems
}

func (c *compiler) problem(path, hint, format string, args ...any) {
	c.problems = append(c.problems, c.file.Problem(path, fmt.Sprintf(format, args...), hint))
}

// pipeline builds a pipeline, and before it the one that it reads.
func (c *compiler) pipeline(cfg *config.Pipeline) *Pipeline {
	if p := c.built[cfg.Name]; p != nil {
		return p
	}
	p := &Pipeline{Config: cfg, keys: pipeline.NewKeys(cfg.KeysMax + 1), branches: map[*pipeline.Branch]*config.Branch{}}
	c.built[cfg.Name] = p
	p.marks = pipeline.Marks{Lateness: cfg.Lateness.Microseconds(), Idle: cfg.Idle.After.Microseconds(), Streams: len(cfg.From.Streams)}
	if cfg.Idle.Never {
		p.marks.Idle = -1
	}
	plan := c.source(p)
	if plan == nil {
		c.unsound(cfg)
		return p
	}
	p.sources = len(p.Filters)
	if p.whole = c.steps(p, plan); p.whole {
		c.targets(p, cfg)
	}
	for _, t := range p.tables {
		p.Filters = append(p.Filters, t.filter)
	}
	return p
}

// source builds where rows come from; nil if that cannot be known.
func (c *compiler) source(p *Pipeline) *plan {
	cfg := p.Config
	if cfg.From.Pipeline != "" {
		return c.follow(p)
	}
	if clocked(cfg) {
		p.marks.Idle = 0 // event time is the clock
	}
	p.Filters = c.filters(cfg)
	if len(p.Filters) > 0 {
		p.named, p.pivot = topicColumns(cfg, p.Filters[0].Levels())
	}
	plan := newPlan(c.file, cfg, p.named, c.functions(cfg), c.lookups(map[string][]string{}, cfg))
	p.Open, p.fields = plan.open, plan.fields
	if !c.decoder(p, plan) {
		return nil
	}
	p.Schema = p.decoder.Schema()
	if cfg.From.Streams != nil {
		p.streams = newStreams(cfg.From.Streams, p.Filters, len(p.Schema))
		p.Schema = append(p.Schema, streamField)
	}
	return plan
}

// steps builds the steps of a pipeline; false: not all of them.
func (c *compiler) steps(p *Pipeline, plan *plan) bool {
	steps := p.Config.Steps
	for i := range steps {
		n := len(p.chain.Stages)
		if !stepOf(steps[i].Kind).build(c, p, plan, i) {
			c.expressions(steps[i+1:]) // which columns there are from here on is not known
			return false
		}
		for _, s := range p.chain.Stages[n:] {
			if m, ok := s.(pipeline.Snapshotter); ok {
				p.memories = append(p.memories, memory{m, &steps[i]})
			}
		}
	}
	return true
}

// functions returns the module of each step that is a function, by its path,
// those of branches and of the pipelines that read the results too.
func (c *compiler) functions(cfg *config.Pipeline) map[string]*functions.Module {
	modules := map[string]*functions.Module{}
	c.addFunctions(modules, cfg.Steps)
	for _, b := range cfg.Branches() {
		c.addFunctions(modules, b.Steps)
	}
	for _, reader := range c.file.Followers(cfg.Name) {
		maps.Copy(modules, c.functions(reader))
	}
	return modules
}

func (c *compiler) addFunctions(modules map[string]*functions.Module, steps []config.Step) {
	for i := range steps {
		if s := &steps[i]; s.Function != "" {
			modules[s.Path] = c.module(s)
		}
	}
}

// unsound checks what can be known of a pipeline that cannot be built.
func (c *compiler) unsound(cfg *config.Pipeline) {
	c.functions(cfg)
	c.expressions(cfg.Steps)
}

// expressions checks what can be known of expressions without their columns.
func (c *compiler) expressions(steps []config.Step) {
	for i := range steps {
		s := &steps[i]
		if s.Where != "" {
			_, err := expr.Infer(s.Where)
			c.where(s.Path, err)
		}
		for _, x := range s.Set {
			_, err := expr.Infer(x.Value)
			c.expression(s.Path+".set."+x.Name, err)
		}
		for k := range s.Switch {
			if b := &s.Switch[k]; b.Where != "" {
				_, err := expr.Infer(b.Where)
				c.where(b.Path, err)
			}
			c.expressions(s.Switch[k].Steps)
		}
	}
}

func (c *compiler) filters(cfg *config.Pipeline) []*topics.Filter {
	var all []*topics.Filter
	for i, s := range cfg.From.Filters {
		f, err := topics.ParseFilter(s)
		if err != nil {
			continue // told when the file was read
		}
		all = append(all, f)
		if !slices.Equal(f.Levels(), all[0].Levels()) {
			c.problem(cfg.From.Place(cfg.Path, i), "name the same levels at the same places, or make two pipelines", "filter %s names other levels than %s", s, cfg.From.Filters[0])
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
	if len(p.tables) > 0 {
		return p.processTables(recs, r)
	}
	return p.process(recs, r)
}

func (p *Pipeline) process(recs []journal.Record, r pipeline.Results) error {
	for len(recs) > 0 {
		p.batch.Reset()
		p.dead = p.dead[:0]
		n := p.decoder.Decode(recs[:min(len(recs), pipeline.RowsMax)], p.batch, &p.dead)
		if len(p.dead) > 0 {
			r.Dead(p.dead)
		}
		p.observe(recs[:n])
		err := p.chain.Process(p.batch, r)
		if p.streams != nil {
			p.streams.take(p.batch)
		}
		if err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

// observe counts the rows of messages, and says which stream they are of.
func (p *Pipeline) observe(recs []journal.Record) {
	if p.streams == nil {
		p.marks.Observe(p.batch)
		return
	}
	p.streams.put(p.batch, recs)
	p.marks.ObserveStreams(p.batch, p.streams.of)
}

// Advance tells the pipeline that it is now, in µs since 1970, and that all
// messages that arrived before have been processed.
func (p *Pipeline) Advance(now int64, r pipeline.Results) error {
	p.marks.Advance(now)
	return p.chain.Advance(&p.marks, r)
}

// Waits reports whether a stage waits for time to pass; none does where time
// moves no watermark.
func (p *Pipeline) Waits() bool {
	waits := false
	p.chain.All(func(s pipeline.Stage) {
		if waits || p.marks.Idle < 0 {
			return
		}
		if w, ok := s.(pipeline.Waiter); ok {
			waits = w.Waits()
		} else {
			_, waits = s.(pipeline.Advancer)
		}
	})
	return waits
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
