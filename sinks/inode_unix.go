//go:build unix || wasip1

package sinks

import (
	"os"
	"syscall"
)

// inodeOf returns the number of a file in its file system.
func inodeOf(f *os.File) uint64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
