package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
)

// defaultFile is the configuration when none is named.
const defaultFile = "millrace.yaml"

const runHelp = `usage: millrace run [-progress D] [FILE]

Runs the broker and the pipelines of FILE (millrace.yaml if none is given).
The first SIGINT or SIGTERM drains: nothing more comes in, what is inside is
processed and delivered. A second one stops at once. SIGHUP, or a change of
FILE or of a file that it names, reloads: what has not changed goes on, and if
something is wrong all of it does.

  -progress D   a line about the traffic every D (2s on a terminal, else 0: none)

Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration.

example:
  $ millrace run configs/quickstart.yaml
  $ mosquitto_sub -t 'alerts/#' -v
`

func runCommand(ctx context.Context, args []string, s streams) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	every := flags.Duration("progress", defaultProgress(s.err), "")
	if err := flags.Parse(args); err != nil {
		return usageError{err.Error()}
	}
	path := defaultFile
	switch flags.NArg() {
	case 0:
	case 1:
		path = flags.Arg(0)
	default:
		return usageError{"one file at a time"}
	}
	f, err := config.Load(path)
	if err != nil {
		return check(ctx, path) // tells what compiling shows, too
	}
	n, err := node.New(ctx, f, node.Options{Stdout: s.out, Log: logger(f.Log, s.err), Version: version})
	if err != nil {
		return err
	}
	stop, cancel := secondSignal(ctx)
	defer cancel()
	onHangup(ctx, n.Reload)
	welcome(s.err, n)
	if *every > 0 {
		go progress(ctx, n, s.err, *every)
	}
	return n.Run(ctx, stop)
}

// secondSignal returns a context that ends with the first signal after ctx has ended.
func secondSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		select {
		case <-again:
			cancel()
		case <-stop.Done():
		}
		signal.Stop(again)
	})
	return stop, cancel
}

func logger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic("BUG: log level " + c.Level)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func defaultProgress(w io.Writer) time.Duration {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return 2 * time.Second
	}
	return 0
}

// welcome says what is there and what to try next.
func welcome(w io.Writer, n *node.Node) {
	for _, line := range n.Try() {
		fmt.Fprintln(w, line)
	}
}

// progress writes a line about the traffic every d.
func progress(ctx context.Context, n *node.Node, w io.Writer, d time.Duration) {
	t := time.NewTicker(d)
	defer t.Stop()
	last := n.Traffic()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			next := n.Traffic()
			fmt.Fprintf(w, "%s  %s\n", now.Format(time.TimeOnly), next.Since(last, d))
			last = next
		}
	}
}
