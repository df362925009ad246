package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what comes out into testdata and docs")

// TestEveryMistakeIsToldWithItsPlace reads each bad file of testdata; the .txt
// beside it has what a user sees.
func TestEveryMistakeIsToldWithItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, path := range files {
		_, err := Load(path)
		var ps Problems
		if !errors.As(err, &ps) {
			t.Errorf("%s: got %v, want problems", path, err)
			continue
		}
		checkPlaces(t, path, ps)
		checkGolden(t, strings.TrimSuffix(path, ".yaml")+".txt", ps.Report()+"\n")
	}
}

func checkGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(go test -update ./internal/config writes it)", path, got, want)
	}
}

// checkPlaces makes sure that every problem is inside its file.
func checkPlaces(t *testing.T, path string, ps Problems) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := splitLines(strings.TrimPrefix(string(src), "\ufeff"))
	for _, p := range ps {
		if !inside(p, lines) {
			t.Errorf("got a problem outside of the file: %v", p)
		}
	}
}

func inside(p Problem, lines []string) bool {
	if p.Line == 0 {
		return p.Col == 0
	}
	return p.Line <= len(lines) && p.Col >= 1 && p.Col <= len([]rune(lines[p.Line-1]))+1
}
