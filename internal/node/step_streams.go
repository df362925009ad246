package node

import (
	"slices"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/join"
)

func useStreams(p *plan, _ *config.Step) { p.joined = true }

func (c *compiler) buildAlign(p *Pipeline, plan *plan, i int) bool {
	s := &p.Config.Steps[i]
	kind := map[string]join.Kind{"inner": join.Inner, "outer": join.Outer, "last": join.Last}[s.Align.Kind]
	cfg := joinConfig(p, plan, s, p.Config.From.Streams)
	cfg.Within, cfg.RowsMax = s.Align.Within.Microseconds(), s.Align.RowsMax
	a, err := join.NewAlign(cfg, kind, p.Schema, p.keys)
	if err != nil {
		c.problem(s.Path+".align", "", "%v", err)
		return false
	}
	p.chain.Stages = append(p.chain.Stages, a)
	p.Schema = a.Schema()
	return true
}

func (c *compiler) buildJoin(p *Pipeline, plan *plan, i int) bool {
	s := &p.Config.Steps[i]
	kind := map[string]join.Kind{"inner": join.Inner, "left": join.Outer}[s.Join.Kind]
	cfg := joinConfig(p, plan, s, []string{s.Join.Left, s.Join.Right})
	cfg.Within, cfg.RowsMax = s.Join.Within.Microseconds(), s.Join.RowsMax
	j, err := join.NewJoin(cfg, kind, p.Schema, p.keys)
	if err != nil {
		c.problem(s.Path+".join", "", "%v", err)
		return false
	}
	p.chain.Stages = append(p.chain.Stages, j)
	p.Schema = j.Schema()
	return true
}

// joinConfig returns what the steps that bring streams together have in common.
func joinConfig(p *Pipeline, plan *plan, s *config.Step, streams []string) join.Config {
	cfg := join.Config{Stage: p.stage(s) + " " + s.Kind, Streams: streams, Open: p.Open}
	shared := slices.Clone(p.Config.Key)
	for _, l := range plan.levels() {
		if !slices.Contains(shared, l.Name) {
			shared = append(shared, l.Name)
		}
	}
	for _, name := range shared {
		if p.Schema.Index(name) >= 0 {
			cfg.Shared = append(cfg.Shared, name)
		}
	}
	for _, want := range plan.columns {
		if p.Schema.Index(want.Field) >= 0 && slices.Contains(streams, want.Stream) {
			cfg.Columns = append(cfg.Columns, want)
		}
	}
	return cfg
}

var _ pipeline.Delayer = (*join.Align)(nil)
