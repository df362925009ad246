package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
	"millrace.dev/millrace/internal/script"
)

const testHelp = `usage: millrace test [-update] [PATH ...]

Runs the script tests beside configurations: for plant.yaml these are
plant.txtar and plant_*.txtar. PATH is a configuration, a script, or a folder
(the present one if none is given). Time in a script is virtual.

  -update   write what comes out into the scripts, to be read before it is committed

example:
  $ cat plant.txtar
  # A window speaks once, when the watermark passes its end.
  -- in --
  0s..9s/1s plant/a/m1 {"ts":$ms,"temp":20}
  15s       plant/a/m1 {"ts":$ms,"temp":99}
  -- out --
  10s mean/m1 {"time":"2026-01-01T00:00:10Z","mean":20}
  $ millrace test plant.yaml
  ok    plant.txtar  3ms  484 bytes in, 61 out
`

func testCommand(ctx context.Context, args []string, s streams) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	update := flags.Bool("update", false, "")
	if err := flags.Parse(args); err != nil {
		return usageError{err.Error()}
	}
	paths := flags.Args()
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var pairs []pair
	for _, p := range paths {
		found, err := find(p)
		if err != nil {
			return err
		}
		pairs = append(pairs, found...)
	}
	if len(pairs) == 0 {
		return fmt.Errorf("no script tests in %s\n\thint: beside plant.yaml write plant.txtar; millrace test -h shows one", strings.Join(paths, ", "))
	}
	passed, failed := 0, 0
	for _, p := range pairs {
		start := time.Now()
		traffic, err := runScript(ctx, p, *update)
		if err != nil {
			failed++
			fmt.Fprintf(s.out, "FAIL  %s\n", p.script)
			tellFailure(s.out, err)
			continue
		}
		passed++
		fmt.Fprintf(s.out, "ok    %s  %s  %d bytes in, %d out\n", p.script, time.Since(start).Round(time.Millisecond), traffic.In, traffic.Out)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errQuiet
	}
	return nil
}

func tellFailure(w io.Writer, err error) {
	var diff *script.Failure
	var problems config.Problems
	switch {
	case errors.As(err, &diff):
		fmt.Fprint(w, diff.Diff)
	case errors.As(err, &problems):
		fmt.Fprintln(w, problems.Report())
	default:
		fmt.Fprintf(w, "  %v\n", err)
	}
}

// A pair is a configuration and a script that tests it.
type pair struct{ config, script string }

// find returns the tests at path: a script, a configuration or a folder.
func find(path string) ([]pair, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir() && filepath.Ext(path) == ".txtar":
		c, err := configOf(path)
		return []pair{{c, path}}, err
	case !info.IsDir():
		return scriptsOf(path)
	}
	var all []pair
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".yaml" {
			return err
		}
		found, err := scriptsOf(p)
		all = append(all, found...)
		return err
	})
	return all, err
}

func scriptsOf(configPath string) ([]pair, error) {
	base := strings.TrimSuffix(configPath, filepath.Ext(configPath))
	var all []pair
	for _, pattern := range []string{base + ".txtar", base + "_*.txtar"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			all = append(all, pair{configPath, f})
		}
	}
	return all, nil
}

func configOf(scriptPath string) (string, error) {
	base := strings.TrimSuffix(scriptPath, ".txtar")
	for {
		if _, err := os.Stat(base + ".yaml"); err == nil {
			return base + ".yaml", nil
		}
		i := strings.LastIndexByte(base, '_')
		if i < 0 {
			return "", fmt.Errorf("%s: no configuration of that name beside it", scriptPath)
		}
		base = base[:i]
	}
}

func runScript(ctx context.Context, p pair, update bool) (script.Traffic, error) {
	f, err := config.Load(p.config)
	if err != nil {
		return script.Traffic{}, err
	}
	rt, err := node.NewRuntime(ctx, f, slog.New(slog.DiscardHandler))
	if err != nil {
		return script.Traffic{}, err
	}
	defer rt.Close(ctx)
	return script.Run(ctx, f, rt, p.script, update)
}
