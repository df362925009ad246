// Package builtin holds the functions that come with millrace, compiled to
// WebAssembly. Their sources are the .c files beside this one; `make functions`
// builds them, and the bytes are the same on every machine with that compiler.
package builtin

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.wasm
var files embed.FS

// Lookup returns the module of the function called name, such as zscore. The
// caller must not change it.
func Lookup(name string) (wasm []byte, ok bool) {
	if !fs.ValidPath(name) {
		return nil, false
	}
	wasm, err := files.ReadFile(name + ".wasm")
	return wasm, err == nil
}

// Names returns the functions that a pipeline may name, in order. The window
// function is not among them, as the step `window:` runs it.
func Names() []string {
	found, err := fs.Glob(files, "*.wasm")
	if err != nil {
		panic("BUG: " + err.Error()) // only a malformed pattern fails
	}
	for i, file := range found {
		found[i] = strings.TrimSuffix(file, ".wasm")
	}
	return slices.DeleteFunc(found, func(name string) bool { return name == "window" })
}
