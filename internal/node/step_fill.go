package node

import (
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/steps"
)

func useFill(p *plan, s *config.Step) {
	for _, name := range s.Fill.Fields {
		p.use(name, pipeline.Float)
	}
}

func (c *compiler) buildFill(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	stage, err := steps.NewFill(steps.FillConfig{
		Stage: p.stage(s) + " fill", Every: s.Fill.Every.Microseconds(), How: s.Fill.With.How, Value: s.Fill.With.Value,
		Fields: s.Fill.Fields, Most: s.Fill.Most,
	}, p.Schema, p.keys)
	return c.add(p, s, stage, err)
}
