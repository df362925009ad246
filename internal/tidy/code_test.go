package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTheCoreTouchesNothingOutside(t *testing.T) { each(t, impure) }

// impure finds what the core may not do: reach the outside, start anything, or
// ask the time, which is given to it.
func impure(s *source) []string {
	if s.isTest() || s.dir() != "pipeline" && !strings.HasPrefix(s.dir(), "pipeline/") {
		return nil
	}
	var found []string
	for _, imp := range s.Imports {
		name, _ := strconv.Unquote(imp.Path.Value)
		for _, door := range []string{"os", "net", "sync", "math/rand", "crypto/rand", "syscall", "log", "unsafe", "runtime", "C"} {
			if name == door || strings.HasPrefix(name, door+"/") {
				found = append(found, fmt.Sprintf("%s: imports %s; the core takes data and time as arguments", s.at(imp.Pos()), name))
			}
		}
	}
	ast.Inspect(s.File, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			found = append(found, s.at(x.Pos())+": starts a goroutine; the core is called by one")
		case *ast.SelectorExpr:
			clocks := []string{"Now", "Since", "Until", "After", "Sleep", "NewTimer", "NewTicker", "Tick", "AfterFunc"}
			if id, ok := x.X.(*ast.Ident); ok && id.Name == "time" && slices.Contains(clocks, x.Sel.Name) {
				found = append(found, fmt.Sprintf("%s: uses time.%s; the core is told the time", s.at(x.Pos()), x.Sel.Name))
			}
		}
		return true
	})
	return found
}

func TestFilesAndFunctionsAreShort(t *testing.T) { each(t, long) }

const (
	fileLinesMax         = 500
	functionLinesMax     = 70
	testFunctionLinesMax = 120
)

func long(s *source) []string {
	var found []string
	if n := s.line(s.FileEnd - 1); n > fileLinesMax {
		found = append(found, fmt.Sprintf("%s: %d lines, the most is %d", s.path, n, fileLinesMax))
	}
	most := functionLinesMax
	if s.isTest() {
		most = testFunctionLinesMax
	}
	for _, d := range s.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > most {
			found = append(found, fmt.Sprintf("%s: %s has %d lines, the most is %d", s.at(f.Pos()), f.Name.Name, n, most))
		}
		if f.Recv == nil && f.Name.Name == "init" {
			found = append(found, s.at(f.Pos())+": an init function; say it where it is used")
		}
	}
	return found
}

func TestEveryExportedNameHasAComment(t *testing.T) { each(t, silent) }

func silent(s *source) []string {
	if s.isTest() {
		return nil
	}
	var found []string
	missing := func(id *ast.Ident, docs ...*ast.CommentGroup) {
		if id.IsExported() && !slices.ContainsFunc(docs, func(c *ast.CommentGroup) bool { return c != nil }) {
			found = append(found, fmt.Sprintf("%s: %s has no comment: what is it, what does it promise, what does it ask?", s.at(id.Pos()), id.Name))
		}
	}
	for _, d := range s.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if receiverIsExported(d) {
				missing(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch x := spec.(type) {
				case *ast.TypeSpec:
					missing(x.Name, d.Doc, x.Doc, x.Comment)
				case *ast.ValueSpec:
					for _, id := range x.Names {
						missing(id, d.Doc, x.Doc, x.Comment)
					}
				}
			}
		}
	}
	return found
}

func receiverIsExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	x := f.Recv.List[0].Type
	for {
		switch t := x.(type) {
		case *ast.StarExpr:
			x = t.X
		case *ast.IndexExpr:
			x = t.X
		case *ast.IndexListExpr:
			x = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

// plant returns the findings of a rule in a package of one file.
func plant(t *testing.T, rule func(*source) []string, name, body string) []string {
	t.Helper()
	s, err := parse(name, "package p\n"+body)
	if err != nil {
		t.Fatal(err)
	}
	return rule(s)
}

func TestPlantedFaultsAreFound(t *testing.T) {
	lines := func(n int) string { return "func f() {\n" + strings.Repeat("\n", n-2) + "}" }
	for _, c := range []struct {
		rule func(*source) []string
		name string
		body string
		want int
	}{
		{impure, "pipeline/a.go", `import "os"`, 1},
		{impure, "pipeline/topics/a.go", `import "sync/atomic"`, 1},
		{impure, "pipeline/a.go", `import "net/url"; import r "math/rand/v2"`, 2},
		{impure, "pipeline/a.go", `import "time"; var x = time.Now`, 1},
		{impure, "pipeline/a.go", `import "time"; const x = time.Second`, 0},
		{impure, "pipeline/a.go", `func f() { go f() }`, 1},
		{impure, "pipeline/a_test.go", `import "os"`, 0},
		{impure, "pipelines/a.go", `import "os"`, 0},
		{long, "a.go", lines(functionLinesMax), 0},
		{long, "a.go", lines(functionLinesMax + 1), 1},
		{long, "a_test.go", lines(testFunctionLinesMax), 0},
		{long, "a_test.go", lines(testFunctionLinesMax + 1), 1},
		{long, "a.go", strings.Repeat("\n", fileLinesMax-2) + "//", 0},
		{long, "a.go", strings.Repeat("\n", fileLinesMax-1) + "//", 1},
		{long, "a.go", "func init() {}\ntype t int\nfunc (t) init() {}", 1},
		{silent, "a.go", "func F() {}\ntype T int\nvar V, w int\nconst C = 1", 4},
		{silent, "a.go", "// F does.\nfunc F() {}\nconst (\n C = 1 // is\n D = 2\n)\n", 1},
		{silent, "a.go", "// T is.\ntype T[K any] int\nfunc (t *T[K]) M() {}\ntype u int\nfunc (u) M() {}", 1},
		{silent, "a_test.go", "func F() {}", 0},
		{mutable, "a.go", `var x int`, 1},
		{mutable, "a.go", `var x = 1; func f() { x = 2 }`, 1},
		{mutable, "a.go", `var x = 1; func f() { x++ }`, 1},
		{mutable, "a.go", `var x = 1; func f() { p := &x; *p = 2 }`, 1},
		{mutable, "a.go", `var x = 1; func f() { x := 2; x = 3; _ = x }`, 0},
		{mutable, "a.go", `var x = map[int]int{}; func f() { x[1] = 2; delete(x, 1) }`, 2},
		{mutable, "a.go", `var x = [2]int{}; func f() { for x[0] = range 3 {} }`, 1},
		{mutable, "a.go", `var x = struct{ n int }{}; func f() { x.n += 2 }`, 1},
		{mutable, "a.go", `import "sync"; var x sync.Mutex; var y = sync.OnceValue(f); func f() int { return 1 }`, 2},
		{mutable, "a.go", `var x = make(chan int); var y = new(int)`, 2},
		{mutable, "a.go", `var _ any = 1; func f() { _ = 2 }`, 0},
		{mutable, "a.go", `import "errors"; var errX = errors.New("x"); var _ interface{} = (*int)(nil)`, 0},
		{mutable, "a.go", "import _ \"embed\"\n//go:embed a.wasm\nvar x []byte", 0},
		{mutable, "a_test.go", `var x int`, 0},
	} {
		if got := plant(t, c.rule, c.name, c.body); len(got) != c.want {
			t.Errorf("%s: %.60q: got %q, want %d", c.name, c.body, got, c.want)
		}
	}
}

func TestNothingOfAPackageChanges(t *testing.T) {
	all, err := goFiles()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string][]*source{}
	for _, s := range all {
		if !s.isTest() {
			packages[s.dir()] = append(packages[s.dir()], s)
		}
	}
	for _, files := range packages {
		for _, found := range changing(files) {
			t.Error(found)
		}
	}
}

// mutable is changing for a package of one file.
func mutable(s *source) []string {
	if s.isTest() {
		return nil
	}
	return changing([]*source{s})
}

// changing finds variables of a package that are made to change: those without
// a value, those with a lock or channel inside, and those that a function
// assigns to or takes the address of. Errors, regular expressions and tables
// that are only read are fine.
func changing(files []*source) []string {
	var found []string
	vars := map[string]*ast.ValueSpec{}
	for _, s := range files {
		for _, d := range s.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for _, id := range v.Names {
					vars[id.Name] = v
				}
				if why := madeToChange(g, v); why != "" {
					found = append(found, fmt.Sprintf("%s: %s %s; keep it in a struct that somebody owns", s.at(v.Pos()), v.Names[0].Name, why))
				}
			}
		}
	}
	for _, s := range files {
		found = append(found, assignments(s, vars)...)
	}
	return found
}

// madeToChange says why a variable can only be there to be changed, or "".
func madeToChange(g *ast.GenDecl, v *ast.ValueSpec) string {
	isEmbedded := func(doc *ast.CommentGroup) bool {
		return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
	}
	if len(v.Values) == 0 && v.Names[0].Name != "_" && !isEmbedded(g.Doc) && !isEmbedded(v.Doc) {
		return "has no value yet"
	}
	why := ""
	ast.Inspect(v, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok && (id.Name == "sync" || id.Name == "atomic") {
				why = "holds " + id.Name + "." + x.Sel.Name
			}
		case *ast.CallExpr:
			if id, ok := x.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
				why = "is made empty"
			}
		}
		return true
	})
	return why
}

// assignments finds where functions change variables of the package.
func assignments(s *source, vars map[string]*ast.ValueSpec) []string {
	var found []string
	change := func(x ast.Expr, how string) {
		id := base(x)
		if id == nil || id.Name == "_" || vars[id.Name] == nil || id.Obj != nil && id.Obj.Decl != vars[id.Name] {
			return // a local one
		}
		found = append(found, fmt.Sprintf("%s: %s %s, a variable of the package; keep it in a struct that somebody owns", s.at(x.Pos()), how, id.Name))
	}
	ast.Inspect(s.File, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			for _, left := range x.Lhs {
				change(left, "assigns to")
			}
		case *ast.IncDecStmt:
			change(x.X, "assigns to")
		case *ast.RangeStmt:
			if x.Tok == token.ASSIGN {
				change(x.Key, "assigns to")
			}
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				change(x.X, "takes the address of")
			}
		case *ast.CallExpr:
			if id, ok := x.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(x.Args) > 0 {
				change(x.Args[0], "empties")
			}
		}
		return true
	})
	return found
}

// base returns the variable that an expression is a part of, or nil.
func base(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.IndexExpr:
			x = e.X
		case *ast.SelectorExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		default:
			return nil
		}
	}
}
