package expr

import (
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"

	"millrace.dev/millrace/pipeline"
)

// in compiles x in [a, b] and x in 1..9.
func (c *compiler) in(n *ast.BinaryNode) node {
	x := c.compile(n.Left)
	if x.kind() == 0 {
		return c.fail(n, "in wants a value before it, and this is nil", "")
	}
	switch list := n.Right.(type) {
	case *ast.BinaryNode:
		if list.Operator == ".." {
			return c.inRange(n, list, x)
		}
	case *ast.ArrayNode:
		return c.inList(n, list, x)
	}
	return c.fail(n, "in wants a list or a range behind it", `such as in ["a", "b"] or in 1..9`)
}

func (c *compiler) inRange(n, list *ast.BinaryNode, x node) node {
	from, okFrom := known(c.compile(list.Left))
	to, okTo := known(c.compile(list.Right))
	if !okFrom || !okTo || from.is != pipeline.Int || to.is != pipeline.Int || !isNumber(x) {
		return c.fail(n, "a range is of whole numbers, for a number", "such as n in 1..9")
	}
	return fold(&inRange{x: c.float(x), from: float64(from.int), to: float64(to.int)})
}

func (c *compiler) inList(n *ast.BinaryNode, list *ast.ArrayNode, x node) node {
	if len(list.Nodes) == 0 {
		return &choose{cond: &isNil{x: x}, x: &constant{is: pipeline.Bool, null: true}, y: &constant{is: pipeline.Bool}}
	}
	in, all := &member{x: x}, true
	var either node
	for _, item := range list.Nodes {
		y := c.compile(item)
		if c.err != nil {
			return broken()
		}
		if y.kind() == 0 || !(isNumber(x) && isNumber(y) || isText(x) && isText(y) || x.kind() == y.kind()) {
			return c.failAt(c.start(item), "in cannot find "+kindName(x.kind())+" in a list with "+kindName(y.kind()), "")
		}
		constant, ok := known(y)
		all = all && ok
		if ok {
			in.add(constant)
		}
		one := c.comparison(&ast.BinaryNode{Operator: "=="}, x, y)
		if either == nil {
			either = one
		} else {
			either = fold(&logic{or: true, x: either, y: one})
		}
	}
	if x.kind() == pipeline.Int && len(in.ints) < len(list.Nodes) {
		in.x = c.float(x)
	}
	if all && x.kind() != pipeline.Bool {
		return fold(in)
	}
	return either
}

// A member is x in a list of constants. Longer lists are looked up in a map.
type member struct {
	x      node
	floats []float64
	ints   []int64
	texts  []string
	many   map[string]bool
	out    pipeline.Column
}

// membersFew is the longest list that is compared one by one.
const membersFew = 8

func (k *member) add(c *constant) {
	switch c.is {
	case pipeline.Int:
		k.ints = append(k.ints, c.int)
		k.floats = append(k.floats, float64(c.int))
	case pipeline.Float:
		k.floats = append(k.floats, c.float)
	case pipeline.Text:
		k.texts = append(k.texts, c.text)
		if len(k.texts) == membersFew+1 {
			k.many = map[string]bool{}
			for _, t := range k.texts {
				k.many[t] = true
			}
		}
		if k.many != nil {
			k.many[c.text] = true
		}
	}
	slices.Sort(k.floats)
	slices.Sort(k.ints)
}

func (k *member) kind() pipeline.Kind { return pipeline.Bool }

func (k *member) operands() []node { return []node{k.x} }

func (k *member) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, append(out.Valid[:0], x.Valid...)
	out.Bools = resize(out.Bools, b.Rows())
	for i := range out.Bools {
		out.Bools[i] = bit(k.has(x, i))
	}
	zero(out)
	return out
}

func (k *member) has(x *pipeline.Column, i int) (found bool) {
	switch {
	case x.Kind == pipeline.Int:
		_, found = slices.BinarySearch(k.ints, x.Ints[i])
	case x.Kind == pipeline.Float:
		if v := x.Floats[i]; v == v {
			_, found = slices.BinarySearch(k.floats, v)
		}
	case k.many != nil:
		found = k.many[string(x.Text(i))]
	default:
		t := x.Text(i)
		for _, m := range k.texts {
			if string(t) == m {
				return true
			}
		}
	}
	return found
}

// An inRange is x in from..to: a whole number between them.
type inRange struct {
	x        node // of floats
	from, to float64
	out      pipeline.Column
}

func (k *inRange) kind() pipeline.Kind { return pipeline.Bool }

func (k *inRange) operands() []node { return []node{k.x} }

func (k *inRange) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, append(out.Valid[:0], x.Valid...)
	out.Bools = resize(out.Bools, b.Rows())
	for i, v := range x.Floats {
		out.Bools[i] = bit(v >= k.from && v <= k.to && v == math.Trunc(v))
	}
	zero(out)
	return out
}
