//go:build unix

package sinks

import (
	"errors"
	"os"
	"syscall"
)

// lock keeps other sinks and programs of ours from writing to f, until f is
// closed. A file system without locks goes without.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return nil
}
