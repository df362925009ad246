package functions

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// chunkBytes is about how much guest memory is asked for at a time for slots.
const chunkBytes = 16 << 10

// slotBytesMax is the largest slot.
const slotBytesMax = 1 << 20

// slots are the pieces of guest memory that belong to a key or a pane, by
// number from 0.
type slots struct {
	size   uint32   // bytes of one, a multiple of 8
	addr   []uint32 // by number
	spare  uint32   // address of the next that was never used
	spares uint32   // how many there are
	full   error    // why there can be no more

	stamp  uint32
	stamps []uint32 // by number: the frame that used it last
	kept   []int32  // numbers of those in before
	before []byte   // what they held before the frame
}

// grow makes number exist.
func (s *slots) grow(i *instance, number int32) error {
	for int(number) >= len(s.addr) {
		if s.full != nil {
			return s.full
		}
		if s.spares == 0 {
			if err := s.chunk(i); err != nil {
				s.full = err
				return err
			}
		}
		s.addr = append(s.addr, s.spare)
		s.stamps = append(s.stamps, 0)
		s.spare += s.size
		s.spares--
	}
	return nil
}

// chunk asks for room for many slots, or for one when memory is short.
func (s *slots) chunk(i *instance) error {
	n := max(1, chunkBytes/s.size)
	at, err := i.room(n * s.size)
	if errors.Is(err, errFull) && n > 1 {
		n = 1
		at, err = i.room(s.size)
	}
	if errors.Is(err, errFull) {
		return fmt.Errorf("no memory for another key after %d (limit %s)", len(s.addr), bytesText(uint64(i.limits.Memory)))
	}
	if err != nil {
		return err
	}
	s.spare, s.spares = at, n
	return nil
}

func (s *slots) bytes(i *instance, number int32) []byte {
	at := s.addr[number]
	return i.mem[at : at+s.size : at+s.size]
}

func (s *slots) timer(i *instance, number int32) int64 {
	return int64(binary.LittleEndian.Uint64(i.mem[s.addr[number]:]))
}

func (s *slots) setTimer(i *instance, number int32, at int64) {
	binary.LittleEndian.PutUint64(i.mem[s.addr[number]:], uint64(at))
}

// next begins a frame: no slot is stamped any more.
func (s *slots) next() {
	s.stamp++
	if s.stamp == 0 { // gone round
		clear(s.stamps)
		s.stamp = 1
	}
}

// keep copies the slots of a frame, each once, so that undo can put them back,
// and writes their addresses to dst.
func (s *slots) keep(i *instance, numbers []int32, dst []uint32) {
	s.next()
	s.kept, s.before = s.kept[:0], s.before[:0]
	size := s.size
	for k, n := range numbers {
		at := s.addr[n]
		dst[k] = at
		if s.stamps[n] != s.stamp {
			s.stamps[n] = s.stamp
			s.kept = append(s.kept, n)
			s.before = append(s.before, i.mem[at:at+size]...)
		}
	}
}

// point writes the addresses of the slots of a frame to dst.
func (s *slots) point(numbers []int32, dst []uint32) {
	dst = dst[:len(numbers)]
	for k, n := range numbers {
		dst[k] = s.addr[n]
	}
}

// undo puts the slots of the last frame back.
func (s *slots) undo(i *instance) {
	for k, n := range s.kept {
		copy(s.bytes(i, n), s.before[k*int(s.size):])
	}
}
