package main

import (
	"context"
	"fmt"
	"runtime"
)

const versionHelp = `usage: millrace version

Prints the version, the Go that built it, and the machine it is for.

example:
  $ millrace version
  millrace v0.1.0 go1.26.8 linux/arm64
`

func versionCommand(_ context.Context, _ []string, s streams) error {
	_, err := fmt.Fprintf(s.out, "millrace %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
