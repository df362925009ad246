package functions

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// goGuest is a function in stock Go. With one struct for each key it counts
// readings in it; with a map it counts them there, and makes garbage.
const goGuest = `package main

import (
	"fmt"
	"os"
	"time"
	"unsafe"
)

type column struct{ kind, valid, data, off uint32 }

type frame struct {
	size, rows, kind, columns uint32
	now                       int64
	time, slot                uint32
	raw                       [4]uint32
	col, outs, ocol, emit     uint32
}

func at[T any](addr, i uint32) *T {
	var t T
	return (*T)(unsafe.Pointer(uintptr(addr + i*uint32(unsafe.Sizeof(t)))))
}

type slot struct{ timer, n int64 }

var (
	manifest = ` + "`" + `{"name":"go","version":"1","in":[{"name":"value","type":"f64"},{"name":"device","type":"text"}],
		"out":[{"name":"n","type":"i64"},{"name":"length","type":"i64"}],"state":"STATE","state_version":1,"heap":true}` + "`" + `
	keep   [][]uint64
	counts = map[string]*int64{}
	trash  [][]byte
)

//go:wasmexport mr1_alloc
func alloc(n uint32) uint32 {
	b := make([]uint64, (n+7)/8)
	keep = append(keep, b)
	return uint32(uintptr(unsafe.Pointer(&b[0])))
}

//go:wasmexport mr1_describe
func describe() uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.StringData(manifest))))<<32 | uint64(len(manifest))
}

//go:wasmexport mr1_state
func state() uint32 { return 16 }

//go:wasmexport mr1_frame
func onFrame(p uint32) int32 {
	f := at[frame](p, 0)
	for i := range f.rows {
		value := *at[float64](at[column](f.col, 0).data, i)
		text := at[column](f.col, 1)
		from, to := *at[uint32](text.off, i), *at[uint32](text.off, i+1)
		device := string(unsafe.Slice(at[byte](text.data, from), to-from))
		n := &at[slot](*at[uint32](f.slot, i), 0).n
		if "STATE" == "memory" {
			if counts[device] == nil {
				counts[device] = new(int64)
			}
			n = counts[device]
			trash = append(trash, make([]byte, 1000))
			if len(trash) > 500 {
				trash = nil
			}
		}
		*n++
		switch value {
		case 13:
			*n += 1000
			panic("thirteen")
		case 14:
			*n += 1000
			os.Exit(3)
		case 15:
			for {
				*n++
			}
		case 16:
			_, err := os.ReadFile("/etc/hostname")
			fmt.Fprintln(os.Stderr, "no files:", err != nil, "time:", time.Now().Unix())
		}
		out := at[column](f.ocol, 0)
		*at[int64](out.data, i) = *n
		*at[byte](out.valid, i/8) |= 1 << (i % 8)
		out = at[column](f.ocol, 1)
		*at[int64](out.data, i) = int64(len(device))
		*at[byte](out.valid, i/8) |= 1 << (i % 8)
		*at[byte](f.emit, i) = 1
	}
	return 0
}

func main() {}
`

// builtGo compiles the guest with either kind of state, by its name.
var builtGo = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "goguest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	all := map[string][]byte{}
	for _, state := range []string{stateSlots, stateMemory} {
		source, wasm := filepath.Join(dir, state+".go"), filepath.Join(dir, state+".wasm")
		if err := os.WriteFile(source, []byte(strings.ReplaceAll(goGuest, "STATE", state)), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", wasm, source)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, said)
		}
		if all[state], err = os.ReadFile(wasm); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// compiled is a folder for compiled guests: the race detector makes compiling slow.
var compiled = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "compiled") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := compiled(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// goOptions are limits under which stock Go runs.
func goOptions(t *testing.T) Options {
	t.Helper()
	dir, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return Options{CacheDir: dir, MemoryMax: 32 << 20, StepsMax: 3_000_000}
}

func goModule(t *testing.T, r *Runtime, state string) *Module {
	t.Helper()
	all, err := builtGo()
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Load(t.Context(), "go-"+state, all[state])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestStockGoKeepsItsStateThroughBadRowsAndRestarts(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, goOptions(t))
	var all []event
	counts := map[string]int{}
	var want []string
	for i := range 900 {
		key := fmt.Sprintf("m%d", r.IntN(7))
		value := 1.0
		if i%150 == 149 {
			value = float64(13 + i/150%3)
		}
		all = append(all, event{reading: reading{int64(i), key, value, false}})
		if value == 1 {
			counts[key]++
			want = append(want, fmt.Sprintf("@%d+0 n=%d length=2", i, counts[key]))
		}
	}
	for _, state := range []string{stateSlots, stateMemory} {
		m := goModule(t, rt, state)
		build := func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage {
			return []pipeline.Stage{bind(t, m, Binding{}, readings, keys)}
		}
		got := play(t, build, all, func() int { return 1 + r.IntN(300) }, func() bool { return r.IntN(3) == 0 }, r)
		var said []string
		for _, row := range got.main {
			at, _, _ := strings.Cut(row, " ")
			said = append(said, at+row[strings.LastIndex(row, " n="):])
		}
		sameRows(t, said, want)
		for k, reason := range []string{"trap: unreachable: panic: thirteen", "trap: the program ended with exit code 3", "out of steps (3,000,000 in one call)"} {
			if !strings.Contains(got.dead[k], reason) {
				t.Errorf("%s: got %q, want %q", state, got.dead[k], reason)
			}
		}
		if len(got.dead) != 6 {
			t.Errorf("%s: got %d dead letters, want 6: %q", state, len(got.dead), got.dead)
		}
	}
}

func TestAGuestWithWASISeesNothingOfTheWorld(t *testing.T) {
	var log strings.Builder
	o := goOptions(t)
	o.Log = textLog(&log)
	rt := newRuntime(t, o)
	keys := pipeline.NewKeys(10)
	s := bind(t, goModule(t, rt, stateSlots), Binding{}, readings, keys)
	b := pipeline.NewBatch(readings, keys)
	fill(b, []reading{{1, "a", 16, false}}, 0)
	if err := (&pipeline.Chain{Stages: []pipeline.Stage{s}}).Process(b, &sheet{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "no files: true time: 0") {
		t.Errorf("got %s, want no files and a time that stands still", log.String())
	}
}
