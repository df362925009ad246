package functions

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// A world is all that a guest with WASI sees of the outside: no files, no
// sockets, no arguments; the time stands still, the monotonic clock counts how
// often it was asked, randomness is a fixed sequence. What is here is state:
// it is kept in snapshots.
type world struct {
	asked  int64  // the monotonic clock, µs
	random uint64 // bytes given out
}

func (w *world) close(c wazero.ModuleConfig, out guestOutput) wazero.ModuleConfig {
	still := func() (sec int64, nsec int32) { return 0, 0 }
	tick := func() int64 {
		w.asked++
		return w.asked * int64(time.Microsecond)
	}
	resolution := sys.ClockResolution(time.Microsecond)
	return c.WithRandSource(out).WithWalltime(still, resolution).WithNanotime(tick, resolution).
		WithNanosleep(func(ns int64) { w.asked += ns / int64(time.Microsecond) }).WithStdout(out).WithStderr(out)
}

// next gives the next bytes of the sequence: Steele, Lea, Flood, Fast
// splittable pseudorandom number generators, OOPSLA 2014.
func (w *world) next(p []byte) {
	var word [8]byte
	for i := range p {
		z := (w.random>>3 + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(word[:], z^z>>31)
		p[i] = word[w.random&7]
		w.random++
	}
}

// What the host does for a guest costs the guest steps, as it takes time.
const (
	logSteps  = 1000 // a line
	byteSteps = 8    // bytes a step, of randomness and of output
)

// guestOutput is where a guest's randomness comes from and its output goes to.
type guestOutput struct{ i *instance }

// Read gives the guest randomness.
func (o guestOutput) Read(p []byte) (int, error) {
	o.i.charge(int64(len(p)) / byteSteps)
	o.i.world.next(p)
	return len(p), nil
}

// Write takes what the guest says.
func (o guestOutput) Write(p []byte) (int, error) {
	o.i.charge(logSteps + int64(len(p))/byteSteps)
	o.i.log.written(p)
	return len(p), nil
}

// Limits of what a guest may log.
const (
	logLineMax  = 512         // bytes; the rest of a line is cut off
	logBurst    = 20          // lines at once
	logInterval = time.Second // one more each
)

// A guestLog takes what a guest says. Lines beyond the limit are counted and
// the count is told with the next line that passes.
type guestLog struct {
	to      *slog.Logger
	lines   int
	since   time.Time
	leftOut int
	partial []byte // of a line, written to stderr
	last    string // the latest line that speaks of trouble; tail takes it
}

// tail returns what the guest said last, to be appended to a reason.
func (g *guestLog) tail() string {
	defer func() { g.last, g.partial = "", g.partial[:0] }()
	if g.last == "" && len(g.partial) > 0 {
		g.last = string(g.partial)
	}
	if g.last == "" {
		return ""
	}
	return ": " + g.last
}

func (g *guestLog) line(level slog.Level, text []byte) {
	text = text[:min(len(text), logLineMax)]
	if level >= slog.LevelWarn && g.last == "" {
		g.last = string(bytes.ToValidUTF8(text, []byte("?")))
	}
	now := time.Now()
	if g.lines > 0 {
		passed := int(now.Sub(g.since) / logInterval)
		g.since = g.since.Add(time.Duration(passed) * logInterval)
		g.lines = max(0, g.lines-passed)
	}
	if g.lines >= logBurst {
		g.leftOut++
		return
	}
	if g.lines == 0 {
		g.since = now
	}
	g.lines++
	attrs := []slog.Attr{slog.String("says", string(bytes.ToValidUTF8(text, []byte("?"))))}
	if g.leftOut > 0 {
		attrs = append(attrs, slog.Int("lines_left_out", g.leftOut))
		g.leftOut = 0
	}
	g.to.LogAttrs(context.Background(), level, "function speaks", attrs...)
}

// written takes what a guest with WASI writes to its standard streams.
func (g *guestLog) written(p []byte) {
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		g.partial = append(g.partial, line[:min(len(line), logLineMax-min(len(g.partial), logLineMax))]...)
		if whole {
			if len(g.partial) > 0 {
				g.line(slog.LevelWarn, g.partial)
			}
			g.partial = g.partial[:0]
		}
		rest = after
	}
}

// logLine is the import millrace.log.
func logLine(ctx context.Context, m api.Module, stack []uint64) {
	i := ctx.Value(instanceKey{}).(*instance)
	i.charge(logSteps)
	at, n := uint32(stack[1]), uint32(stack[2])
	text, ok := m.Memory().Read(at, min(n, logLineMax))
	if !ok {
		panic(fmt.Errorf("it logs what is not in its memory: %d bytes at %d", n, at))
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	i.log.line(levels[min(uint32(stack[0]), uint32(len(levels)-1))], text)
}
