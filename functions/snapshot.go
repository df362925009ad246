package functions

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A snapshot is, with numbers little endian and counts as LEB128:
//
//	u8 format, 32 bytes SHA-256 of the module, state_version
//	bad, skipped, u8 quarantined; u64 offset, next ordinal, u64 offset seen
//	state slots: bytes of a slot, slots × {key, u8 hop, slot}
//	state memory: image
//	a window, instead of slots: u64 size, parameters, bytes of a slot,
//	  panes × {key, u64 start, u8 hop, u8 has a slot, slot, carried × {u8 has, value}}
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

// Snapshot appends what the window remembers to dst. It does not change it.
func (w *Window) Snapshot(dst []byte) ([]byte, error) {
	if w.broken != nil {
		return dst, w.broken
	}
	out := &writer{dst}
	out.head(&w.Stage)
	out.bytes(w.shape())
	out.uint(w.slots.size)
	open := uint32(0)
	for id := range w.info {
		if w.info[id].isOpen {
			open++
		}
	}
	out.uint(open)
	for id := range w.info {
		p := &w.info[id]
		if !p.isOpen {
			continue
		}
		out.text(w.keys.Name(p.key))
		out.word(uint64(p.start))
		out.byte(p.hop)
		out.yes(p.failed == nil)
		if p.failed == nil {
			out.b = append(out.b, w.slots.bytes(w.inst, int32(id))...)
		}
		for _, c := range p.carry {
			out.yes(c.has)
			out.bytes(c.value)
		}
	}
	return out.b, nil
}

// shape is what the content of panes follows from.
func (w *Window) shape() []byte {
	s := &writer{}
	s.word(uint64(w.size))
	for _, p := range w.spec.params {
		s.text(fmt.Sprint(p))
	}
	for _, c := range append(slices.Clone(w.inputs), w.carry...) {
		s.text(c.name)
		s.byte(byte(c.kind))
	}
	return s.b
}

// Restore takes a snapshot back, on a new window built alike. After an error
// the window must not be used.
func (w *Window) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	if err := w.restorePanes(r); err != nil {
		return fmt.Errorf("window: %w", err)
	}
	return w.whole(r)
}

func (w *Window) restorePanes(r *reader) error {
	if w.broken != nil {
		return w.broken
	}
	if len(w.info) > 0 {
		return errors.New("the window is not new")
	}
	if err := r.head(&w.Stage); err != nil || r.err != nil {
		return err
	}
	if shape := r.bytes(r.uint()); r.err == nil && !slices.Equal(shape, w.shape()) {
		return errors.New("the snapshot is that of a window with another size, columns or aggregates\n\thint: give the changed pipeline another name, or start without its memory")
	}
	if size := r.uint(); r.err == nil && size != w.slots.size {
		return fmt.Errorf("the snapshot has slots of %d bytes, the module of %d", size, w.slots.size)
	}
	var failed error
	r.each(func() {
		if failed == nil {
			failed = w.restorePane(r)
		}
	})
	return failed
}

func (w *Window) restorePane(r *reader) error {
	key, start, hop, has := r.name(), int64(r.word()), r.byte(), r.byte() != 0
	var slot []byte
	if has {
		slot = r.bytes(w.slots.size)
	}
	carry := make([]carried, len(w.carry))
	for k := range carry {
		carry[k] = carried{r.byte() != 0, slices.Clone(r.bytes(r.uint()))}
	}
	if r.err != nil {
		return nil // told by whole
	}
	code, ok := w.keys.Code([]byte(key))
	if !ok {
		return fmt.Errorf("the snapshot has more keys than may be: the most is %d", w.keys.Max)
	}
	row := pipeline.NewBatch(nil, w.keys)
	row.AppendRow(pipeline.Row{Time: start, Mark: pipeline.NoMark, Key: code, Hop: hop})
	ids, _ := w.panes.Assign(row, nil, nil)
	if ids[0] < 0 {
		return fmt.Errorf("the snapshot has more panes of key %s open than may be: the most is %d", quoted(key), w.most)
	}
	p := w.pane(ids[0])
	if p.isOpen {
		return fmt.Errorf("the snapshot has a pane of key %s twice", quoted(key))
	}
	*p = pane{key: code, start: start, isOpen: true, hop: hop, last: -1, carry: carry}
	if err := w.slots.grow(w.inst, ids[0]); err != nil {
		return err
	}
	if !has {
		p.failed = errors.New("its memory was full before the restart")
	}
	copy(w.slots.bytes(w.inst, ids[0]), slot)
	return nil
}
