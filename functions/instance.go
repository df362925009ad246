package functions

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

const (
	// stepsChunk is how many steps a guest makes until it must ask for more,
	// some tenths of a millisecond: as long as Go's collector waits for it.
	stepsChunk = 100_000
	// startStepsMax is for calls that are made once: the start of a language's
	// runtime, the manifest, mr1_init.
	startStepsMax = 500_000_000
)

// An instance is one sandbox: a guest with memory of its own. It is for one
// goroutine.
type instance struct {
	ctx     context.Context
	limits  Limits
	m       api.Module
	memory  allocator
	mem     []byte // its memory, of the size it had at the last room
	alloc   api.Function
	frame   api.Function
	merge   api.Function // nil: the guest has none
	fuel    api.MutableGlobal
	globals []api.MutableGlobal
	rooms   []room
	log     *guestLog

	stack   [3]uint64
	granted int64 // steps, until the guest asks again
	left    int64 // steps, behind those granted
	spent   bool
	steps   int64 // made in all
	world   world
}

// A room is a piece of guest memory that the guest gave to the host.
type room struct{ at, size uint32 }

type instanceKey struct{}

// errSteps ends a call; wazero hands it to the caller.
var errSteps = errors.New("out of steps")

// newInstance makes an instance and runs its _initialize.
func (m *Module) newInstance(ctx context.Context, l Limits, log *guestLog) (*instance, error) {
	if need := uint64(m.shape.pages) * pageBytes; need > uint64(l.Memory) {
		return nil, fmt.Errorf("wants %s of memory, the most is %s\n\thint: raise the function's memory limit", bytesText(need), bytesText(uint64(l.Memory)))
	}
	i := &instance{limits: l, log: log}
	i.ctx = context.WithValue(ctx, instanceKey{}, i)
	i.memory.max = uint64(l.Memory) &^ (pageBytes - 1)
	i.ctx = experimental.WithMemoryAllocator(i.ctx, &i.memory)
	i.left = startStepsMax
	c := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	var err error
	if i.m, err = m.engine.InstantiateModule(i.ctx, m.compiled, i.world.close(c, guestOutput{i})); err != nil {
		i.memory.release()
		return nil, fmt.Errorf("does not start: %w", i.why(err, startStepsMax))
	}
	i.fuel = i.m.ExportedGlobal(fuelExport).(api.MutableGlobal)
	for k := range m.shape.globals {
		i.globals = append(i.globals, i.m.ExportedGlobal(globalExport+strconv.Itoa(k)).(api.MutableGlobal))
	}
	i.alloc = i.m.ExportedFunction(exportAlloc)
	i.frame = i.m.ExportedFunction(exportFrame)
	i.merge = i.m.ExportedFunction(exportMerge)
	if m.tables[exportInitialize] {
		if _, err := i.call(i.m.ExportedFunction(exportInitialize), 0, startStepsMax); err != nil {
			i.close(ctx)
			return nil, fmt.Errorf("%s: %w", exportInitialize, err)
		}
	}
	return i, nil
}

// close frees the instance and its memory.
func (i *instance) close(ctx context.Context) error {
	err := i.m.Close(ctx)
	i.memory.release()
	return err
}

// call calls a function with at most steps steps.
func (i *instance) call(f api.Function, argument uint64, steps int64) (uint64, error) {
	i.stack[0] = argument
	return i.callStack(f, steps)
}

// callStack is call with the arguments in i.stack.
func (i *instance) callStack(f api.Function, steps int64) (uint64, error) {
	i.granted = min(stepsChunk, steps)
	i.left = steps - i.granted
	i.spent = false
	i.fuel.Set(uint64(i.granted))
	err := f.CallWithStack(i.ctx, i.stack[:])
	i.steps += min(steps-i.left, steps) - max(int64(int32(i.fuel.Get())), 0)
	if err != nil {
		return 0, i.why(err, steps)
	}
	return i.stack[0], nil
}

// refuel is called by a guest that has made the steps it was granted.
func refuel(ctx context.Context, m api.Module, _ []uint64) {
	i := ctx.Value(instanceKey{}).(*instance)
	fuel := m.ExportedGlobal(fuelExport).(api.MutableGlobal)
	i.left += int64(int32(fuel.Get())) // more than granted, when much memory was moved at once
	i.granted = min(stepsChunk, i.left)
	if i.granted <= 0 {
		i.spent = true
		panic(errSteps)
	}
	i.left -= i.granted
	fuel.Set(uint64(i.granted))
}

// charge takes steps from the guest for what the host does for it.
func (i *instance) charge(steps int64) {
	if i.fuel == nil { // it is being instantiated, which startStepsMax bounds
		return
	}
	left := int64(int32(i.fuel.Get())) - steps
	i.fuel.Set(uint64(uint32(int32(max(left, math.MinInt32)))))
}

// why says in a user's words what ended a call.
func (i *instance) why(err error, steps int64) error {
	var exit *sys.ExitError
	switch {
	case i.spent:
		return fmt.Errorf("out of steps (%s in one call)", thousands(steps))
	case errors.As(err, &exit):
		return fmt.Errorf("trap: the program ended with exit code %d%s", exit.ExitCode(), i.log.tail())
	}
	return errors.New("trap: " + firstLine(err) + i.log.tail())
}

// firstLine is an error of wazero's without its stack traces.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(strings.TrimPrefix(line, "wasm error: "), " (recovered by wazero)")
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func bytesText(n uint64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// errFull says that the guest has no more memory to give.
var errFull = errors.New("memory is used up")

// room asks the guest for size bytes and makes sure that they are there,
// aligned, and nobody else's. They hold zeros.
func (i *instance) room(size uint32) (uint32, error) {
	globals := i.readGlobals(nil)
	got, err := i.call(i.alloc, uint64(size), startStepsMax)
	at := uint32(got)
	switch {
	case err != nil:
		i.writeGlobals(globals)
		i.fresh()
		return 0, fmt.Errorf("%s: %w", exportAlloc, err)
	case at == 0:
		return 0, errFull
	case at&7 != 0:
		return 0, fmt.Errorf("%s: address %d is not 8-byte aligned", exportAlloc, at)
	}
	mem, ok := i.m.Memory().Read(0, i.m.Memory().Size())
	if !ok || uint64(at)+uint64(size) > uint64(len(mem)) {
		return 0, fmt.Errorf("%s: %d bytes at %d are not in its memory", exportAlloc, size, at)
	}
	for _, r := range i.rooms {
		if at < r.at+r.size && r.at < at+size {
			return 0, fmt.Errorf("%s: gave out the same memory twice", exportAlloc)
		}
	}
	i.rooms = append(i.rooms, room{at, size})
	i.mem = mem
	clear(mem[at : at+size])
	return at, nil
}

func (i *instance) readGlobals(dst []uint64) []uint64 {
	for _, g := range i.globals {
		dst = append(dst, g.Get())
	}
	return dst
}

func (i *instance) writeGlobals(values []uint64) {
	for k, g := range i.globals {
		g.Set(values[k])
	}
}

// fresh takes new handles after a failed call; the old ones may hold a stack
// that has grown large.
func (i *instance) fresh() {
	i.alloc, i.frame = i.m.ExportedFunction(exportAlloc), i.m.ExportedFunction(exportFrame)
	i.merge = i.m.ExportedFunction(exportMerge)
}
