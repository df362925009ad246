package builtin_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/functions/builtin"
)

// The compiler is part of the claim: another version builds other bytes, and
// the script's words, shown here, say which one to install.
func TestTheModulesAreWhatTheSourcesSay(t *testing.T) {
	dir := t.TempDir()
	said, err := exec.Command("../../scripts/functions.sh", "-o", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("scripts/functions.sh: %v\n%s", err, said)
	}
	sources, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		name := strings.TrimSuffix(source, ".c")
		built, err := os.ReadFile(filepath.Join(dir, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		committed, ok := builtin.Lookup(name)
		if !ok || !bytes.Equal(built, committed) {
			t.Errorf("%s.wasm is not what %s builds to: run make functions and commit the result\n%s", name, source, said)
		}
	}
	modules, err := filepath.Glob("*.wasm")
	if err != nil || len(modules) != len(sources) {
		t.Errorf("%d modules from %d sources (%v)", len(modules), len(sources), err)
	}
}

func TestOnlyFunctionsAreFound(t *testing.T) {
	want := []string{"rate-of-change", "threshold", "zscore"}
	if got := builtin.Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %v, want %v", got, want)
	}
	for _, name := range append(want, "window") {
		if wasm, ok := builtin.Lookup(name); !ok || !bytes.HasPrefix(wasm, []byte("\x00asm")) {
			t.Errorf("Lookup(%q): %v, %d bytes", name, ok, len(wasm))
		}
	}
	for _, name := range []string{"", ".", "z-score", "../builtin/zscore", "zscore.wasm", "/zscore", "zscore\x00"} {
		if _, ok := builtin.Lookup(name); ok {
			t.Errorf("Lookup(%q) found something", name)
		}
	}
}
