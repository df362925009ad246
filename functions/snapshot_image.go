package functions

import (
	"bytes"
	"errors"
)

// blockBytes is the unit in which an image is written: blocks of zeros are not.
const blockBytes = 4096

// An image in a snapshot: bytes of memory, frame, text {at, size}, spare slot
// {at, count}, rooms × {at, size}, u64 clock, u64 randomness, globals × u64,
// slots × {key, u8 hop, at}, blocks × {number, 4096 bytes}.
func (w *writer) image(s *Stage) {
	m := s.image
	w.uint(uint32(len(m.mem)))
	w.uint(m.frame)
	w.uint(m.text.at)
	w.uint(m.text.size)
	w.uint(m.spare)
	w.uint(m.spares)
	w.uint(uint32(len(m.rooms)))
	for _, r := range m.rooms {
		w.uint(r.at)
		w.uint(r.size)
	}
	w.word(uint64(m.world.asked))
	w.word(m.world.random)
	w.uint(uint32(len(m.globals)))
	for _, g := range m.globals {
		w.word(g)
	}
	w.uint(uint32(len(m.addr)))
	for k, at := range m.addr {
		w.text(s.keys.Name(s.codes[k]))
		w.byte(s.hops[k])
		w.uint(at)
	}
	zero := make([]byte, blockBytes)
	count, blocks := uint32(0), writer{}
	for at := 0; at < len(m.mem); at += blockBytes {
		if block := m.mem[at : at+blockBytes]; !bytes.Equal(block, zero) {
			count++
			blocks.uint(uint32(at / blockBytes))
			blocks.b = append(blocks.b, block...)
		}
	}
	w.uint(count)
	w.b = append(w.b, blocks.b...)
}

// image reads what image wrote and makes it the guest of s.
func (r *reader) image(s *Stage) error {
	m := s.image
	size := r.uint()
	if size%pageBytes != 0 || size > s.limits.Memory {
		return errors.New("the snapshot's memory is larger than the limit\n\thint: raise the function's memory limit to what it was")
	}
	m.frame = r.uint()
	m.text = room{r.uint(), r.uint()}
	m.spare, m.spares = r.uint(), r.uint()
	m.rooms = m.rooms[:0]
	r.each(func() { m.rooms = append(m.rooms, room{r.uint(), r.uint()}) })
	m.world = world{asked: int64(r.word()), random: r.word()}
	m.globals = m.globals[:0]
	r.each(func() { m.globals = append(m.globals, r.word()) })
	var failed error
	var keys []string
	var hops []byte
	m.addr = m.addr[:0]
	r.each(func() {
		keys, hops, m.addr = append(keys, r.name()), append(hops, r.byte()), append(m.addr, r.uint())
	})
	m.mem = make([]byte, size)
	r.each(func() {
		at, block := uint64(r.uint())*blockBytes, r.bytes(blockBytes)
		if at+blockBytes > uint64(size) {
			r.fail("a block is not in memory")
			return
		}
		copy(m.mem[at:], block)
	})
	if r.err == nil {
		r.err = m.check(s)
	}
	if r.err != nil {
		return nil // told by whole
	}
	if failed = m.restore(s); failed != nil {
		return failed
	}
	for k, key := range keys {
		if failed = s.nameSlot(key, hops[k]); failed != nil {
			return failed
		}
	}
	return nil
}

// check makes sure that everything of the host's lies in memory.
func (m *image) check(s *Stage) error {
	in := func(at, size uint32) bool { return at&7 == 0 && uint64(at)+uint64(size) <= uint64(len(m.mem)) }
	var size builder
	(&frame{}).layOut(&size, s.spec)
	ok := in(m.frame, size.used) && in(m.text.at, m.text.size) && len(m.globals) == len(s.inst.globals)
	ok = ok && uint64(m.spares)*uint64(s.slots.size) <= uint64(len(m.mem)) && in(m.spare, m.spares*s.slots.size)
	for _, at := range m.addr {
		ok = ok && in(at, s.slots.size)
	}
	if !ok {
		return errors.New("something is not in memory")
	}
	return nil
}
