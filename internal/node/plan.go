package node

import (
	"maps"
	"slices"
	"strings"

	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/join"
	"millrace.dev/millrace/pipeline/topics"
)

// A plan says what a pipeline takes out of its payloads: the fields that its
// steps name, with the kinds their use implies, or all of them.
type plan struct {
	file    *config.File
	named   []topics.Level               // of the topics that rows come from
	streams []string                     // that rows come from
	modules map[string]*functions.Module // by step path
	tables  map[string][]string          // the columns that a lookup makes, by step path

	kinds    map[string]pipeline.Kind // what the file says of fields
	known    map[string]bool          // columns that are no payload fields
	fields   pipeline.Schema
	topic    bool
	payload  bool
	windowed bool // a window stands between payload and sinks
	joined   bool // columns have the names of their streams before them

	renamed   map[string]string // what the payload calls a column that has another name
	mentioned []string          // fields whose kind may follow from something else
	columns   []join.Column
	open      bool
}

var kindNames = map[string]pipeline.Kind{
	"number": pipeline.Float, "int": pipeline.Int, "bool": pipeline.Bool, "text": pipeline.Text,
}

func newPlan(f *config.File, cfg *config.Pipeline, named []topics.Level, modules map[string]*functions.Module, tables map[string][]string) *plan {
	p := &plan{file: f, named: named, streams: cfg.From.Streams, modules: modules, tables: tables, kinds: map[string]pipeline.Kind{}, known: map[string]bool{}}
	for _, l := range named {
		p.known[l.Name] = true
	}
	if p.streams != nil {
		p.known[join.StreamColumn] = true
	}
	for _, f := range cfg.Fields {
		p.kinds[f.Name] = kindNames[f.Kind]
		p.use(f.Name, kindNames[f.Kind])
	}
	p.pipeline(cfg)
	p.settle()
	return p
}

// pipeline notes what a pipeline needs, and those that read its results.
func (p *plan) pipeline(cfg *config.Pipeline) {
	for _, name := range cfg.Key {
		p.use(name, pipeline.Text)
	}
	p.steps(cfg.Steps, cfg.To, cfg.Late)
	if p.windowed {
		return
	}
	for _, reader := range p.file.Followers(cfg.Name) {
		p.apart(func() { p.pipeline(reader) })
	}
}

// steps notes what steps need, and the sinks behind them.
func (p *plan) steps(steps []config.Step, sinks ...[]config.Target) {
	for i := range steps {
		if p.windowed {
			return
		}
		stepOf(steps[i].Kind).use(p, &steps[i])
	}
	if p.windowed {
		return
	}
	for _, list := range sinks {
		for i := range list {
			p.target(&list[i])
		}
	}
}

// apart does what changes the columns for itself alone.
func (p *plan) apart(do func()) {
	known, renamed, windowed, joined := maps.Clone(p.known), maps.Clone(p.renamed), p.windowed, p.joined
	do()
	p.known, p.renamed, p.windowed, p.joined = known, renamed, windowed, joined
}

// levels returns the named levels.
func (p *plan) levels() []topics.Level { return p.named }

// use notes that a step needs the column called name.
func (p *plan) use(name string, kind pipeline.Kind) {
	if p.joined {
		if name = p.side(name); name == "" {
			return
		}
	}
	if p.known[name] {
		return
	}
	switch name = p.original(name); {
	case name == "topic":
		p.topic = true
	case name == "payload":
		p.payload = true
	case p.fields.Index(name) < 0:
		if said, ok := p.kinds[name]; ok {
			kind = said
		}
		p.fields = append(p.fields, pipeline.Field{Name: name, Kind: kind})
	}
}

// side notes a column behind a step that brings streams together, such as
// temp.value, and returns the one before it, value; "" if it is none.
func (p *plan) side(name string) string {
	stream, field, _ := strings.Cut(name, ".")
	if !slices.Contains(p.streams, stream) || p.known[name] {
		return ""
	}
	if c := (join.Column{Stream: stream, Field: field}); !slices.Contains(p.columns, c) {
		p.columns = append(p.columns, c)
	}
	return field
}

// target opens the plan to all fields when a sink wants them, or names one
// whose kind nothing tells.
func (p *plan) target(t *config.Target) {
	if t.Ref != "" {
		t = p.file.Sink(t.Ref)
	}
	if t.TakesAll() {
		p.open = true
	}
	for _, name := range t.Names() {
		if name != "time" {
			p.mention(name)
		}
	}
}
