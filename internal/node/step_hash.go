package node

import (
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/steps"
)

func useHash(p *plan, s *config.Step) {
	for _, name := range s.Hash.Fields {
		p.use(name, pipeline.Text)
	}
}

func (c *compiler) buildHash(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	key, err := secret(c.file, string(s.Hash.Secret), s.Hash.SecretFile)
	if err != nil {
		c.problem(s.Path+".hash.secret_file", "", "%v", err)
		return false
	}
	stage, err := steps.NewHash(steps.HashConfig{Fields: s.Hash.Fields, Key: []byte(key), Digits: s.Hash.Digits}, p.Schema)
	return c.add(p, s, stage, err)
}
