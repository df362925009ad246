// The race detector sees nothing of a guest, and makes compiling it take minutes.

//go:build !race

package sim

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"millrace.dev/millrace/internal/oracle"
)

var (
	seeds = flag.Int("seeds", 3, "worlds to run")
	first = flag.Uint64("seed", 0, "of the first world; 0: another each time")
	lives = flag.Int("lives", 8, "lives of a daemon in a world")
)

const (
	devices      = 2
	cutsPerWrite = 1.0 / 300 // a daemon does not live long
)

// daemon builds the guest and compiles it for the host.
func daemon(t *testing.T) *Daemon {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = t.TempDir()
	}
	path := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "./guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDaemon(t.Context(), wasm, filepath.Join(dir, "millrace", "sim"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

// seedOf returns the number of the first world.
func seedOf() uint64 {
	if *first != 0 {
		return *first
	}
	return uint64(time.Now().UnixNano()) % 1e9
}

// run lets a daemon live and die in a world, and judges what comes out.
func run(t *testing.T, d *Daemon, seed uint64, durability string, weather Weather) (*World, oracle.Verdict) {
	t.Helper()
	w := NewWorld(d, seed, durability, devices)
	r := rand.New(rand.NewPCG(seed, 1))
	for range *lives {
		now := weather
		now.PowerCut *= r.ExpFloat64()
		if err := w.Live(t.Context(), now, false); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if r.IntN(4) == 0 {
			w.Step(time.Duration(r.IntN(7200)-3600) * time.Second)
		}
	}
	if err := w.Live(t.Context(), Weather{}, true); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	v, err := w.Judge(func(line string) { t.Log(line) })
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, w.Log.String())
	}
	t.Logf("seed %d: trace %s, after %v: %+v", seed, w.Trace(), time.Duration(w.mono).Round(time.Millisecond), w.Marks)
	return w, v
}

func TestASeedIsAnExecution(t *testing.T) {
	d := daemon(t)
	one, _ := run(t, d, 1, "memory", Weather{})
	same, _ := run(t, d, 1, "memory", Weather{})
	other, _ := run(t, d, 2, "memory", Weather{})
	if one.Trace() != same.Trace() {
		t.Errorf("seed 1 gave %s and %s", one.Trace(), same.Trace())
	}
	if one.Trace() == other.Trace() {
		t.Errorf("seeds 1 and 2 gave the same trace %s", one.Trace())
	}
}

func TestNothingIsLostOrCountedTwiceInAnyWeather(t *testing.T) {
	d := daemon(t)
	var sum Marks
	for i := range uint64(*seeds) {
		seed := seedOf() + i
		w, v := run(t, d, seed, "durable", Weather{PowerCut: cutsPerWrite})
		if v.Wrong() {
			t.Errorf("-seed %d -seeds 1: %s", seed, v)
		}
		sum.Cuts += w.Marks.Cuts
		sum.CutsInSync += w.Marks.CutsInSync
		sum.LostWrites += w.Marks.LostWrites
		sum.TornWrites += w.Marks.TornWrites
	}
	if sum.Cuts == 0 || sum.CutsInSync == 0 || sum.LostWrites == 0 || sum.TornWrites == 0 {
		t.Errorf("the weather was too good to show anything: %+v", sum)
	}
}

// A disk that lies must be found out, or the test above shows nothing.
func TestADiskThatLiesIsFoundOut(t *testing.T) {
	if _, v := run(t, daemon(t), seedOf(), "durable", Weather{PowerCut: cutsPerWrite, Lie: 0.5}); !v.Wrong() {
		t.Error("nothing was lost, although half of the syncs did nothing")
	}
}

func TestMemoryDoesNotSurvive(t *testing.T) {
	if _, v := run(t, daemon(t), seedOf(), "memory", Weather{PowerCut: cutsPerWrite}); !v.Wrong() {
		t.Error("nothing was lost, although nothing was on disk")
	}
}
