package functions

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A snapshot is, with numbers little endian and counts as LEB128:
//
//	u8 format, 32 bytes SHA-256 of the module, state_version
//	bad, skipped, u8 quarantined; u64 offset, next ordinal, u64 offset seen
//	state slots: bytes of a slot, slots × {key, u8 hop, slot}
//	state memory: image
//	a window, instead of slots: shape, bytes of a slot, keys × {key, u64 spoken,
//	  early at, done; settled, front, u8 has back; revised × {u64 end, times},
//	  panes × {u64 start, last, rows, u8 fresh}, content of each, then of back}
//	content: u8 hop, u8 has a slot, slot, carried × {u8 has, value}
//
// Keys are written by name, for codes are given out anew after a restart.
const snapshotFormat = 1

// writer appends to a snapshot.
type writer struct{ b []byte }

func (w *writer) uint(v uint32)  { w.b = appendUint(w.b, v) }
func (w *writer) word(v uint64)  { w.b = binary.LittleEndian.AppendUint64(w.b, v) }
func (w *writer) byte(v byte)    { w.b = append(w.b, v) }
func (w *writer) bytes(v []byte) { w.uint(uint32(len(v))); w.b = append(w.b, v...) }
func (w *writer) text(v string)  { w.uint(uint32(len(v))); w.b = append(w.b, v...) }

func (w *writer) yes(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (r *reader) word() uint64 {
	if b := r.bytes(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (w *writer) head(s *Stage) {
	w.byte(snapshotFormat)
	w.b = append(w.b, s.module.hash[:]...)
	w.uint(uint32(s.module.manifest.StateVersion))
	w.uint(uint32(s.bad))
	w.uint(uint32(s.skipped))
	w.yes(s.quarantined)
	w.word(s.number.offset)
	w.uint(s.number.next)
	w.word(s.number.seen)
}

// head reads what head wrote and refuses what is not for s.
func (r *reader) head(s *Stage) error {
	if format := r.byte(); r.err == nil && format != snapshotFormat {
		return fmt.Errorf("the snapshot has format %d, want %d", format, snapshotFormat)
	}
	hash := r.bytes(uint32(len(s.module.hash)))
	version := int(r.uint())
	s.bad, s.skipped, s.quarantined = int(r.uint()), int(r.uint()), r.byte() != 0
	s.number.offset, s.number.next, s.number.seen = r.word(), r.uint(), r.word()
	switch have := s.module.manifest.StateVersion; {
	case r.err != nil:
	case version != have:
		return fmt.Errorf("the snapshot has state_version %d, the module %d\n\thint: go back to the module that wrote it, or start without its memory", version, have)
	case s.module.manifest.State == stateMemory && !slices.Equal(hash, s.module.hash[:]):
		return errors.New("the snapshot is the memory of another build of the module\n\thint: with \"state\": \"memory\" only the same module can go on")
	}
	return nil
}

// Snapshot appends what the stage remembers to dst. It does not change the
// stage.
func (s *Stage) Snapshot(dst []byte) ([]byte, error) {
	if s.broken != nil {
		return dst, s.broken
	}
	w := &writer{dst}
	w.head(s)
	if s.image != nil {
		s.image.keep(s)
		w.image(s)
		return w.b, nil
	}
	w.uint(s.slots.size)
	w.uint(uint32(len(s.codes)))
	for k, code := range s.codes {
		w.text(s.keys.Name(code))
		w.byte(s.hops[k])
		w.b = append(w.b, s.slots.bytes(s.inst, int32(k))...)
	}
	return w.b, nil
}

// Restore takes a snapshot back, on a new stage built alike. The module may
// be another one as long as its state_version is the same. After an error the
// stage must not be used.
func (s *Stage) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	if err := s.restore(r); err != nil {
		return fmt.Errorf("function %s: %w", s.module.name, err)
	}
	return s.whole(r)
}

// whole tells whether the snapshot was read to its end and no further.
func (s *Stage) whole(r *reader) error {
	if r.err == nil && r.more() {
		r.fail("%d bytes too many", len(r.b)-r.at)
	}
	if r.err != nil {
		return fmt.Errorf("function %s: the snapshot is damaged: %w", s.module.name, r.err)
	}
	return nil
}

func (s *Stage) restore(r *reader) error {
	if s.broken != nil {
		return s.broken
	}
	if len(s.codes) > 0 {
		return errors.New("the stage is not new")
	}
	if err := r.head(s); err != nil || r.err != nil {
		return err
	}
	if s.image != nil {
		return r.image(s)
	}
	if size := r.uint(); r.err == nil && size != s.slots.size {
		return fmt.Errorf("the snapshot has slots of %d bytes, the module of %d\n\thint: another layout needs another state_version", size, s.slots.size)
	}
	var failed error
	r.each(func() {
		key, hop, slot := r.name(), r.byte(), r.bytes(s.slots.size)
		if r.err != nil || failed != nil {
			return
		}
		var number int32
		if number, failed = s.slotNamed(key); failed == nil {
			s.hops[number] = hop
			copy(s.slots.bytes(s.inst, number), slot)
		}
	})
	return failed
}

// codeOf returns the code of a key that has no slot yet.
func (s *Stage) codeOf(key string) (uint32, error) {
	code, ok := s.keys.Code([]byte(key))
	if !ok {
		return 0, fmt.Errorf("the snapshot has more keys than may be: the most is %d", s.keys.Max)
	}
	for len(s.byKey) < s.keys.Len() {
		s.byKey = append(s.byKey, -1)
	}
	if s.byKey[code] >= 0 {
		return 0, fmt.Errorf("the snapshot has the key %s twice", quoted(key))
	}
	return code, nil
}

// slotNamed makes a slot for a key that has none.
func (s *Stage) slotNamed(key string) (int32, error) {
	code, err := s.codeOf(key)
	if err != nil {
		return 0, err
	}
	number := s.slotFor(code)
	if number < 0 {
		return 0, s.slots.full
	}
	return number, nil
}

// nameSlot says whose the next slot is, which is there already.
func (s *Stage) nameSlot(key string, hop uint8) error {
	code, err := s.codeOf(key)
	if err != nil {
		return err
	}
	s.byKey[code] = int32(len(s.codes))
	s.codes, s.hops = append(s.codes, code), append(s.hops, hop)
	return nil
}
