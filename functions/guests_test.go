package functions

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// guests are C sources by name: lines of macros, then a file of testdata.
func guests() map[string][2]string {
	all := map[string][2]string{"hostile": {"", "hostile.c"}, "liar": {"", "liar.c"}, "texts": {"", "texts.c"}, "again": {"", "again.c"},
		"texts-raw": {"#define RAW true\n", "texts.c"}, "texts-2": {"#define VERSION 2\n", "texts.c"}}
	for name, macro := range map[string]string{
		"alloc-zero":    `LIE_ALLOC 0`,
		"alloc-odd":     `LIE_ALLOC (top + 1)`,
		"alloc-outside": `LIE_ALLOC 0xfffffff8u`,
		"alloc-past":    `LIE_ALLOC (__builtin_wasm_memory_size(0) * 65536 - 8)`,
		"alloc-twice":   `LIE_ALLOC top`,
		"alloc-trap":    `LIE_ALLOC (calls > 1 ? (__builtin_trap(), 0) : top)`,
		"alloc-short":   `LIE_ALLOC (calls > 1 ? 0 : top)`,
		"state-small":   `LIE_STATE 4`,
		"state-large":   `LIE_STATE 0x7fffffff`,
		"state-trap":    `LIE_STATE (__builtin_trap(), 0)`,
		"init-refuses":  `LIE_INIT (say(3, "p must be even", 14), -1)`,
		"init-silent":   `LIE_INIT -7`,
		"init-loops":    `LIE_INIT ({ for (;;) calls++; 0; })`,
		"log-outside":   `LIE_INIT (say(3, (const char *)0xfffffff0u, 400), 0)`,
		"far-manifest":  `LIE_DESCRIBE 0xfffffff000000100ull`,
		"no-json":       `LIE_MANIFEST "hello"`,
	} {
		all[name] = [2]string{"#define " + macro + "\n", "liar.c"}
	}
	return all
}

// built compiles all guests at once, into a folder of which only the bytes stay.
var built = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "guests")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	args := []string{"-o", dir}
	for name, g := range guests() {
		source, err := os.ReadFile(filepath.Join("testdata", g[1]))
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, name+".c")
		if err := os.WriteFile(file, append([]byte(g[0]), source...), 0o600); err != nil {
			return nil, err
		}
		args = append(args, file)
	}
	if said, err := exec.Command("../scripts/functions.sh", args...).CombinedOutput(); err != nil {
		return nil, &exec.Error{Name: string(said), Err: err}
	}
	all := map[string][]byte{}
	for name := range guests() {
		if all[name], err = os.ReadFile(filepath.Join(dir, name+".wasm")); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// guest returns the module that a C source builds to.
func guest(t testing.TB, name string) []byte {
	t.Helper()
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return all[name]
}

func loadGuest(t testing.TB, r *Runtime, name string) *Module {
	t.Helper()
	m, err := r.Load(t.Context(), name, guest(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkError checks that err has what a user needs.
func checkError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %q, want %q in it", err, w)
		}
	}
}
