package expr

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	vmcode "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"millrace.dev/millrace/pipeline"
)

// A machine runs a part of an expression that has no kernel on expr-lang's
// VM, a row at a time; it is slow and allocates. The part's operands are
// computed by kernels before. A row in which one of them is nil is nil, and
// so is one for which the VM has no answer or no UTF-8.
type machine struct {
	is       pipeline.Kind
	program  *vm.Program
	vm       vm.VM
	operands []node
	names    []string
	env      map[string]any
	now      []*pipeline.Column
	out      pipeline.Column
}

// machine compiles n, a function, slice or element of a list.
func (c *compiler) machine(n ast.Node) node {
	m := &machine{env: map[string]any{}}
	tree := &parser.Tree{Node: c.expand(m, n), Source: file.NewSource("")}
	if c.err != nil {
		return broken()
	}
	config := conf.New(m.env)
	t, err := checker.Check(tree, config)
	if err != nil {
		return c.failAt(c.start(n), m.misfit(n, err), "")
	}
	switch {
	case t.Kind() == reflect.String:
		m.is = pipeline.Text
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		m.is = pipeline.Int
	case t.Kind() == reflect.Float64:
		m.is = pipeline.Float
	case t.Kind() == reflect.Bool:
		m.is = pipeline.Bool
	case t.Kind() == reflect.Interface:
		return c.failAt(c.start(n), "nothing tells whether this is a number or a text", "string(…), float(…) or int(…) around it do")
	default:
		return c.failAt(c.start(n), "a list is no value for a row", "take one of it, such as split(x, \"-\")[0]")
	}
	if m.program, err = vmcode.Compile(tree, config); err != nil {
		return c.failAt(c.start(n), "this cannot be computed here", "")
	}
	return m
}

// expand copies n for the VM: its operands become names there, but for
// constants and lists.
func (c *compiler) expand(m *machine, n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.BuiltinNode:
		copied := *n
		copied.Arguments = nil
		for _, a := range n.Arguments {
			copied.Arguments = append(copied.Arguments, c.operand(m, a))
		}
		return &copied
	case *ast.SliceNode:
		copied := *n
		copied.Node = c.operand(m, n.Node)
		if n.From != nil {
			copied.From = c.operand(m, n.From)
		}
		if n.To != nil {
			copied.To = c.operand(m, n.To)
		}
		return &copied
	case *ast.MemberNode:
		copied := *n
		copied.Node, copied.Property = c.operand(m, n.Node), c.operand(m, n.Property)
		return &copied
	}
	panic(fmt.Sprintf("BUG: expand of %T", n))
}

func (c *compiler) operand(m *machine, n ast.Node) ast.Node {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.BoolNode:
		return n
	}
	if isList(n) {
		return c.expand(m, n)
	}
	x := c.compile(n)
	name := fmt.Sprintf("operand%d", len(m.operands))
	m.operands, m.names = append(m.operands, x), append(m.names, name)
	if x.kind() == 0 {
		c.fail(n, "nil has no place here", "")
	}
	m.env[name] = sample(x.kind())
	return &ast.IdentifierNode{Value: name}
}

// isList tells whether n is a list, which has no column.
func isList(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.SliceNode:
		return isList(n.Node)
	case *ast.BuiltinNode:
		return n.Name == "split" || n.Name == "splitAfter"
	}
	return false
}

// sample returns a value of the type that the VM has for a kind.
func sample(k pipeline.Kind) any {
	switch k {
	case pipeline.Float:
		return 0.0
	case pipeline.Int:
		return int64(0)
	case pipeline.Bool:
		return false
	}
	return ""
}

// misfit tells why the checker does not take n.
func (m *machine) misfit(n ast.Node, err error) string {
	name := "[ ]"
	if b, ok := n.(*ast.BuiltinNode); ok {
		name = b.Name
	}
	var at *file.Error
	if errors.As(err, &at) && strings.Contains(at.Message, "arguments") {
		return "wrong number of values for " + name
	}
	var kinds []string
	for _, x := range m.operands {
		kinds = append(kinds, kindName(x.kind()))
	}
	return strings.TrimSpace(fmt.Sprintf("%s does not go with these values %s", name, strings.Join(kinds, ", ")))
}

func (m *machine) kind() pipeline.Kind { return m.is }

func (m *machine) eval(b *pipeline.Batch) *pipeline.Column {
	m.now = m.now[:0]
	for _, x := range m.operands {
		m.now = append(m.now, x.eval(b))
	}
	m.out.Kind = m.is
	m.out.Reset()
	for i := range b.Rows() {
		if !m.row(i) {
			m.out.AppendNull()
		}
	}
	return &m.out
}

// row computes row i; it returns false where there is no value.
func (m *machine) row(i int) bool {
	for k, x := range m.now {
		if !x.Has(i) {
			return false
		}
		m.env[m.names[k]] = value(x, i)
	}
	v, err := m.vm.Run(m.program, m.env)
	if err != nil {
		return false
	}
	switch v := v.(type) {
	case float64:
		m.out.AppendFloat(v)
	case int:
		m.out.AppendInt(int64(v))
	case int64:
		m.out.AppendInt(v)
	case bool:
		m.out.AppendBool(v)
	case string:
		if len(v) > TextBytesMax || !utf8.ValidString(v) {
			return false
		}
		m.out.AppendText([]byte(v))
	default:
		return false
	}
	return true
}

// value returns row i of c for the VM.
func value(c *pipeline.Column, i int) any {
	switch c.Kind {
	case pipeline.Float:
		return c.Floats[i]
	case pipeline.Int:
		return c.Ints[i]
	case pipeline.Bool:
		return c.Bools[i] != 0
	}
	return string(c.Text(i))
}
