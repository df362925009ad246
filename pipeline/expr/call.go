package expr

import (
	"fmt"
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"

	"millrace.dev/millrace/pipeline"
)

// functions are those that there are. The ones without a kernel run on
// expr-lang's VM; they take and give texts mostly.
var functions = map[string]bool{ // value: has a kernel
	"abs": true, "ceil": true, "floor": true, "round": true, "min": true, "max": true, "int": true, "float": true, "len": true, "string": true,
	"trim": false, "trimPrefix": false, "trimSuffix": false, "upper": false, "lower": false, "replace": false,
	"split": false, "splitAfter": false, "join": false, "first": false, "last": false,
	"indexOf": false, "lastIndexOf": false, "hasPrefix": false, "hasSuffix": false, "toBase64": false, "fromBase64": false,
}

// Why other functions of expr-lang are refused.
var refused = map[string]string{
	"all": "loops", "none": "loops", "any": "loops", "one": "loops", "filter": "loops", "map": "loops", "find": "loops", "findIndex": "loops",
	"findLast": "loops", "findLastIndex": "loops", "count": "loops", "sum": "loops", "groupBy": "loops", "sortBy": "loops", "reduce": "loops",
	"mean": "loops", "median": "loops", "sort": "loops", "uniq": "loops", "flatten": "loops", "repeat": "loops",
	"now": "clock", "date": "clock", "duration": "clock", "timezone": "clock",
}

func (c *compiler) builtin(n *ast.BuiltinNode) node {
	kernel, there := functions[n.Name]
	switch why := refused[n.Name]; {
	case why == "loops":
		return c.fail(n, fmt.Sprintf("%s is not possible here, because it loops", n.Name), "a window counts, sums and averages; a function does anything")
	case why == "clock":
		return c.fail(n, fmt.Sprintf("%s is not possible here: expressions know no clock and no calendar", n.Name), "")
	case !there:
		return c.fail(n, fmt.Sprintf("there is no function %s here", n.Name), meant(n.Name, slices.Sorted(maps.Keys(functions))))
	case !kernel || len(n.Arguments) == 1 && isList(n.Arguments[0]):
		return c.machine(n)
	}
	var xs []node
	for _, a := range n.Arguments {
		xs = append(xs, c.compile(a))
	}
	if c.err != nil {
		return broken()
	}
	if n.Name == "min" || n.Name == "max" {
		return c.extreme(n, xs)
	}
	if len(xs) != 1 {
		return c.fail(n, fmt.Sprintf("%s takes one value, and here are %d", n.Name, len(xs)), "")
	}
	return c.ofOne(n, xs[0])
}

func (c *compiler) ofOne(n *ast.BuiltinNode, x node) node {
	wants := "a number"
	switch n.Name {
	case "len":
		if isText(x) {
			return fold(&length{x: x})
		}
		wants = "a text"
	case "string":
		if x.kind() == pipeline.Text {
			return x
		}
		if x.kind() != 0 {
			return c.machine(n)
		}
		wants = "a value"
	case "float", "int":
		to := map[string]pipeline.Kind{"float": pipeline.Float, "int": pipeline.Int}[n.Name]
		if x.kind() == to {
			return x
		}
		if isNumber(x) || isText(x) {
			return fold(&convert{x: x, to: to})
		}
		wants = "a number or a text"
	case "abs":
		if x.kind() == pipeline.Int {
			return fold(&intAbs{x: x})
		}
		if x.kind() == pipeline.Float {
			return fold(&function{name: n.Name, x: x})
		}
	default:
		if isNumber(x) {
			return fold(&function{name: n.Name, x: c.float(x)})
		}
	}
	return c.fail(n, fmt.Sprintf("%s wants %s, and this is %s", n.Name, wants, kindName(x.kind())), "")
}

func (c *compiler) extreme(n *ast.BuiltinNode, xs []node) node {
	if len(xs) == 0 {
		return c.fail(n, n.Name+" takes at least one value", "")
	}
	ints := true
	for _, x := range xs {
		if !isNumber(x) {
			return c.fail(n, fmt.Sprintf("%s wants numbers, and here is %s", n.Name, kindName(x.kind())), "")
		}
		ints = ints && x.kind() == pipeline.Int
	}
	for i := range xs {
		if !ints {
			xs[i] = c.float(xs[i])
		}
	}
	return fold(&extreme{least: n.Name == "min", xs: xs})
}

func (c *compiler) unknownFunction(n *ast.CallNode) node {
	name, ok := columnName(n.Callee)
	if !ok {
		return c.fail(n, "this cannot be called", "")
	}
	if c.schema.Index(name) >= 0 {
		return c.fail(n, fmt.Sprintf("%s is a column, not a function", name), "")
	}
	return c.fail(n, fmt.Sprintf("there is no function %s", name), meant(name, slices.Sorted(maps.Keys(functions))))
}
