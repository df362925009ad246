package node

import (
	"slices"

	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

// takesAny tells whether an aggregate takes columns of any kind.
func takesAny(op string) bool { return op == "distinct" || op == "mode" || op == "top" }

// useWindow reads as text what only aggregates of any kind take.
func useWindow(p *plan, s *config.Step) {
	for _, any := range []bool{false, true} {
		kind := pipeline.Float
		if any {
			kind = pipeline.Text
		}
		for _, a := range s.Window.Fields {
			if a.Column != "" && takesAny(a.Op) == any {
				p.use(a.Column, kind)
			}
		}
	}
	p.windowed = true
}

func (c *compiler) buildWindow(p *Pipeline, plan *plan, i int) bool {
	s := &p.Config.Steps[i]
	cfg := functions.WindowConfig{Stage: "window", Window: s.Window.Rule(), Key: p.Config.Key}
	for _, l := range plan.levels() {
		if !slices.Contains(cfg.Key, l.Name) && p.Schema.Index(l.Name) >= 0 {
			cfg.Carry = append(cfg.Carry, l.Name)
		}
	}
	for _, a := range s.Window.Fields {
		if a.Column != "" && p.Schema.Index(a.Column) < 0 {
			c.problem(a.Path, columnHint(a.Column, p.Schema), "unknown column %q", a.Column)
			return false
		}
		cfg.Aggregates = append(cfg.Aggregates, functions.Aggregate{Name: a.Name, Op: a.Op, Column: a.Column, Arg: a.Arg})
	}
	w, err := c.rt.NewWindow(c.ctx, cfg, p.Schema, p.keys)
	if err != nil {
		c.problem(s.Path+".window", "", "%v", err)
		return false
	}
	count := &meter{&metrics.Counter{}}
	p.chain.Stages = append(p.chain.Stages, w, count)
	p.windows = append(p.windows, count)
	p.closers = append(p.closers, w)
	p.measure(i, "window", w.Stats)
	p.Schema = w.Schema()
	return true
}
