package functions

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// ModuleBytesMax is the largest module that is loaded.
const ModuleBytesMax = 64 << 20

// A Module is the compiled code of a function. It is shared by its instances.
type Module struct {
	name     string
	hash     [sha256.Size]byte
	runtime  *Runtime
	engine   *engine
	compiled wazero.CompiledModule
	shape    shape
	manifest Manifest
	tables   map[string]bool // which optional exports there are
}

// Exports of ABI 1: docs/functions.md.
const (
	exportMemory     = "memory"
	exportInitialize = "_initialize"
	exportAlloc      = "mr1_alloc"
	exportDescribe   = "mr1_describe"
	exportState      = "mr1_state"
	exportInit       = "mr1_init"
	exportFrame      = "mr1_frame"
	exportMerge      = "mr1_merge"
)

// An export that the ABI knows, and its signature.
type export struct {
	name         string
	takes, gives []api.ValueType
	optional     bool
}

func abi() []export {
	i32, i64 := []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}
	return []export{
		{exportAlloc, i32, i32, false}, {exportDescribe, nil, i64, false}, {exportState, nil, i32, false},
		{exportFrame, i32, i32, false}, {exportInit, i32, i32, true}, {exportInitialize, nil, nil, true},
		{exportMerge, slices.Repeat(i32, 3), i32, true},
	}
}

// Load checks and compiles a module and reads its manifest. Name is what the
// pipeline calls it; it is in every error.
func (r *Runtime) Load(ctx context.Context, name string, wasm []byte) (*Module, error) {
	m := &Module{name: name, runtime: r, hash: sha256.Sum256(wasm)}
	if err := m.load(ctx, wasm); err != nil {
		return nil, fmt.Errorf("function %s: %w", name, err)
	}
	return m, nil
}

func (m *Module) load(ctx context.Context, wasm []byte) error {
	if len(wasm) > ModuleBytesMax {
		return fmt.Errorf("the module has %d bytes, the most is %d", len(wasm), ModuleBytesMax)
	}
	rewritten, s, err := rewrite(wasm)
	if err != nil {
		return err
	}
	m.shape = s
	if m.engine, m.compiled, err = m.runtime.compile(ctx, rewritten); err != nil {
		return fmt.Errorf("is not valid WebAssembly: %s", firstLine(err))
	}
	if err = m.checkImports(ctx); err == nil {
		err = m.checkExports()
	}
	if err == nil {
		err = m.describe(ctx)
	}
	if err != nil {
		m.compiled.Close(ctx) // nothing is made of it, so nothing can fail to end
	}
	return err
}

func (m *Module) checkImports(ctx context.Context) error {
	i32 := api.ValueTypeI32
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		takes, gives := []api.ValueType{i32, i32, i32}, []api.ValueType(nil)
		switch {
		case module == hostModule && name == fuelImport:
			continue // checked by the rewrite
		case module == hostModule && name == "log":
		case module == hostModule:
			return fmt.Errorf("imports %s.%s, which does not exist\n\thint: there is %s.log", module, name, hostModule)
		case module == wasi_snapshot_preview1.ModuleName:
			wasi, err := m.runtime.wasi(ctx, m.engine)
			if err != nil {
				return err
			}
			d := wasi[name]
			if d == nil {
				return fmt.Errorf("imports %s.%s, which does not exist", module, name)
			}
			takes, gives = d.ParamTypes(), d.ResultTypes()
		default:
			return fmt.Errorf("imports %s.%s, which does not exist\n\thint: a function may import %s.log and WASI preview 1, nothing else", module, name, hostModule)
		}
		if !slices.Equal(f.ParamTypes(), takes) || !slices.Equal(f.ResultTypes(), gives) {
			return fmt.Errorf("imports %s.%s as %s, but it is %s", module, name, signature(f.ParamTypes(), f.ResultTypes()), signature(takes, gives))
		}
	}
	return nil
}

func (m *Module) checkExports() error {
	found := m.compiled.ExportedFunctions()
	var missing []string
	if len(m.compiled.ExportedMemories()) != 1 || m.compiled.ExportedMemories()[exportMemory] == nil {
		missing = append(missing, exportMemory)
	}
	m.tables = map[string]bool{}
	for _, e := range abi() {
		f, ok := found[e.name]
		m.tables[e.name] = ok
		switch {
		case !ok && !e.optional:
			missing = append(missing, e.name)
		case ok && (!slices.Equal(f.ParamTypes(), e.takes) || !slices.Equal(f.ResultTypes(), e.gives)):
			return fmt.Errorf("exports %s as %s; it must be %s", e.name, signature(f.ParamTypes(), f.ResultTypes()), signature(e.takes, e.gives))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("does not export %s\n\thint: docs/functions.md says what a function must export", strings.Join(missing, ", "))
	}
	return nil
}

func signature(takes, gives []api.ValueType) string {
	list := func(types []api.ValueType) string {
		var names []string
		for _, t := range types {
			names = append(names, api.ValueTypeName(t))
		}
		return "(" + strings.Join(names, ", ") + ")"
	}
	return list(takes) + " → " + list(gives)
}

// What an instance may have that is only asked for its manifest, bytes.
const (
	describeRoom      = 16 << 20 // beyond what it has at the start
	describeMemoryMax = 256 << 20
)

// describe reads the manifest from an instance that lives no longer than that.
func (m *Module) describe(ctx context.Context) error {
	limits := m.runtime.limits(Limits{})
	need := uint64(m.shape.pages)*pageBytes + describeRoom // a stage may have a higher limit
	limits.Memory = uint32(max(uint64(limits.Memory), min(need, describeMemoryMax)))
	i, err := m.newInstance(ctx, limits, &guestLog{to: m.runtime.log.With("function", m.name)})
	if err != nil {
		return err
	}
	defer i.close(ctx)
	at, err := i.call(i.m.ExportedFunction(exportDescribe), 0, startStepsMax)
	if err != nil {
		return fmt.Errorf("%s: %w", exportDescribe, err)
	}
	text, ok := i.m.Memory().Read(uint32(at>>32), uint32(at))
	if !ok {
		return fmt.Errorf("%s: the manifest is not in its memory", exportDescribe)
	}
	m.manifest, err = parseManifest(text)
	return err
}

// Manifest returns what the module says of itself.
func (m *Module) Manifest() Manifest { return m.manifest }
