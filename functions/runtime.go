package functions

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// RowsMax is the most rows or ticks in one call of a guest.
const RowsMax = 256

// What Options and Limits are where they say nothing.
const (
	MemoryMaxDefault = 16 << 20
	StepsMaxDefault  = 50_000_000
	OutputMaxDefault = 1 << 20
)

// Options are the limits of a runtime; zero values mean the defaults.
type Options struct {
	CacheDir  string       // where compiled modules are kept between runs; empty: nowhere
	MemoryMax uint32       // bytes an instance may have; default 16 MiB
	StepsMax  int64        // loop rounds and calls in a call of the guest; default 50 million
	OutputMax int          // bytes of text, topics and payloads a row may bring in; default 1 MiB
	Log       *slog.Logger // default: slog.Default()
}

// A Runtime compiles modules and makes instances of them. It may be used by
// several goroutines.
type Runtime struct {
	options Options
	log     *slog.Logger

	mu     sync.Mutex
	cached *engine   // nil when there is no cache, or none that works
	plain  *engine   // nil until it is needed
	old    []*engine // had modules when the cache failed
	cache  wazero.CompilationCache
}

// An engine is one of wazero's runtimes with what guests may import.
type engine struct {
	wazero.Runtime
	wasi map[string]api.FunctionDefinition // nil until a guest asks for it: it is the larger part of a start
}

// NewRuntime returns a runtime. A cache folder that cannot be used is logged
// and done without; an error means that this machine cannot run functions.
func NewRuntime(ctx context.Context, o Options) (*Runtime, error) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, errors.New("functions need a little-endian machine, as WebAssembly's memory is")
	}
	o.MemoryMax = cmp.Or(o.MemoryMax, MemoryMaxDefault)
	o.StepsMax = cmp.Or(o.StepsMax, StepsMaxDefault)
	o.OutputMax = cmp.Or(o.OutputMax, OutputMaxDefault)
	r := &Runtime{options: o, log: o.Log}
	if r.log == nil {
		r.log = slog.Default()
	}
	if o.CacheDir == "" {
		return r, nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
	if err != nil {
		r.withoutCache(err)
		return r, nil
	}
	r.cache = cache
	r.cached, err = newEngine(ctx, cache)
	return r, err
}

func (r *Runtime) withoutCache(err error) {
	r.log.Warn("functions are compiled at each start: the folder for compiled ones cannot be used", "dir", r.options.CacheDir, "error", firstLine(err))
}

// newEngine never asks wazero to watch a context: guests would be ten times
// slower. The step counter ends what does not end.
func newEngine(ctx context.Context, cache wazero.CompilationCache) (*engine, error) {
	c := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
	if cache != nil {
		c = c.WithCompilationCache(cache)
	}
	e := &engine{Runtime: wazero.NewRuntimeWithConfig(ctx, c)}
	i32 := api.ValueTypeI32
	_, err := e.NewHostModuleBuilder(hostModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(refuel), nil, nil).Export(fuelImport).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(logLine), []api.ValueType{i32, i32, i32}, nil).Export("log").
		Instantiate(ctx)
	if err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	return e, nil
}

// wasi returns the functions of WASI by name.
func (r *Runtime) wasi(ctx context.Context, e *engine) (map[string]api.FunctionDefinition, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.wasi == nil {
		if _, err := wasi_snapshot_preview1.Instantiate(ctx, e.Runtime); err != nil {
			return nil, err
		}
		e.wasi = e.Module(wasi_snapshot_preview1.ModuleName).ExportedFunctionDefinitions()
	}
	return e.wasi, nil
}

// compile compiles with the cache, and without it when that fails: a damaged
// folder must not stop the start.
func (r *Runtime) compile(ctx context.Context, wasm []byte) (*engine, wazero.CompiledModule, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var failed error
	if r.cached != nil {
		m, err := compileIn(ctx, r.cached, wasm)
		if err == nil {
			return r.cached, m, nil
		}
		failed = err
	}
	if r.plain == nil {
		e, err := newEngine(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		r.plain = e
	}
	m, err := compileIn(ctx, r.plain, wasm)
	if err == nil && failed != nil {
		r.withoutCache(failed)
		if r.cached != nil {
			r.old = append(r.old, r.cached)
			r.cached = nil
		}
	}
	return r.plain, m, err
}

// compileIn turns a panic over damaged input into an error.
func compileIn(ctx context.Context, e *engine, wasm []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler gave up: %v", p)
		}
	}()
	return e.CompileModule(ctx, wasm)
}

// Close frees all modules. Stages must have been closed before.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, e := range append(r.old, r.cached, r.plain) {
		if e != nil {
			errs = append(errs, e.Close(ctx))
		}
	}
	if r.cache != nil {
		errs = append(errs, r.cache.Close(ctx))
	}
	r.old, r.cached, r.plain, r.cache = nil, nil, nil, nil
	return errors.Join(errs...)
}

// Limits are those of one stage; zero values mean those of the runtime.
type Limits struct {
	Memory uint32 // bytes
	Steps  int64  // loop rounds and calls in a call of the guest
}

func (r *Runtime) limits(l Limits) Limits {
	return Limits{cmp.Or(l.Memory, r.options.MemoryMax), cmp.Or(l.Steps, r.options.StepsMax)}
}
