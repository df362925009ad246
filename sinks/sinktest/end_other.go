//go:build !linux

package sinktest

import "syscall"

// withUs ends a process when the test that started it does, where that can be.
func withUs() *syscall.SysProcAttr { return nil }
