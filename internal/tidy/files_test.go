package tidy

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

// A source is a Go file of the repository.
type source struct {
	path string // from the root, with slashes
	fset *token.FileSet
	*ast.File
}

func (s *source) dir() string           { return path.Dir(s.path) }
func (s *source) isTest() bool          { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) at(p token.Pos) string { return s.fset.Position(p).String() }
func (s *source) line(p token.Pos) int  { return s.fset.Position(p).Line }

// parse reads a Go file; src may be nil for the file on disk.
func parse(name string, src any) (*source, error) {
	s := &source{path: name, fset: token.NewFileSet()}
	if src == nil {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		src = b
	}
	var err error
	s.File, err = parser.ParseFile(s.fset, name, src, parser.ParseComments)
	return s, err
}

// listing is every file of the repository that is or will be committed.
var listing = sync.OnceValues(func() ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []string
	looked := map[string]bool{}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		if _, err := os.Stat(filepath.Join(root, string(name))); err == nil { // not deleted
			all = append(all, string(name))
		}
		for dir := path.Dir(string(name)); !looked[dir]; dir = path.Dir(dir) {
			looked[dir] = true
			os.ReadDir(filepath.Join(root, dir)) // so that go test knows when a file comes or goes
		}
	}
	return all, nil
})

var goFiles = sync.OnceValues(func() ([]*source, error) {
	names, err := listing()
	if err != nil {
		return nil, err
	}
	var all []*source
	for _, name := range names {
		if path.Ext(name) != ".go" {
			continue
		}
		s, err := parse(name, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
})

// files returns the files of the repository that end in ext; "" for all.
func files(t *testing.T, ext string) []string {
	t.Helper()
	names, err := listing()
	if err != nil {
		t.Fatal(err)
	}
	var some []string
	for _, name := range names {
		if strings.HasSuffix(name, ext) {
			some = append(some, name)
		}
	}
	return some
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// each lets a rule look at every Go file.
func each(t *testing.T, rule func(*source) []string) {
	t.Helper()
	all, err := goFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, found := range rule(s) {
			t.Error(found)
		}
	}
}
