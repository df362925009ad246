package functions

import (
	"errors"
	"slices"
)

// An image is all that makes a guest what it is: its memory, its mutable
// globals, what it has seen of the world, and where in it the host's things are.
type image struct {
	mem     []byte
	globals []uint64
	world   world
	rooms   []room
	frame   uint32
	text    room
	addr    []uint32
	spare   uint32
	spares  uint32
}

// keep copies the guest of s.
func (m *image) keep(s *Stage) {
	i := s.inst
	mem, _ := i.m.Memory().Read(0, i.m.Memory().Size())
	m.mem = append(m.mem[:0], mem...)
	m.globals = i.readGlobals(m.globals[:0])
	m.world = i.world
	m.rooms = append(m.rooms[:0], i.rooms...)
	m.frame = s.frame.addr
	m.text = room{s.text.addr, uint32(len(s.text.mem))}
	m.addr = append(m.addr[:0], s.slots.addr...)
	m.spare, m.spares = s.slots.spare, s.slots.spares
}

// restore makes the guest of s, which must be new, what it was.
func (m *image) restore(s *Stage) error {
	i := s.inst
	have := i.m.Memory().Size()
	if len(m.mem) > int(have) {
		if _, ok := i.m.Memory().Grow(uint32(len(m.mem)-int(have)) / pageBytes); !ok {
			return errFull
		}
	}
	mem, ok := i.m.Memory().Read(0, i.m.Memory().Size())
	if !ok || len(mem) != len(m.mem) {
		return errors.New("a new instance has more memory than the one before")
	}
	copy(mem, m.mem)
	i.mem = mem
	i.writeGlobals(m.globals)
	i.world = m.world
	i.rooms = append(i.rooms[:0], m.rooms...)
	s.frame = frameAt(i, m.frame, s.spec)
	s.text = text{}
	if m.text.size > 0 {
		s.text = text{m.text.at, mem[m.text.at : m.text.at+m.text.size]}
	}
	s.slots.addr = slices.Clone(m.addr)
	s.slots.stamps = make([]uint32, len(m.addr))
	s.slots.spare, s.slots.spares = m.spare, m.spares
	return nil
}
