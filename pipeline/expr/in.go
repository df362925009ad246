package expr

import (
	"encoding/binary"
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

// A member is x in a list of constants. Longer lists are searched, those of
// texts in a map.
type member struct {
	x      node
	floats []float64
	ints   []int64
	texts  []string
	many   map[string]bool
	short  []uint64 // the texts as packed makes them, if all are short
	one    []byte
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
		if w, ok := packed(c.text); ok {
			k.short = append(k.short, w)
		}
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

// packed returns a text of up to seven bytes with its length as a number.
func packed(t string) (uint64, bool) {
	var word [8]byte
	copy(word[:7], t)
	return binary.LittleEndian.Uint64(word[:]) | uint64(len(t))<<56, len(t) < 8
}

func (k *member) kind() pipeline.Kind { return pipeline.Bool }

func (k *member) operands() []node { return []node{k.x} }

func (k *member) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, append(out.Valid[:0], x.Valid...)
	out.Bools = resize(out.Bools, b.Rows())
	switch {
	case x.Kind == pipeline.Int:
		find(out.Bools, x.Ints, k.ints)
	case x.Kind == pipeline.Float:
		find(out.Bools, x.Floats, k.floats)
	case k.many != nil:
		for i := range out.Bools {
			out.Bools[i] = bit(k.many[string(x.Text(i))])
		}
	case len(k.short) == len(k.texts):
		k.findShort(out.Bools, x)
	default:
		k.one = resize(k.one, b.Rows())
		clear(out.Bools)
		for _, t := range k.texts {
			equalText(k.one, x, t, 0)
			either(out.Bools, out.Bools, k.one)
		}
	}
	zero(out)
	return out
}

// find finds the values that are in list, which is sorted. NaN is in none.
func find[T float64 | int64](out []byte, x, list []T) {
	x = x[:len(out)]
	if len(list) > membersFew {
		for i, v := range x {
			_, found := slices.BinarySearch(list, v)
			out[i] = bit(found) & bit(v == v)
		}
		return
	}
	for i, v := range x {
		found := byte(0)
		for _, c := range list {
			found |= bit(v == c)
		}
		out[i] = found
	}
}

// findShort finds the texts that are in k.short, without a branch, as in
// equalWord.
func (k *member) findShort(out []byte, x *pipeline.Column) {
	off := x.Off[:len(out)+1]
	from, i := off[0], 0
	for ; i < len(out) && int(from)+8 <= len(x.Data); i++ {
		n := uint64(off[i+1] - from)
		w := binary.LittleEndian.Uint64(x.Data[from:])&(1<<(8*n&63)-1) | n<<56
		found := byte(0)
		for _, c := range k.short {
			found |= bit(w == c)
		}
		out[i] = found & bit(n < 8)
		from = off[i+1]
	}
	for ; i < len(out); i++ {
		out[i] = bit(slices.Contains(k.texts, string(x.Text(i))))
	}
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
