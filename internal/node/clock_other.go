//go:build !linux

package node

// isSet reports whether the system's clock is right; here nobody can tell.
func isSet() bool { return true }
