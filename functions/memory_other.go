//go:build !(linux || darwin)

package functions

import "github.com/tetratelabs/wazero/experimental"

func reserve(size uint64) experimental.LinearMemory { return reserveHeap(size) }
