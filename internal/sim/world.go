package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	wazerosys "github.com/tetratelabs/wazero/sys"

	"millrace.dev/millrace/internal/oracle"
)

// epoch is when a world begins, in ns since 1970. All event times are before.
const epoch = int64(1_900_000_000) * int64(time.Second)

// configPath is where the guest finds its configuration.
const configPath = "/millrace.yaml"

// A Daemon is the guest, compiled for the host.
type Daemon struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

// NewDaemon compiles a guest. What it has compiled it keeps in cache.
func NewDaemon(ctx context.Context, wasm []byte, cache string) (*Daemon, error) {
	c, err := wazero.NewCompilationCacheWithDir(cache)
	if err != nil {
		return nil, err
	}
	d := &Daemon{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(c))}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, d.runtime); err != nil {
		return nil, err
	}
	d.module, err = d.runtime.CompileModule(ctx, wasm)
	return d, err
}

// Close frees what the daemon holds.
func (d *Daemon) Close(ctx context.Context) error { return d.runtime.Close(ctx) }

// A World is everything around a daemon; a seed decides all that happens.
type World struct {
	Disk  *Disk
	Marks Marks
	Log   bytes.Buffer // what the daemon has logged in its last life

	daemon     *Daemon
	rand       *rand.Rand
	publishers []*oracle.Publisher
	mono, wall int64 // ns
	trace      hash.Hash
}

// NewWorld returns a world with a new disk and some devices.
func NewWorld(d *Daemon, seed uint64, durability string, devices int) *World {
	w := &World{daemon: d, rand: rand.New(rand.NewPCG(seed, 0)), wall: epoch, trace: sha256.New()}
	w.Disk = NewDisk(w.rand, &w.Marks)
	w.Disk.trace = func(what, name string, n int64) { fmt.Fprintln(w.trace, w.mono, what, name, n) }
	w.Disk.WriteFile("millrace.yaml", []byte(oracle.Job{Listen: "127.0.0.1:1883", Durability: durability}.YAML()))
	for i := range devices {
		for qos := byte(1); qos <= 2; qos++ {
			w.publishers = append(w.publishers, &oracle.Publisher{Name: fmt.Sprintf("d%d", i), QoS: qos})
		}
	}
	return w
}

// Trace returns what tells this execution from any other.
func (w *World) Trace() string { return fmt.Sprintf("%x", w.trace.Sum(nil)[:8]) }

// Live lets the daemon live in a weather until the power goes, or with finish
// until all that was sent is acknowledged and it has stopped.
func (w *World) Live(ctx context.Context, weather Weather, finish bool) error {
	w.Marks.Lives++
	w.Disk.weather = weather
	w.Log.Reset()
	task := "go"
	if finish {
		task = "finish"
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], w.rand.Uint64())
	out := &told{w: w}
	c := wazero.NewModuleConfig().WithName("").WithArgs("guest", configPath, task).
		WithStdin(w.states()).WithStdout(out).WithStderr(&w.Log).
		WithRandSource(rand.NewChaCha8(key)).
		WithNanotime(w.nanotime, 1).WithWalltime(w.walltime, 1).WithNanosleep(w.sleep).
		WithFSConfig(wazero.NewFSConfig().(sysfs.FSConfig).WithSysFSMount(w.Disk, "/"))
	m, err := w.daemon.runtime.InstantiateModule(ctx, w.daemon.module, c)
	if m != nil {
		m.Close(ctx)
	}
	var exit *wazerosys.ExitError
	switch {
	case out.err != nil:
		return out.err
	case errors.As(err, &exit) && exit.ExitCode() == powerCut:
		w.Disk.Crash()
		return nil
	case errors.As(err, &exit) && exit.ExitCode() != 0:
		if w.Marks.SyncErrors > 0 { // it says that it cannot go on, and is right
			w.Disk.Crash()
			return nil
		}
		return fmt.Errorf("the daemon ended with %d: %s", exit.ExitCode(), w.Log.String())
	case err != nil && exit == nil:
		return fmt.Errorf("the daemon broke: %w\n%s", err, w.Log.String())
	}
	w.Marks.CleanLives++
	return nil
}

// Step moves the wall clock, as a clock without a battery does.
func (w *World) Step(by time.Duration) { w.wall += int64(by) }

func (w *World) nanotime() int64 {
	w.pass(1000)
	return w.mono
}

func (w *World) walltime() (int64, int32) {
	w.pass(1000)
	return w.wall / 1e9, int32(w.wall % 1e9)
}

func (w *World) sleep(ns int64) { w.pass(max(ns, 1000)) }

func (w *World) pass(ns int64) {
	w.mono += ns
	w.wall += ns
}

// states returns the publishers as the guest reads them.
func (w *World) states() *bytes.Buffer {
	var b bytes.Buffer
	for _, p := range w.publishers {
		line, _ := json.Marshal(map[string]any{"Name": p.Name, "QoS": p.QoS, "State": p.State()})
		b.Write(append(line, '\n'))
	}
	return &b
}

// Told takes what the guest says of its publishers.
type told struct {
	w    *World
	rest []byte
	err  error
}

// Write implements io.Writer.
func (t *told) Write(p []byte) (int, error) {
	fmt.Fprintln(t.w.trace, t.w.mono)
	t.w.trace.Write(p)
	t.rest = append(t.rest, p...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		t.rest = rest
		if err := t.w.hear(string(line)); err != nil && t.err == nil {
			t.err = err
		}
	}
}

// hear applies an event to the publisher that it is of.
func (w *World) hear(line string) error {
	var name string
	var qos byte
	var e oracle.Event
	if _, err := fmt.Sscan(line, &name, &qos, &e.What, &e.Number); err != nil {
		return fmt.Errorf("the daemon says %q: %w", line, err)
	}
	for _, p := range w.publishers {
		if p.Name == name && p.QoS == qos {
			s := p.State()
			s.Apply(e)
			p.Resume(s)
		}
	}
	return nil
}

// Judge says what is wrong with the results.
func (w *World) Judge(tell func(string)) (oracle.Verdict, error) {
	return oracle.Judge(w.publishers, w.Disk.ReadFile, tell)
}
