package functions

import "github.com/tetratelabs/wazero/experimental"

// pageBytes is the unit in which a guest's memory grows.
const pageBytes = 64 << 10

// An allocator gives an instance its memory, which never moves and never
// exceeds max bytes, so that views of it stay good until release.
type allocator struct {
	max    uint64
	memory experimental.LinearMemory
}

// Allocate reserves room for the most the instance may have. A module has one
// memory.
func (a *allocator) Allocate(_, most uint64) experimental.LinearMemory {
	a.memory = reserve(min(a.max, most))
	return lent{a.memory}
}

// release frees the memory.
func (a *allocator) release() {
	if a.memory != nil {
		a.memory.Free()
		a.memory = nil
	}
}

// A lent memory stays when wazero is done with it: a guest that ends itself,
// by WASI's proc_exit, still has slots that are to be saved.
type lent struct{ experimental.LinearMemory }

// Free does nothing; release does.
func (lent) Free() {}

// A heapMemory is on Go's heap: for systems without mmap, and where it fails.
// A large slice costs no physical memory before it is touched, but the
// garbage collector counts all of it.
type heapMemory struct{ b []byte }

// Reallocate gives the guest size bytes, or nil when that is too much.
func (m *heapMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.b)) {
		return nil
	}
	return m.b[:size:size]
}

// Free gives the memory back.
func (m *heapMemory) Free() { m.b = nil }

func reserveHeap(size uint64) experimental.LinearMemory { return &heapMemory{make([]byte, size)} }
