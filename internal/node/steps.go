package node

import "millrace.dev/millrace/internal/config"

// A step is what the compiler knows of a kind of step.
type step struct {
	// use notes which columns the step takes, with the kinds their use
	// implies, and which it makes.
	use func(p *plan, s *config.Step)
	// build adds the stages of step i to the pipeline and changes its schema;
	// it notes what is wrong. False: the columns behind it are not known.
	build func(c *compiler, p *Pipeline, plan *plan, i int) bool
}

// stepOf returns the step of a kind: the table of them all.
func stepOf(kind string) step {
	switch kind {
	case "where":
		return step{useWhere, (*compiler).buildWhere}
	case "window":
		return step{useWindow, (*compiler).buildWindow}
	case "function":
		return step{useFunction, (*compiler).buildFunction}
	}
	panic("BUG: step of kind " + kind)
}
