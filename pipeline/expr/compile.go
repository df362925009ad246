package expr

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"

	"millrace.dev/millrace/pipeline"
)

// A node computes one part of an expression for all rows of a batch. What
// eval returns is the node's own column or one of the batch, and belongs to
// it: rows without a value hold a zero, as in every column.
type node interface {
	kind() pipeline.Kind
	eval(b *pipeline.Batch) *pipeline.Column
}

// A compiler makes nodes of a tree. It goes on after a mistake, with nodes
// that are never used, and keeps the first.
type compiler struct {
	*source
	schema pipeline.Schema
	locals []local
	parts  int
	err    error
}

// A local is a name that let has made.
type local struct {
	name string
	node node
}

// broken stands for what could not be compiled.
func broken() node { return &constant{is: pipeline.Float} }

func (c *compiler) fail(at ast.Node, msg, hint string) node {
	return c.failAt(c.column(at.Location().From), msg, hint)
}

func (c *compiler) failAt(column int, msg, hint string) node {
	if c.err == nil {
		c.err = &Error{Column: column, Msg: msg, Hint: hint}
	}
	return broken()
}

func (c *compiler) compile(n ast.Node) node {
	if c.parts++; c.parts > partsMax {
		return c.fail(n, "the expression has too many parts", "")
	}
	if c.err != nil {
		return broken()
	}
	if name, ok := columnName(n); ok {
		return c.named(n, name)
	}
	switch n := n.(type) {
	case *ast.NilNode:
		return &constant{}
	case *ast.IntegerNode:
		return &constant{is: pipeline.Int, int: int64(n.Value)}
	case *ast.FloatNode:
		if v, ok := c.wide(n); ok {
			return &constant{is: pipeline.Int, int: v}
		}
		return &constant{is: pipeline.Float, float: n.Value}
	case *ast.BoolNode:
		return &constant{is: pipeline.Bool, bool: n.Value}
	case *ast.StringNode:
		return &constant{is: pipeline.Text, text: n.Value}
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.BuiltinNode:
		return c.builtin(n)
	case *ast.CallNode:
		return c.unknownFunction(n)
	case *ast.SliceNode, *ast.MemberNode:
		return c.machine(n)
	case *ast.IdentifierNode:
		return c.fail(n, "unknown name "+n.Value, `write such as $env["oil-temp"]`)
	case *ast.ArrayNode:
		return c.fail(n, "a list can only stand behind in", "")
	}
	return c.fail(n, "this cannot be computed here", "")
}

// named returns the column, or what let has given that name.
func (c *compiler) named(n ast.Node, name string) node {
	for _, l := range slices.Backward(c.locals) {
		if l.name == name {
			return l.node
		}
	}
	if i := c.schema.Index(name); i >= 0 {
		return &column{i, c.schema[i]}
	}
	var known []string
	for _, f := range c.schema {
		known = append(known, f.Name)
	}
	return c.failAt(c.start(n), fmt.Sprintf("unknown name %s", name), meant(name, known))
}

func (c *compiler) unary(n *ast.UnaryNode) node {
	x := c.compile(n.Node)
	switch {
	case n.Operator == "not" || n.Operator == "!":
		if x.kind() != pipeline.Bool {
			hint := ""
			if n.Operator == "not" {
				hint = "not binds tightly: write not (a > b)"
			}
			return c.fail(n, fmt.Sprintf("%s wants true or false, and this is %s", n.Operator, kindName(x.kind())), hint)
		}
		return fold(&not{x: x})
	case !isNumber(x):
		return c.fail(n, fmt.Sprintf("%s wants a number, and this is %s", n.Operator, kindName(x.kind())), "")
	case n.Operator == "-":
		return fold(&negative{x: x})
	}
	return x
}

func (c *compiler) binary(n *ast.BinaryNode) node {
	if n.Operator == "in" {
		return c.in(n)
	}
	l, r := c.compile(n.Left), c.compile(n.Right)
	if c.err != nil {
		return broken()
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		if l.kind() != pipeline.Bool || r.kind() != pipeline.Bool {
			return c.mismatch(n, l, r, "wants true or false on both sides")
		}
		return c.logic(n.Operator == "or" || n.Operator == "||", l, r)
	case "==", "!=", "<", "<=", ">", ">=":
		return c.comparison(n, l, r)
	case "contains", "startsWith", "endsWith":
		if !isText(l) || !isText(r) {
			return c.mismatch(n, l, r, "wants texts on both sides")
		}
		return fold(&textTest{op: n.Operator, x: l, y: r})
	case "matches":
		return c.matches(n, l, r)
	case "??":
		return c.coalesce(n, l, r)
	case "..":
		return c.fail(n, "a range can only stand behind in", "")
	}
	return c.arithmetic(n, l, r)
}

func (c *compiler) logic(or bool, l, r node) node {
	x, isX := l.(*within)
	y, isY := r.(*within)
	if isX && isY && !or {
		if both, ok := x.and(y); ok {
			return both
		}
	}
	return fold(&logic{or: or, x: l, y: r})
}

// mismatch tells what an operator wants instead of l and r.
func (c *compiler) mismatch(n *ast.BinaryNode, l, r node, wants string) node {
	return c.fail(n, fmt.Sprintf("%s %s, and here are %s and %s", n.Operator, wants, kindName(l.kind()), kindName(r.kind())), "")
}

func (c *compiler) comparison(n *ast.BinaryNode, l, r node) node {
	op := operators[n.Operator]
	equality := op == equal || op == unequal
	if equality && (l.kind() == 0 || r.kind() == 0) {
		if l.kind() == 0 {
			l = r
		}
		return fold(&isNil{x: l, not: op == unequal})
	}
	switch {
	case isNumber(l) && isNumber(r):
		l, r = c.promote(l, r)
	case isText(l) && isText(r):
	case equality && l.kind() == pipeline.Bool && r.kind() == pipeline.Bool:
	default:
		hint := ""
		if l.kind() == pipeline.Bool && n.Operator != "==" {
			hint = "between two values: and"
		}
		return c.fail(n, fmt.Sprintf("%s cannot compare %s with %s", n.Operator, kindName(l.kind()), kindName(r.kind())), hint)
	}
	return fold(newComparison(op, l, r))
}

func (c *compiler) arithmetic(n *ast.BinaryNode, l, r node) node {
	if n.Operator == "+" && isText(l) && isText(r) {
		return fold(&concat{x: l, y: r})
	}
	if !isNumber(l) || !isNumber(r) {
		hint := ""
		if n.Operator == "+" && (isText(l) || isText(r)) {
			hint = "string(x) makes a text of a number, float(x) a number of a text"
		}
		c.mismatch(n, l, r, "wants numbers")
		if e, ok := c.err.(*Error); ok && e.Hint == "" {
			e.Hint = hint
		}
		return broken()
	}
	if n.Operator == "/" || n.Operator == "**" || n.Operator == "^" {
		l, r = c.float(l), c.float(r)
	} else {
		l, r = c.promote(l, r)
	}
	if l.kind() == pipeline.Int {
		return fold(&intMath{op: n.Operator, x: l, y: r})
	}
	return fold(&floatMath{op: n.Operator, x: l, y: r})
}

// promote makes floats of both if one is.
func (c *compiler) promote(l, r node) (node, node) {
	if l.kind() == r.kind() {
		return l, r
	}
	return c.float(l), c.float(r)
}

func (c *compiler) float(x node) node {
	if x.kind() == pipeline.Float {
		return x
	}
	return fold(&convert{x: x, to: pipeline.Float})
}

func (c *compiler) conditional(n *ast.ConditionalNode) node {
	cond, x, y := c.compile(n.Cond), c.compile(n.Exp1), c.compile(n.Exp2)
	if c.err == nil && cond.kind() != pipeline.Bool {
		return c.failAt(c.start(n.Cond), fmt.Sprintf("a condition is true or false, and this is %s", kindName(cond.kind())), "")
	}
	x, y, ok := c.unify(x, y)
	if !ok {
		return c.failAt(c.start(n.Cond), fmt.Sprintf("the two outcomes are %s and %s", kindName(x.kind()), kindName(y.kind())), "")
	}
	return &choose{cond: cond, x: x, y: y}
}

func (c *compiler) coalesce(n *ast.BinaryNode, l, r node) node {
	x, y, ok := c.unify(l, r)
	if !ok {
		return c.mismatch(n, l, r, "wants two of a kind")
	}
	return &coalesce{x: x, y: y}
}

// unify makes two nodes have one kind; nil takes that of the other.
func (c *compiler) unify(x, y node) (node, node, bool) {
	switch {
	case x.kind() == 0 && y.kind() != 0:
		x = &constant{is: y.kind(), null: true}
	case y.kind() == 0 && x.kind() != 0:
		y = &constant{is: x.kind(), null: true}
	case isNumber(x) && isNumber(y):
		x, y = c.promote(x, y)
	case isText(x) && isText(y):
	case x.kind() != y.kind():
		return x, y, false
	}
	return x, y, x.kind() != 0
}

func (c *compiler) let(n *ast.VariableDeclaratorNode) node {
	value := c.compile(n.Value)
	if c.err == nil && value.kind() == 0 {
		return c.fail(n, "this is always nil", "")
	}
	c.locals = append(c.locals, local{n.Name, &reference{to: value}})
	defer func() { c.locals = c.locals[:len(c.locals)-1] }()
	return &let{value: value, body: c.compile(n.Expr), locals: c.locals[len(c.locals)-1].node.(*reference)}
}

func isNumber(x node) bool { return x.kind() == pipeline.Float || x.kind() == pipeline.Int }

func isText(x node) bool { return x.kind() == pipeline.Text || x.kind() == pipeline.Bytes }
