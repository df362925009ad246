package expr

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"millrace.dev/millrace/pipeline"
)

// A textTest is x contains y, x startsWith y, or x endsWith y.
type textTest struct {
	op   string
	x, y node
	out  pipeline.Column
}

func (k *textTest) kind() pipeline.Kind { return pipeline.Bool }

func (k *textTest) operands() []node { return []node{k.x, k.y} }

func (k *textTest) eval(b *pipeline.Batch) *pipeline.Column {
	x, y, out := k.x.eval(b), k.y.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, both(out.Valid, x, y)
	out.Bools = resize(out.Bools, b.Rows())
	test := bytes.Contains
	switch k.op {
	case "startsWith":
		test = bytes.HasPrefix
	case "endsWith":
		test = bytes.HasSuffix
	}
	for i := range out.Bools {
		out.Bools[i] = bit(test(x.Text(i), y.Text(i)))
	}
	zero(out)
	return out
}

// A match is x matches a regular expression.
type match struct {
	x   node
	re  *regexp.Regexp
	out pipeline.Column
}

func (k *match) kind() pipeline.Kind { return pipeline.Bool }

func (k *match) operands() []node { return []node{k.x} }

func (k *match) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Bool, append(out.Valid[:0], x.Valid...)
	out.Bools = resize(out.Bools, b.Rows())
	for i := range out.Bools {
		out.Bools[i] = bit(k.re.Match(x.Text(i)))
	}
	zero(out)
	return out
}

func (c *compiler) matches(n *ast.BinaryNode, l, r node) node {
	if !isText(l) || !isText(r) {
		return c.mismatch(n, l, r, "wants texts on both sides")
	}
	pattern, ok := known(r)
	if !ok {
		return c.fail(n.Right, "a regular expression must be a text in quotes", "")
	}
	re, err := regexp.Compile(pattern.text)
	if err != nil {
		return c.fail(n.Right, fmt.Sprintf("not a regular expression: %v", err), "")
	}
	return fold(&match{x: l, re: re})
}

// A concat is x + y of texts.
type concat struct {
	x, y node
	out  pipeline.Column
}

func (k *concat) kind() pipeline.Kind { return pipeline.Text }

func (k *concat) operands() []node { return []node{k.x, k.y} }

func (k *concat) eval(b *pipeline.Batch) *pipeline.Column {
	x, y, out := k.x.eval(b), k.y.eval(b), &k.out
	out.Kind = pipeline.Text
	out.Reset()
	for i := range b.Rows() {
		s, t := x.Text(i), y.Text(i)
		if !x.Has(i) || !y.Has(i) || len(s)+len(t) > TextBytesMax {
			out.AppendNull()
			continue
		}
		out.Data = append(out.Data, s...)
		out.AppendText(t)
	}
	return out
}

// A length is len(x) of a text: its characters.
type length struct {
	x   node
	out pipeline.Column
}

func (k *length) kind() pipeline.Kind { return pipeline.Int }

func (k *length) operands() []node { return []node{k.x} }

func (k *length) eval(b *pipeline.Batch) *pipeline.Column {
	x, out := k.x.eval(b), &k.out
	out.Kind, out.Valid = pipeline.Int, append(out.Valid[:0], x.Valid...)
	out.Ints = resize(out.Ints, b.Rows())
	for i := range out.Ints {
		out.Ints[i] = int64(utf8.RuneCount(x.Text(i)))
	}
	return out
}
