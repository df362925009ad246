package node

import "syscall"

// isSet reports whether the system says that something keeps its clock right.
func isSet() bool {
	const unsynchronised = 0x40 // STA_UNSYNC
	var t syscall.Timex
	_, err := syscall.Adjtimex(&t)
	return err != nil || t.Status&unsynchronised == 0
}
