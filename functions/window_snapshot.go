package functions

import (
	"errors"
	"fmt"
	"slices"

	"millrace.dev/millrace/pipeline"
)

// Snapshot appends what the window remembers to dst. It does not change it.
func (w *Window) Snapshot(dst []byte) ([]byte, error) {
	if w.broken != nil {
		return dst, w.broken
	}
	out := &writer{dst}
	out.head(&w.Stage)
	out.bytes(w.shape())
	out.uint(w.slots.size)
	n := uint32(0)
	for key := range w.panes.Keys() {
		if open, _ := w.panes.Of(uint32(key)); len(open) > 0 {
			n++
		}
	}
	out.uint(n)
	for key := range w.panes.Keys() {
		if open, lane := w.panes.Of(uint32(key)); len(open) > 0 {
			out.text(w.keys.Name(uint32(key)))
			out.lane(open, &lane)
			for _, o := range open {
				w.content(out, o.ID)
			}
			if lane.Back >= 0 {
				w.content(out, lane.Back)
			}
		}
	}
	return out.b, nil
}

// lane writes all of a key but what its panes hold.
func (w *writer) lane(open []pipeline.Pane, l *pipeline.Lane) {
	w.word(uint64(l.Spoken))
	w.word(uint64(l.EarlyAt))
	w.word(uint64(l.Done))
	w.uint(uint32(l.Settled))
	w.uint(uint32(l.Front))
	w.yes(l.Back >= 0)
	w.uint(uint32(len(l.Revised)))
	for _, r := range l.Revised {
		w.word(uint64(r.End))
		w.uint(uint32(r.Times))
	}
	w.uint(uint32(len(open)))
	for _, o := range open {
		w.word(uint64(o.Start))
		w.word(uint64(o.Last))
		w.uint(uint32(o.Rows))
		w.yes(o.Fresh)
	}
}

// lane reads what lane wrote.
func (r *reader) lane() (open []pipeline.Pane, l pipeline.Lane) {
	l.Spoken, l.EarlyAt, l.Done = int64(r.word()), int64(r.word()), int64(r.word())
	l.Settled, l.Front, l.Back = int32(r.uint()), int32(r.uint()), -1
	if r.byte() != 0 {
		l.Back = 0
	}
	r.each(func() { l.Revised = append(l.Revised, pipeline.Revised{End: int64(r.word()), Times: int32(r.uint())}) })
	r.each(func() {
		open = append(open, pipeline.Pane{Start: int64(r.word()), Last: int64(r.word()), Rows: int32(r.uint()), Fresh: r.byte() != 0})
	})
	return open, l
}

// content writes what a pane holds.
func (w *Window) content(out *writer, id int32) {
	p := &w.info[id]
	out.byte(p.hop)
	out.yes(p.failed == nil)
	if p.failed == nil {
		out.b = append(out.b, w.slots.bytes(w.inst, id)...)
	}
	for _, c := range p.carry {
		out.yes(c.has)
		out.bytes(c.value)
	}
}

// shape is what the content of panes follows from.
func (w *Window) shape() []byte {
	s := &writer{}
	rule := &w.panes.Window
	s.byte(byte(rule.Kind))
	for _, v := range []int64{rule.Size, rule.Every, rule.Early, rule.Correct} {
		s.word(uint64(v))
	}
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
	if w.panes.Keys() > 0 {
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
			failed = w.restoreKey(r)
		}
	})
	return failed
}

func (w *Window) restoreKey(r *reader) error {
	key := r.name()
	open, lane := r.lane()
	if r.err != nil {
		return nil // told by whole
	}
	code, ok := w.keys.Code([]byte(key))
	if !ok {
		return fmt.Errorf("the snapshot has more keys than may be: the most is %d", w.keys.Max)
	}
	if err := w.panes.Put(code, open, &lane); err != nil {
		return fmt.Errorf("the snapshot is wrong: key %s %w", quoted(key), err)
	}
	for _, o := range open {
		if err := w.restoreContent(r, o.ID); err != nil {
			return err
		}
	}
	if lane.Back >= 0 {
		return w.restoreContent(r, lane.Back)
	}
	return nil
}

func (w *Window) restoreContent(r *reader, id int32) error {
	hop, has := r.byte(), r.byte() != 0
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
	p := w.paneOf(id)
	if p.failed != nil {
		return p.failed
	}
	p.hop, p.carry = hop, carry
	if !has {
		p.failed = errors.New("its memory was full before the restart")
	}
	copy(w.slots.bytes(w.inst, id), slot)
	return nil
}
