package functions

import (
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero/experimental"

	"millrace.dev/millrace/pipeline"
)

func TestGuestMemoryStaysWhereItIsAndWithinItsLimit(t *testing.T) {
	const most = 40 * pageBytes
	for name, m := range map[string]experimental.LinearMemory{"system": reserve(most), "heap": reserveHeap(most)} {
		b := m.Reallocate(pageBytes)
		b[0], b[pageBytes-1] = 1, 2
		for _, size := range []uint64{2 * pageBytes, most} {
			grown := m.Reallocate(size)
			if &grown[0] != &b[0] || uint64(len(grown)) != size || uint64(cap(grown)) != size {
				t.Errorf("%s: %d bytes moved, or are %d with room for %d", name, size, len(grown), cap(grown))
			}
			grown[size-1] = 3
			if b[0] != 1 || b[pageBytes-1] != 2 || size > pageBytes && grown[pageBytes] != 0 {
				t.Errorf("%s: memory is not what it was, or new memory not zero", name)
			}
		}
		if m.Reallocate(most+1) != nil {
			t.Errorf("%s: more than the limit was given", name)
		}
		m.Free()
		m.Free()
	}
	if m := reserve(0); m.Reallocate(0) == nil && m.Reallocate(1) != nil {
		t.Error("no memory at all: got some")
	}
}

// Without the steps that the rewrite counts, the collector would wait for as
// long as the guest loops.
func TestTheCollectorDoesNotWaitForALoopingGuest(t *testing.T) {
	m := loadGuest(t, newRuntime(t, Options{StepsMax: 1_000_000_000}), "hostile")
	keys := pipeline.NewKeys(10)
	s := bind(t, m, Binding{With: map[string]float64{"how": howLoop}}, readings, keys)
	b := pipeline.NewBatch(readings, keys)
	fill(b, []reading{{1, "a", 13, false}}, 0)
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		var out pipeline.Outputs
		close(begun)
		ended <- s.Process(b, &out)
	}()
	<-begun
	for range 3 {
		runtime.GC()
	}
	select {
	case err := <-ended:
		t.Errorf("the guest looped for less than three collections: %v", err)
	default:
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
