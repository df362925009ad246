// Command millrace is an MQTT-native stream processor for the edge.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"millrace.dev/millrace/internal/config"
)

// version is set by the linker.
var version = "unknown"

// Exit codes. Never 2: that is a Go panic's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 64 // EX_USAGE of sysexits.h
	exitConfig = 78 // EX_CONFIG
)

const usage = `millrace: sensors, an MQTT broker and stream pipelines in one program

usage:
  millrace run [FILE]            run the broker and pipelines of FILE (millrace.yaml)
  millrace check [FILE ...]      tell everything that is wrong with a file
  millrace test [PATH ...]       run the script tests beside configurations
  millrace user add|list|remove  who may connect to the broker
  millrace schema                the JSON Schema of a configuration, for editors
  millrace version

  millrace COMMAND -h            more about a command

example:
  $ millrace check plant.yaml && millrace run plant.yaml
`

// A usageError is a command line that we do not understand.
type usageError struct{ msg string }

func (e usageError) Error() string { return e.msg }

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// A command is one word after millrace.
type command struct {
	name string
	help string
	run  func(ctx context.Context, args []string, s streams) error
}

func commands() []command {
	return []command{
		{"run", runHelp, runCommand},
		{"check", checkHelp, checkCommand},
		{"test", testHelp, testCommand},
		{"user", userHelp, userCommand},
		{"schema", schemaHelp, schemaCommand},
		{"version", versionHelp, versionCommand},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 {
		fmt.Fprint(s.err, usage)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(s.out, usage)
		return exitDone
	case "-version", "--version":
		args[0] = "version"
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
		if c.name == args[0] {
			return c.exit(ctx, args[1:], s)
		}
	}
	fmt.Fprintf(s.err, "millrace: unknown command %q\n", args[0])
	if near := config.Closest(args[0], names); near != "" {
		fmt.Fprintf(s.err, "\thint: did you mean %q?\n", near)
	} else {
		fmt.Fprint(s.err, "\thint: millrace help lists them\n")
	}
	return exitUsage
}

// exit runs the command and turns its error into words and a code.
func (c command) exit(ctx context.Context, args []string, s streams) int {
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			fmt.Fprint(s.out, c.help)
			return exitDone
		}
		if a == "--" {
			break
		}
	}
	err := c.run(ctx, args, s)
	var wrongUse usageError
	var wrongFile config.Problems
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wrongUse):
		fmt.Fprintf(s.err, "millrace %s: %v\n\n%s", c.name, err, c.help)
		return exitUsage
	case errors.As(err, &wrongFile):
		fmt.Fprintln(s.err, wrongFile.Report())
		return exitConfig
	case errors.Is(err, errQuiet):
		return exitFailed
	}
	fmt.Fprintf(s.err, "millrace: %v\n", err)
	return exitFailed
}

// errQuiet is a failure that has been told already.
var errQuiet = errors.New("failed")
