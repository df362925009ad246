package script

import (
	"flag"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
)

var update = flag.Bool("update", false, "write what comes out into the scripts")

// TestTheScriptsOfTestdataRun runs each script of testdata, as millrace test does.
func TestTheScriptsOfTestdataRun(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %d scripts, %v", len(paths), err)
	}
	for _, path := range paths {
		f, err := config.Load(strings.TrimSuffix(path, "txtar") + "yaml")
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		rt, err := node.NewRuntime(t.Context(), f, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), f, rt, path, *update); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		rt.Close(t.Context())
	}
}
