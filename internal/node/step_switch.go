package node

import (
	"strings"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/expr"
)

func useSwitch(p *plan, s *config.Step) {
	for i := range s.Switch {
		b := &s.Switch[i]
		if b.Where != "" {
			p.useExpression(b.Where)
		}
		p.apart(func() { p.steps(b.Steps, b.To) })
	}
}

func (c *compiler) buildSwitch(p *Pipeline, plan *plan, i int) bool {
	s := &p.Config.Steps[i]
	stage := &pipeline.Switch{}
	for k := range s.Switch {
		stage.Branches = append(stage.Branches, c.branch(p, plan, &s.Switch[k]))
	}
	p.chain.Stages = append(p.chain.Stages, stage)
	return true // the columns are the same behind it
}

// branch builds a branch as if it were a pipeline of its own.
func (c *compiler) branch(p *Pipeline, plan *plan, b *config.Branch) *pipeline.Branch {
	branch := &pipeline.Branch{Name: b.Name}
	p.branches[branch] = b
	if b.Where != "" {
		_, err := expr.NewWhere(b.Where, p.Schema)
		c.where(b.Path, err)
		if err == nil {
			branch.When, _ = expr.Compile(b.Where, p.Schema)
		}
	}
	cfg := *p.Config
	cfg.Steps, cfg.To = b.Steps, b.To
	sub := &Pipeline{Config: &cfg, Schema: p.Schema, Open: p.Open, keys: p.keys, named: p.named, reads: p.reads, branches: p.branches}
	if c.steps(sub, plan) {
		c.targets(sub, &cfg)
	}
	branch.Chain = sub.chain
	p.windows = append(p.windows, sub.windows...)
	p.savings = append(p.savings, sub.savings...)
	p.tables = append(p.tables, sub.tables...)
	p.memories = append(p.memories, sub.memories...)
	p.measured = append(p.measured, sub.measured...)
	p.closers = append(p.closers, sub.closers...)
	return branch
}

// BranchConfig returns what the file says of a branch of p.
func (p *Pipeline) BranchConfig(b *pipeline.Branch) *config.Branch { return p.branches[b] }

// stage returns the place of a step for dead letters, such as steps[1].
func (p *Pipeline) stage(s *config.Step) string {
	return strings.TrimPrefix(s.Path, p.Config.Path+".")
}
