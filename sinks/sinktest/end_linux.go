package sinktest

import "syscall"

// withUs ends a process when the test that started it does, however it ends.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
