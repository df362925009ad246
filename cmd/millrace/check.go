package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
)

const checkHelp = `usage: millrace check [FILE ...]

Reads each FILE (millrace.yaml if none is given), compiles its pipelines and
functions, and tells everything that is wrong, each mistake with its place.
Opens no port and no sink. Exit code 78 when something is wrong.

example:
  $ millrace check motors.yaml
  motors.yaml:6:19: unknown key "tumblng" in pipelines.motors.steps[0].window
      - window: {tumblng: 10s, fields: {mean: mean(temp)}}
                 ^
  	hint: did you mean "tumbling"?
`

func checkCommand(ctx context.Context, args []string, s streams) error {
	if len(args) == 0 {
		args = []string{defaultFile}
	}
	var all config.Problems
	for _, path := range args {
		err := check(ctx, path)
		var problems config.Problems
		if errors.As(err, &problems) {
			all = append(all, problems...)
		} else if err != nil {
			return err
		} else {
			fmt.Fprintf(s.out, "%s: ok\n", path)
		}
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

// check returns everything that is wrong with the file at path: what its
// parts say of themselves, and what only compiling them shows.
func check(ctx context.Context, path string) error {
	f, err := config.Load(path)
	var problems config.Problems
	if err != nil && (f == nil || !errors.As(err, &problems)) {
		return err
	}
	rt, err := node.NewRuntime(ctx, f, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	pipes, err := node.Compile(ctx, f, rt)
	for _, p := range pipes {
		p.Close(ctx)
	}
	var more config.Problems
	if err != nil && !errors.As(err, &more) {
		return err
	}
	if problems = append(problems, more...); len(problems) == 0 {
		return nil
	}
	problems.Sort()
	return problems
}
