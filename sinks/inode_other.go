//go:build !unix && !wasip1

package sinks

import "os"

// inodeOf returns 0 where files have no numbers.
func inodeOf(*os.File) uint64 { return 0 }
