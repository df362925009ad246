package expr

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	lang "github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"millrace.dev/millrace/pipeline"
)

// randomRows appends n rows, a quarter of the values absent if nils is set.
func randomRows(r *rand.Rand, b *pipeline.Batch, n int, nils bool) {
	floats := []float64{0, math.Copysign(0, -1), 1, -1, 2.5, 7, math.NaN(), math.Inf(1), math.Inf(-1), 1e300}
	ints := []int{0, 1, -1, 2, 7}
	if math.MaxInt > math.MaxInt32 { // else the VM's whole numbers wrap sooner than ours
		ints = append(ints, math.MaxInt, math.MinInt)
	}
	texts := []string{"", "a", "ab", "b", "é", "m1", "M1", " a ", "7", "a-b", "12345678", "compressor-17", "compressor-18", "a compressor in hall 17", "a compressor on hall 17"}
	for range n {
		var values []any
		for _, f := range schema {
			switch {
			case nils && r.IntN(4) == 0:
				values = append(values, nil)
			case f.Kind == pipeline.Float:
				values = append(values, floats[r.IntN(len(floats))])
			case f.Kind == pipeline.Int:
				values = append(values, ints[r.IntN(len(ints))])
			case f.Kind == pipeline.Bool:
				values = append(values, r.IntN(2) == 0)
			default:
				values = append(values, texts[r.IntN(len(texts))])
			}
		}
		add(b, values...)
	}
}

// A writer writes random expressions that expr-lang takes too.
type writer struct{ *rand.Rand }

func (w writer) one(of ...string) string { return of[w.IntN(len(of))] }

func (w writer) truth(d int) string {
	if d <= 0 {
		return w.one("b", "c", "true", "false", "(f > 1)", "(t == 'm1')")
	}
	switch w.IntN(9) {
	case 0, 1, 2:
		return fmt.Sprintf("(%s %s %s)", w.truth(d-1), w.one("and", "or", "&&", "||"), w.truth(d-1))
	case 3:
		return w.one("not ", "!") + "(" + w.truth(d-1) + ")"
	case 4:
		return fmt.Sprintf("(%s %s %s)", w.number(d-1), w.one("<", "<=", ">", ">=", "==", "!="), w.number(d-1))
	case 5:
		return fmt.Sprintf("(%s %s %s)", w.text(d-1), w.one("<", "<=", ">", ">=", "==", "!=", "contains", "startsWith", "endsWith"), w.text(d-1))
	case 6:
		return w.one(
			fmt.Sprintf("(%s in [1, 2.5, -1, 7])", w.number(d-1)), fmt.Sprintf("(%s in [1, 7, -1])", w.whole(d-1)), fmt.Sprintf("(%s not in ['a', 'm1'])", w.text(d-1)), fmt.Sprintf("(%s in ['a', '', 'compressor-17'])", w.text(d-1)), fmt.Sprintf("(%s in [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])", w.number(d-1)),
			fmt.Sprintf("(%s in ['1','2','3','4','5','6','7','8','a','b'])", w.text(d-1)), fmt.Sprintf("(%s in -1..7)", w.whole(d-1)), fmt.Sprintf("(%s in [f, g])", w.number(d-1)))
	case 7:
		return w.one(fmt.Sprintf("(%s matches '^[a-m]+')", w.text(d-1)), fmt.Sprintf("hasPrefix(%s, %s)", w.text(d-1), w.text(d-1)), fmt.Sprintf("(%s == %s)", w.truth(d-1), w.truth(d-1)))
	}
	return fmt.Sprintf("(%s ? %s : %s)", w.truth(d-1), w.truth(d-1), w.truth(d-1))
}

func (w writer) number(d int) string {
	if d <= 0 {
		return w.one("f", "g", "i", "j", "1", "2.5", "-7", "0")
	}
	switch w.IntN(5) {
	case 0, 1:
		return fmt.Sprintf("(%s %s %s)", w.number(d-1), w.one("+", "-", "*", "/", "**"), w.number(d-1))
	case 2:
		return fmt.Sprintf("%s(%s)", w.one("-", "abs", "ceil", "floor", "round", "float"), w.number(d-1))
	case 3:
		return fmt.Sprintf("%s(float(%s), float(%s))", w.one("min", "max"), w.number(d-1), w.number(d-1)) // the VM has no common type for mixed ones
	}
	return w.whole(d)
}

func (w writer) whole(d int) string {
	if d <= 0 {
		return w.one("i", "j", "3", "-1")
	}
	switch w.IntN(5) {
	case 0:
		return fmt.Sprintf("len(%s)", w.text(d-1))
	case 3:
		return fmt.Sprintf("%s(%s, %s)", w.one("min", "max"), w.whole(d-1), w.whole(d-1))
	case 1:
		return fmt.Sprintf("(%s %% %s)", w.whole(d-1), w.whole(d-1))
	case 2:
		return fmt.Sprintf("(%s ? %s : %s)", w.truth(d-1), w.whole(d-1), w.whole(d-1))
	}
	return fmt.Sprintf("(%s %s %s)", w.whole(d-1), w.one("+", "-", "*"), w.whole(d-1))
}

func (w writer) text(d int) string {
	if d <= 0 {
		return w.one("s", "t", "s", "t", "'a'", "'m1'", "''", "'12345678'", "'compressor-17'", "'a compressor in hall 17'")
	}
	switch w.IntN(4) {
	case 0:
		return fmt.Sprintf("(%s + %s)", w.text(d-1), w.text(d-1))
	case 1:
		return fmt.Sprintf("%s(%s)", w.one("upper", "lower", "trim"), w.text(d-1))
	case 2:
		return fmt.Sprintf("string(%s)", w.whole(d-1))
	}
	return fmt.Sprintf("replace(%s, 'a', %s)", w.text(d-1), w.text(d-1))
}

// any adds what only makes sense with nils.
func (w writer) any(d int) string {
	switch w.IntN(5) {
	case 0:
		return fmt.Sprintf("(%s == nil)", w.number(d))
	case 1:
		return fmt.Sprintf("(%s != nil or %s)", w.text(d), w.any(d-1))
	case 2:
		return w.one(fmt.Sprintf("((float(%s) ?? float(%s)) > %s)", w.number(d), w.number(d), w.number(d)), fmt.Sprintf("((%s ?? %s) > %s)", w.whole(d), w.whole(d), w.number(d)))
	case 3:
		return fmt.Sprintf("((%s ?? %s) and %s)", w.truth(d), w.truth(d), w.truth(d))
	}
	return w.truth(d)
}

func sameValue(x, y any) bool {
	number := func(v any) (f float64, n int64, ok bool) {
		switch v := v.(type) {
		case float64:
			return v, 0, true
		case int:
			return float64(v), int64(v), true
		case int64:
			return float64(v), v, true
		}
		return 0, 0, false
	}
	fx, nx, okX := number(x)
	fy, ny, okY := number(y)
	if okX && okY {
		return nx == ny && fx == fy || fx == fy && nx*ny == 0 || fx != fx && fy != fy
	}
	return x == y
}

func environment(b *pipeline.Batch, i int) map[string]any {
	env := map[string]any{}
	for k := range b.Columns[:8] {
		env[b.Columns[k].Name] = at(&b.Columns[k], i)
	}
	return env
}

func TestKernelsComputeWhatTheVMDoes(t *testing.T) {
	r := seeded(t)
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	randomRows(r, b, 100, false)
	compared := 0
	for range 1500 {
		w := writer{r}
		src := w.one(w.truth(3), w.number(3), w.text(3))
		program, err := lang.Compile(src, lang.Env(environment(b, 0)))
		if err != nil && strings.Contains(err.Error(), "divide by zero") {
			continue // it computes constants early; for us they are nil
		}
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		got := mustCompile(t, src).Eval(b)
		for i := range b.Rows() {
			want, err := vm.Run(program, environment(b, i))
			if err != nil {
				continue
			}
			compared++
			if !sameValue(at(got, i), want) {
				t.Fatalf("%s: %v: got %v, want %v", src, environment(b, i), at(got, i), want)
			}
		}
	}
	if compared < 100_000 {
		t.Errorf("got only %d comparisons", compared)
	}
}

// An oracle computes an expression with nils for one row: logic, nil and
// choices by the rules of SQL, written down here once more, everything else by
// expr-lang's VM on values that are there.
type oracle struct{ programs map[ast.Node]*vm.Program }

func (o *oracle) value(n ast.Node, env map[string]any) any {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return env[n.Value]
	case *ast.NilNode:
		return nil
	case *ast.UnaryNode:
		if v := o.value(n.Node, env); v == nil {
			return nil
		}
	case *ast.ConditionalNode:
		switch o.value(n.Cond, env) {
		case true:
			return o.value(n.Exp1, env)
		case false:
			return o.value(n.Exp2, env)
		}
		return nil
	case *ast.BinaryNode:
		if v, ok := o.logic(n, env); ok {
			return v
		}
	}
	return o.run(n, env)
}

func (o *oracle) logic(n *ast.BinaryNode, env map[string]any) (v any, ok bool) {
	_, nilRight := n.Right.(*ast.NilNode)
	x := o.value(n.Left, env)
	switch {
	case n.Operator == "??" && x != nil:
		return x, true
	case n.Operator == "??":
		return o.value(n.Right, env), true
	case n.Operator == "==" && nilRight:
		return x == nil, true
	case n.Operator == "!=" && nilRight:
		return x != nil, true
	}
	decides := n.Operator == "or" || n.Operator == "||"
	if !decides && n.Operator != "and" && n.Operator != "&&" {
		return nil, false
	}
	y := o.value(n.Right, env)
	switch {
	case x == decides || y == decides:
		return decides, true
	case x == nil || y == nil:
		return nil, true
	}
	return !decides, true
}

// run computes n from the values of its operands, nil if one is nil.
func (o *oracle) run(n ast.Node, env map[string]any) any {
	operands := map[string]any{}
	replace := func(x ast.Node) ast.Node {
		switch x := x.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			return x
		case *ast.ArrayNode:
			if _, ok := x.Nodes[0].(*ast.IdentifierNode); !ok {
				return x
			}
			operands["f"], operands["g"] = env["f"], env["g"] // in [f, g]
			return x
		case *ast.BinaryNode:
			if x.Operator == ".." {
				return x
			}
		}
		name := fmt.Sprintf("x%d", len(operands))
		operands[name] = o.value(x, env)
		return &ast.IdentifierNode{Value: name}
	}
	switch x := n.(type) {
	case *ast.UnaryNode:
		copied := *x
		copied.Node = replace(x.Node)
		n = &copied
	case *ast.BinaryNode:
		copied := *x
		copied.Left, copied.Right = replace(x.Left), replace(x.Right)
		n = &copied
	case *ast.BuiltinNode:
		copied := *x
		copied.Arguments = nil
		for _, a := range x.Arguments {
			copied.Arguments = append(copied.Arguments, replace(a))
		}
		n = &copied
	}
	if v, known := inPair(n, operands); known {
		return v
	}
	for _, v := range operands {
		if v == nil {
			return nil
		}
	}
	v, err := lang.Eval(n.String(), operands)
	if err != nil {
		return nil
	}
	return v
}

// inPair computes x in [f, g], which is x == f or x == g.
func inPair(n ast.Node, operands map[string]any) (v any, known bool) {
	in, ok := n.(*ast.BinaryNode)
	if _, pair := operands["g"]; !ok || !pair {
		return nil, false
	}
	x := operands["x0"]
	if _, constant := in.Left.(*ast.IdentifierNode); !constant {
		x, _ = lang.Eval(in.Left.String(), nil)
	}
	unknown := x == nil
	for _, y := range []any{operands["f"], operands["g"]} {
		if x == nil || y == nil {
			unknown = true
		} else if equal, _ := lang.Eval("x == y", map[string]any{"x": x, "y": y}); equal == true {
			return true, true
		}
	}
	if unknown {
		return nil, true
	}
	return false, true
}

func TestKernelsTreatNilLikeSQL(t *testing.T) {
	r := seeded(t)
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	randomRows(r, b, 20, true)
	for range 400 {
		src := writer{r}.any(2)
		tree, err := parser.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		p := mustCompile(t, src)
		got := p.Eval(b)
		if len(got.Valid) != 0 && len(got.Valid) != (b.Rows()+7)/8 {
			t.Fatalf("%s: got %d bytes of validity", src, len(got.Valid))
		}
		for i := range b.Rows() {
			want := (&oracle{}).value(tree.Node, environment(b, i))
			if !sameValue(at(got, i), want) {
				t.Fatalf("%s: %v: got %v, want %v", src, environment(b, i), at(got, i), want)
			}
			if !got.Has(i) && got.Bools[i] != 0 {
				t.Fatalf("%s: got a nil that is stored as true", src)
			}
		}
	}
}
