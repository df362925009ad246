// Profiled runs a node as millrace run does and writes down where its time and
// its memory went. The product itself has no such door.
//
//	profiled -cpu cpu.out -allocs allocs.out millrace.yaml
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "profiled:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	cpu := flag.String("cpu", "cpu.out", "file for the CPU profile")
	allocs := flag.String("allocs", "allocs.out", "file for the profile of allocations")
	flag.Parse()
	f, err := config.Load(flag.Arg(0))
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	n, err := node.New(ctx, f, node.Options{Stdout: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Version: "profiled"})
	if err != nil {
		return err
	}
	out, err := os.Create(*cpu)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close(), write(*allocs)) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return n.Run(ctx, context.Background())
}

// write keeps the profile of all allocations since the start.
func write(path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(out, 0), out.Close())
}
