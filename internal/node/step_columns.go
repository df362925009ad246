package node

import (
	"errors"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/expr"
	"millrace.dev/millrace/pipeline/steps"
)

// mention notes that a column is taken by name, of whatever kind it is.
func (p *plan) mention(name string) {
	if p.joined {
		name = p.side(name)
	}
	if name != "" && !p.known[name] {
		p.mentioned = append(p.mentioned, p.original(name))
	}
}

// settle opens the plan to all fields if one is mentioned whose kind nothing
// tells.
func (p *plan) settle() {
	for _, name := range p.mentioned {
		switch {
		case name == "topic":
			p.topic = true
		case name == "payload":
			p.payload = true
		case p.fields.Index(name) < 0:
			p.open = true
		}
	}
}

// makes notes that there is a column from here on that is no payload field.
func (p *plan) makes(name string) {
	delete(p.renamed, name)
	p.known[name] = true
}

// renames notes that the payload's field was has another name from here on.
func (p *plan) renames(name, was string) {
	if p.renamed == nil {
		p.renamed = map[string]string{}
	}
	delete(p.known, name)
	p.renamed[name] = was
}

// original returns what the payload calls a column.
func (p *plan) original(name string) string {
	if was, ok := p.renamed[name]; ok {
		return was
	}
	return name
}

// add puts a stage behind the others, or notes what is wrong with the step.
// False: the columns behind it are not known.
func (c *compiler) add(p *Pipeline, s *config.Step, stage steps.Step, err error) bool {
	var wrong *steps.Error
	switch {
	case errors.As(err, &wrong):
		path := s.Path + "." + s.Kind
		if wrong.At != "" {
			path += "." + wrong.At
		}
		c.problem(path, wrong.Hint, "%s", wrong.Msg)
		return false
	case err != nil:
		c.problem(s.Path+"."+s.Kind, "", "%v", err)
		return false
	}
	p.chain.Stages = append(p.chain.Stages, stage)
	p.Schema = stage.Schema()
	return true
}

func useSet(p *plan, s *config.Step) {
	for _, x := range s.Set {
		p.useExpression(x.Value)
		p.makes(x.Name)
	}
}

func (c *compiler) buildSet(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	for _, x := range s.Set {
		stage, err := expr.NewSet(x.Name, x.Value, p.Schema)
		if err != nil {
			c.expression(s.Path+".set."+x.Name, err)
			return false
		}
		p.chain.Stages = append(p.chain.Stages, stage)
		p.Schema = stage.Schema()
	}
	return true
}

func useKeep(p *plan, s *config.Step) {
	for _, name := range s.Keep {
		p.mention(name)
	}
}

func (c *compiler) buildKeep(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	stage, err := steps.NewKeep(s.Keep, p.Schema, p.Open)
	if !c.add(p, s, stage, err) {
		return false
	}
	p.Open = p.Open && len(p.Schema) < len(s.Keep) // otherwise all that is left is in the schema
	return true
}

// useDrop needs nothing: a field that nobody names is not even read.
func useDrop(*plan, *config.Step) {}

func (c *compiler) buildDrop(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	stage, err := steps.NewDrop(s.Drop, p.Schema, len(p.windows) == 0)
	return c.add(p, s, stage, err)
}

// useRename lets what comes after name the payload's fields by their new names.
func useRename(p *plan, s *config.Step) {
	renamed, known := map[string]string{}, map[string]bool{}
	for _, x := range s.Rename {
		if p.known[x.Name] {
			known[x.Value] = true
		} else {
			renamed[x.Value] = p.original(x.Name)
			p.mention(x.Name)
		}
	}
	for name := range known {
		p.makes(name)
	}
	for name, was := range renamed {
		p.renames(name, was)
	}
}

func (c *compiler) buildRename(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	var to []steps.Renaming
	for _, x := range s.Rename {
		to = append(to, steps.Renaming{From: x.Name, To: x.Value})
	}
	stage, err := steps.NewRename(to, p.Schema, p.Open)
	return c.add(p, s, stage, err)
}

func useRound(p *plan, s *config.Step) {
	for _, x := range s.Round {
		p.use(x.Column, pipeline.Float)
	}
}

func (c *compiler) buildRound(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	var to []steps.Rounding
	for _, x := range s.Round {
		to = append(to, steps.Rounding{Column: x.Column, Decimals: x.Decimals})
	}
	stage, err := steps.NewRound(to, p.Schema)
	return c.add(p, s, stage, err)
}

func useConvert(p *plan, s *config.Step) {
	for _, x := range s.Convert {
		p.use(x.Name, pipeline.Float)
	}
}

func (c *compiler) buildConvert(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	var to []steps.Conversion
	for _, x := range s.Convert {
		to = append(to, steps.Conversion{Column: x.Name, Units: x.Value})
	}
	stage, err := steps.NewConvert(to, p.Schema)
	return c.add(p, s, stage, err)
}
