//go:build linux || darwin

package functions

import (
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// A mappedMemory is address space outside Go's heap; only what the guest has
// asked for may be touched, and only what it has touched costs memory.
type mappedMemory struct {
	b    []byte
	open uint64
}

func reserve(size uint64) experimental.LinearMemory {
	if size == 0 {
		return &heapMemory{}
	}
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return reserveHeap(size)
	}
	return &mappedMemory{b: b}
}

// Reallocate gives the guest size bytes, or nil when that is too much.
func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.b)) {
		return nil
	}
	if size > m.open {
		if err := syscall.Mprotect(m.b[:size], syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			return nil // the guest is told that memory is used up
		}
		m.open = size
	}
	return m.b[:size:size]
}

// Free gives the memory back; no view of it may be used any more.
func (m *mappedMemory) Free() {
	if m.b != nil {
		_ = syscall.Munmap(m.b) // a wrong length is the only reason to fail
		m.b = nil
	}
}
