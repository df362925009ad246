package node

import (
	"errors"
	"maps"
	"slices"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline/expr"
)

func useWhere(p *plan, s *config.Step) { p.useExpression(s.Where) }

// useExpression notes the columns that an expression takes.
func (p *plan) useExpression(text string) {
	kinds, err := expr.Infer(text)
	if err != nil {
		return // told when the stage is built
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		p.use(name, kinds[name])
	}
}

func (c *compiler) buildWhere(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	w, err := expr.NewWhere(s.Where, p.Schema)
	c.where(s.Path, err)
	if err == nil {
		p.chain.Stages = append(p.chain.Stages, w)
	}
	return true // the columns are the same behind it
}

// where notes what is wrong with the expression of a step or branch, if anything.
func (c *compiler) where(path string, err error) { c.expression(path+".where", err) }

// expression notes what is wrong with the expression at path, if anything.
func (c *compiler) expression(path string, err error) {
	var at *expr.Error
	if errors.As(err, &at) {
		c.problems = append(c.problems, c.file.ProblemAt(path, at.Column, at.Msg, at.Hint))
	} else if err != nil {
		c.problem(path, "", "%v", err)
	}
}
