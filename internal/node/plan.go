package node

import (
	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// A plan says what a pipeline takes out of its payloads: the fields that its
// steps name, with the kinds their use implies, or all of them.
type plan struct {
	file    *config.File
	cfg     *config.Pipeline
	filters []*topics.Filter
	modules map[string]*functions.Module // by step path

	kinds    map[string]pipeline.Kind // what the file says of fields
	known    map[string]bool          // columns that are no payload fields
	fields   pipeline.Schema
	topic    bool
	payload  bool
	windowed bool // a window stands between payload and sinks
	open     bool
}

var kindNames = map[string]pipeline.Kind{
	"number": pipeline.Float, "int": pipeline.Int, "bool": pipeline.Bool, "text": pipeline.Text,
}

func newPlan(f *config.File, cfg *config.Pipeline, filters []*topics.Filter, modules map[string]*functions.Module) *plan {
	p := &plan{file: f, cfg: cfg, filters: filters, modules: modules, kinds: map[string]pipeline.Kind{}, known: map[string]bool{}}
	for _, l := range p.levels() {
		p.known[l.Name] = true
	}
	for _, f := range cfg.Fields {
		p.kinds[f.Name] = kindNames[f.Kind]
		p.use(f.Name, kindNames[f.Kind])
	}
	for _, name := range cfg.Key {
		p.use(name, pipeline.Text)
	}
	for i := range cfg.Steps {
		if p.windowed {
			break
		}
		stepOf(cfg.Steps[i].Kind).use(p, &cfg.Steps[i])
	}
	if !p.windowed {
		for _, list := range [][]config.Target{cfg.To, cfg.Late} {
			for i := range list {
				p.target(&list[i])
			}
		}
	}
	return p
}

// levels returns the named levels; check has made sure that all filters agree on them.
func (p *plan) levels() []topics.Level {
	if len(p.filters) == 0 {
		return nil
	}
	return p.filters[0].Levels()
}

// use notes that a step needs the column called name.
func (p *plan) use(name string, kind pipeline.Kind) {
	switch {
	case p.known[name]:
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
		switch {
		case name == "topic":
			p.topic = true
		case name == "payload":
			p.payload = true
		case !p.known[name] && p.fields.Index(name) < 0 && name != "time":
			p.open = true
		}
	}
}
