package expr

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"millrace.dev/millrace/pipeline"
)

// Infer returns the names of columns in src and the kinds that their use
// suggests: compared with a number or computed with, Float; compared with a
// text or searched, Text; alone or beside and, or, not, Bool; without any
// clue, Float. The error is an *Error.
func Infer(src string) (map[string]pipeline.Kind, error) {
	parsed, err := parse(src)
	if err != nil {
		return nil, err
	}
	in := inference{kinds: map[string]pipeline.Kind{}}
	for known := -1; known != in.known; { // until nothing new is learnt
		known, in.parts = in.known, 0
		in.visit(parsed.tree, pipeline.Bool)
	}
	if in.parts > partsMax {
		return nil, &Error{Msg: "the expression has too many parts"}
	}
	for name, k := range in.kinds {
		if k == 0 {
			in.kinds[name] = pipeline.Float
		}
	}
	return in.kinds, nil
}

// An inference is what is known of the columns' kinds; 0 is not yet.
type inference struct {
	kinds  map[string]pipeline.Kind
	known  int
	parts  int
	locals []string // names that let has made
}

// visit learns from n, which should be of kind want if that is not 0, and
// returns n's kind if that is known.
func (in *inference) visit(n ast.Node, want pipeline.Kind) pipeline.Kind {
	if in.parts++; in.parts > partsMax || n == nil {
		return 0
	}
	if name, ok := columnName(n); ok {
		return in.name(name, want)
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return pipeline.Float
	case *ast.StringNode:
		return pipeline.Text
	case *ast.BoolNode:
		return pipeline.Bool
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return in.all(pipeline.Bool, n.Node)
		}
		return in.all(pipeline.Float, n.Node)
	case *ast.BinaryNode:
		return in.binary(n, want)
	case *ast.ConditionalNode:
		in.visit(n.Cond, pipeline.Bool)
		return in.alike(want, n.Exp1, n.Exp2)
	case *ast.VariableDeclaratorNode:
		in.visit(n.Value, 0)
		in.locals = append(in.locals, n.Name)
		defer func() { in.locals = in.locals[:len(in.locals)-1] }()
		return in.visit(n.Expr, want)
	case *ast.BuiltinNode:
		return in.call(n)
	case *ast.CallNode:
		return in.all(0, n.Arguments...)
	case *ast.MemberNode:
		in.visit(n.Property, pipeline.Float)
		return in.visit(n.Node, 0)
	case *ast.SliceNode:
		in.all(pipeline.Float, n.From, n.To)
		return in.all(pipeline.Text, n.Node)
	case *ast.ArrayNode:
		return in.alike(0, n.Nodes...)
	}
	return 0
}

func (in *inference) name(name string, want pipeline.Kind) pipeline.Kind {
	if slices.Contains(in.locals, name) {
		return 0
	}
	if in.kinds[name] == 0 {
		in.kinds[name] = want
		if want != 0 {
			in.known++
		}
	}
	return in.kinds[name]
}

// all visits nodes that are of kind k.
func (in *inference) all(k pipeline.Kind, nodes ...ast.Node) pipeline.Kind {
	for _, n := range nodes {
		in.visit(n, k)
	}
	return k
}

// alike visits nodes that are of one kind, whatever it is. What one of them
// tells is passed on to those that told nothing.
func (in *inference) alike(want pipeline.Kind, nodes ...ast.Node) pipeline.Kind {
	var silent []ast.Node
	for _, n := range nodes {
		if k := in.visit(n, want); k == 0 {
			silent = append(silent, n)
		} else if want == 0 {
			want = k
		}
	}
	if want != 0 {
		in.all(want, silent...)
	}
	return want
}

func (in *inference) binary(n *ast.BinaryNode, want pipeline.Kind) pipeline.Kind {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return in.all(pipeline.Bool, n.Left, n.Right)
	case "==", "!=", "<", "<=", ">", ">=", "in":
		in.alike(0, n.Left, n.Right)
		return pipeline.Bool
	case "contains", "startsWith", "endsWith", "matches":
		in.all(pipeline.Text, n.Left, n.Right)
		return pipeline.Bool
	case "??":
		return in.alike(want, n.Left, n.Right)
	case "+":
		if want == pipeline.Bool {
			want = 0
		}
		if k := in.alike(want, n.Left, n.Right); k != 0 {
			return k
		}
	}
	return in.all(pipeline.Float, n.Left, n.Right)
}

func (in *inference) call(n *ast.BuiltinNode) pipeline.Kind {
	switch n.Name {
	case "abs", "ceil", "floor", "round", "min", "max":
		return in.all(pipeline.Float, n.Arguments...)
	case "string":
		in.all(0, n.Arguments...)
		return pipeline.Text
	case "len", "int", "float", "indexOf", "lastIndexOf":
		in.all(pipeline.Text, n.Arguments...)
		return pipeline.Float
	case "hasPrefix", "hasSuffix":
		in.all(pipeline.Text, n.Arguments...)
		return pipeline.Bool
	case "split", "splitAfter", "first", "last":
		in.all(pipeline.Text, n.Arguments...)
		return 0
	case "join":
		in.all(pipeline.Text, n.Arguments...)
		return pipeline.Text
	}
	return in.all(pipeline.Text, n.Arguments...)
}
