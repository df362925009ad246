package node

import (
	"fmt"

	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/config"
)

func useFunction(p *plan, s *config.Step) {
	m := p.modules[s.Path]
	if m == nil {
		return // told when it was loaded
	}
	input := map[string]string{}
	for _, b := range s.Input {
		input[b.Name] = b.Value
	}
	for _, f := range m.Manifest().In {
		column := f.Name
		if to, ok := input[f.Name]; ok {
			column = to
		}
		p.use(column, f.Kind)
	}
	for _, f := range m.Manifest().Out {
		p.known[f.Name] = true
	}
}

func (c *compiler) buildFunction(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	if c.modules[s.Function] == nil {
		return false
	}
	b := functions.Binding{
		Stage: fmt.Sprintf("%s function %s", p.stage(s), s.Function), Key: p.Config.Key,
		Input: map[string]string{}, With: map[string]float64{},
		Limits: functions.Limits{Memory: uint32(s.Limits.Memory), Steps: s.Limits.Steps},
	}
	for _, in := range s.Input {
		b.Input[in.Name] = in.Value
	}
	for _, w := range s.With {
		b.With[w.Name] = w.Value
	}
	stage, err := c.modules[s.Function].Bind(c.ctx, b, p.Schema, p.keys)
	if err != nil {
		c.problem(s.Path+".function", "", "%v", err)
		return false
	}
	p.chain.Stages = append(p.chain.Stages, stage)
	p.closers = append(p.closers, stage)
	p.measure(i, "function "+s.Function, stage.Stats)
	p.Schema = stage.Schema()
	return true
}
