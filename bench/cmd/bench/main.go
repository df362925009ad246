// Bench measures millrace beside a bare program and mosquitto.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"millrace.dev/millrace/bench/load"
	"millrace.dev/millrace/bench/native"
)

const help = `usage: go run ./bench/cmd/bench [flags]

Builds millrace and bench/floor, lets them do the same jobs in turn, and prints
what that took as ratios. CPU is user and system time of the server process.

  -runs N        runs of everything, at least 5 for a figure to quote (5)
  -messages N    messages of a run (300000)
  -publishers N  clients that publish, each one device (50)
  -batch N       messages that a publisher sends in one write (16)
  -step D        event time between two readings of a device (10ms)
  -qos LIST      0, 1 or 0,1: of messages and results (0,1)
  -only LIST     some of start,filter,window,zscore,main (all)
  -rate N        messages a second; each is a write of its own (0: closed loop)
  -json          print the figures as JSON
  -profile FILE  do the first job of -only once, under the profiler: CPU goes
                 to FILE, allocations to FILE.allocs, the top ten are printed

example:
  $ go run ./bench/cmd/bench -only main -qos 0
  $ go run ./bench/cmd/bench -only main -qos 0 -profile cpu.out
`

// A harness is a set of programs that are built and what is asked of them.
type harness struct {
	Messages, Publishers, Batch, Runs, Rate int
	Step                                    time.Duration
	QoS                                     []byte
	Only                                    []string
	Profile                                 string

	json      bool
	dir       string // of binaries and files, removed at the end
	mosquitto string // empty: it is not there
	talk      io.Writer
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, talk io.Writer) error {
	h, err := parse(args)
	if err != nil {
		return err
	}
	h.talk = talk
	if h.dir, err = os.MkdirTemp("", "millrace-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	h.mosquitto = find("mosquitto")
	if h.mosquitto == "" {
		h.say("no mosquitto to compare with; scripts/test-deps installs it")
	}
	if h.Profile != "" {
		return h.profile(ctx, out)
	}
	if err := h.compile(ctx, "cmd/millrace", "bench/floor"); err != nil {
		return err
	}
	rep, err := h.all(ctx)
	if err != nil {
		return err
	}
	if h.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(rep)
	}
	rep.table(out)
	return nil
}

func parse(args []string) (*harness, error) {
	h := &harness{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&h.Runs, "runs", 5, "")
	flags.IntVar(&h.Messages, "messages", 300_000, "")
	flags.IntVar(&h.Publishers, "publishers", 50, "")
	flags.IntVar(&h.Batch, "batch", 16, "")
	flags.IntVar(&h.Rate, "rate", 0, "")
	flags.DurationVar(&h.Step, "step", 10*time.Millisecond, "")
	flags.StringVar(&h.Profile, "profile", "", "")
	flags.BoolVar(&h.json, "json", false, "")
	qos := flags.String("qos", "0,1", "")
	only := flags.String("only", "start,filter,window,zscore,main", "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for s := range strings.SplitSeq(*qos, ",") {
		if s != "0" && s != "1" {
			return nil, fmt.Errorf("-qos %q: it is 0, 1 or 0,1", *qos)
		}
		h.QoS = append(h.QoS, s[0]-'0')
	}
	h.Only = strings.Split(*only, ",")
	for _, name := range h.Only {
		if _, err := native.ParseKind(name); err != nil && name != "start" {
			return nil, fmt.Errorf("-only: %w, and start", err)
		}
	}
	if h.Runs < 1 || h.Rate < 0 {
		return nil, errors.New("-runs is at least 1, -rate at least 0")
	}
	return h, nil
}

// kinds are the jobs asked for.
func (h *harness) kinds() []native.Kind {
	return slices.DeleteFunc(native.Kinds(), func(k native.Kind) bool { return !slices.Contains(h.Only, k.String()) })
}

func (h *harness) all(ctx context.Context) (rep *report, err error) {
	rep = &report{Messages: h.Messages, Publishers: h.Publishers, Batch: h.Batch, Runs: h.Runs, Rate: h.Rate}
	if h.Rate > 0 {
		rep.Batch = 1
	}
	if slices.Contains(h.Only, "start") {
		if rep.Start, err = h.startup(ctx); err != nil {
			return nil, err
		}
	}
	for _, qos := range h.QoS {
		for _, k := range h.kinds() {
			c, err := h.measure(ctx, job{k, qos})
			if err != nil {
				return nil, err
			}
			rep.Cases = append(rep.Cases, c)
		}
	}
	rep.PayloadBytes = payloadBytes()
	return rep, nil
}

// payloadBytes returns the mean size of a reading.
func payloadBytes() int {
	n, all := 0, load.Payloads(50, 100, time.Now(), 10*time.Millisecond)
	for _, p := range all {
		n += len(p)
	}
	return n / len(all)
}

// profile does one job under the profiler.
func (h *harness) profile(ctx context.Context, out io.Writer) error {
	kinds := h.kinds()
	if len(kinds) == 0 {
		return errors.New("-profile: -only names no job")
	}
	var err error
	if h.Profile, err = filepath.Abs(h.Profile); err != nil {
		return err
	}
	if err := h.compile(ctx, "bench/cmd/profiled"); err != nil {
		return err
	}
	j := job{kinds[0], h.QoS[0]}
	if slices.Contains(kinds, native.Main) && slices.Contains(h.Only, "start") { // all jobs: then the main one
		j.kind = native.Main
	}
	l, err := h.build(j, h.Publishers)
	if err != nil {
		return err
	}
	s, err := h.once(ctx, &contender{"profiled", profiled, l, native.TopicPrefix + "#"}, j)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%v at QoS %d: %.2f CPU s per million messages, with the profiler\n\n", j.kind, j.qos, s.CPU)
	for _, args := range [][]string{{h.Profile}, {"-sample_index=alloc_space", h.Profile + ".allocs"}} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-top", "-nodecount=10"}, args...)...)
		cmd.Stdout, cmd.Stderr = out, h.talk
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

const module = "millrace.dev/millrace/"

// compile builds programs of ours as they are released: static and stripped.
func (h *harness) compile(ctx context.Context, packages ...string) error {
	for _, p := range packages {
		args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", h.bin(filepath.Base(p)), module + p}
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", p, err, b)
		}
	}
	return nil
}

func (h *harness) bin(name string) string { return filepath.Join(h.dir, name) }

func (h *harness) say(format string, args ...any) { fmt.Fprintf(h.talk, format+"\n", args...) }

// find looks for a program, also where Debian keeps servers.
func find(name string) string {
	for _, at := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(at); err == nil {
			return path
		}
	}
	return ""
}
