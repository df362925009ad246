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
	case "set":
		return step{useSet, (*compiler).buildSet}
	case "keep":
		return step{useKeep, (*compiler).buildKeep}
	case "drop":
		return step{useDrop, (*compiler).buildDrop}
	case "rename":
		return step{useRename, (*compiler).buildRename}
	case "round":
		return step{useRound, (*compiler).buildRound}
	case "convert":
		return step{useConvert, (*compiler).buildConvert}
	case "hash":
		return step{useHash, (*compiler).buildHash}
	case "deadband":
		return step{useDeadband, (*compiler).buildDeadband}
	case "compress":
		return step{useCompress, (*compiler).buildCompress}
	case "dedupe":
		return step{useDedupe, (*compiler).buildDedupe}
	case "sample":
		return step{useSample, (*compiler).buildSample}
	case "throttle":
		return step{useThrottle, (*compiler).buildThrottle}
	case "fill":
		return step{useFill, (*compiler).buildFill}
	case "lookup":
		return step{useLookup, (*compiler).buildLookup}
	case "geo":
		return step{useGeo, (*compiler).buildGeo}
	case "window":
		return step{useWindow, (*compiler).buildWindow}
	case "function":
		return step{useFunction, (*compiler).buildFunction}
	case "align":
		return step{useStreams, (*compiler).buildAlign}
	case "join":
		return step{useStreams, (*compiler).buildJoin}
	case "switch":
		return step{useSwitch, (*compiler).buildSwitch}
	}
	panic("BUG: step of kind " + kind)
}
