package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse holds that any bytes give a file or problems inside the file, and
// that problems can be found at any path of it.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../../configs/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	for _, m := range mistakes {
		f.Add([]byte("pipelines:\n p:\n  " + m.src))
	}
	for _, src := range hostile() {
		f.Add([]byte(src[:200]))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := Parse("f", src)
		lines := splitLines(strings.TrimPrefix(string(src), "\ufeff"))
		var ps Problems
		if file != nil {
			for path, n := range file.src.values {
				for _, column := range []int{0, 1, len(n.Value) / 2, len(n.Value), len(n.Value) + 1} {
					ps = append(ps, file.ProblemAt(path, column, "x", "y"), file.Problem(path+"#key", "x", "y"))
				}
			}
		}
		var told Problems
		if err != nil && !errors.As(err, &told) {
			t.Fatalf("got %v, want problems", err)
		}
		ps = append(ps, told...)
		ps.Sort()
		_ = ps.Report()
		for _, p := range ps {
			if !inside(p, lines) {
				t.Fatalf("got a problem outside of the file: %d:%d", p.Line, p.Col)
			}
			if p.Line == 0 && err == nil {
				t.Fatal("got a problem without a place")
			}
		}
	})
}
