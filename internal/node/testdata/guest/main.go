//go:build wasip1

// A function in stock Go that remembers in slots, or with maps, globals and
// garbage wherever it likes; built with -ldflags "-X main.state=slots|memory".
package main

import (
	"fmt"
	"math/rand"
	"strings"
	"time"
	"unsafe"
)

type column struct{ kind, valid, data, off uint32 }

type frame struct {
	size, rows, kind, columns uint32
	now                       int64
	time, slot                uint32
	raw                       [4]uint32
	col, outs, ocol, emit     uint32
}

type slot struct{ timer, n, sum int64 }

func at[T any](addr, i uint32) *T {
	var t T
	return (*T)(unsafe.Pointer(uintptr(addr + i*uint32(unsafe.Sizeof(t)))))
}

const manifestText = `{"name":"memory","version":"1","in":[{"name":"value","type":"f64"},{"name":"device","type":"text"}],
	"out":[{"name":"n","type":"i64"},{"name":"sum","type":"i64"},{"name":"chance","type":"i64"}],"state":"STATE","state_version":1,"heap":true}`

var (
	state    string
	manifest string
	keep     [][]uint64
	counts   = map[string]*slot{}
	history  []string
	calls    int64
	trash    [][]byte
)

//go:wasmexport mr1_alloc
func alloc(n uint32) uint32 {
	b := make([]uint64, (n+7)/8)
	keep = append(keep, b)
	return uint32(uintptr(unsafe.Pointer(&b[0])))
}

//go:wasmexport mr1_describe
func describe() uint64 {
	manifest = strings.ReplaceAll(manifestText, "STATE", state)
	return uint64(uintptr(unsafe.Pointer(unsafe.StringData(manifest))))<<32 | uint64(len(manifest))
}

//go:wasmexport mr1_state
func slotBytes() uint32 { return 24 }

//go:wasmexport mr1_frame
func onFrame(p uint32) int32 {
	f := at[frame](p, 0)
	for i := range f.rows {
		value := *at[float64](at[column](f.col, 0).data, i)
		text := at[column](f.col, 1)
		from, to := *at[uint32](text.off, i), *at[uint32](text.off, i+1)
		s := at[slot](*at[uint32](f.slot, i), 0)
		chance := int64(0)
		if state == "memory" {
			s, chance = remember(string(unsafe.Slice(at[byte](text.data, from), to-from)), value)
		}
		s.n++
		s.sum += int64(value)
		for k, v := range []int64{s.n, s.sum, chance} {
			out := at[column](f.ocol, uint32(k))
			*at[int64](out.data, i) = v
			*at[byte](out.valid, i/8) |= 1 << (i % 8)
		}
		*at[byte](f.emit, i) = 1
	}
	return 0
}

// remember keeps what a key has in maps and slices of strings.
func remember(device string, value float64) (*slot, int64) {
	calls++
	s := counts[device]
	if s == nil {
		s = new(slot)
		counts[device] = s
	}
	history = append(history, fmt.Sprint(device, " ", value))
	if len(history) > 200 {
		history = append([]string(nil), history[100:]...)
	}
	if trash = append(trash, make([]byte, 1000)); len(trash) > 300 {
		trash = nil
	}
	return s, calls + rand.Int63n(1000) + time.Now().UnixMicro()%1000 + int64(len(history[len(history)/2]))
}

func main() {}
