package steps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"millrace.dev/millrace/pipeline"
)

// A snapshot is, with counts as LEB128 and other numbers little endian:
//
//	u8 format, what step it is of, and what its configuration was, as texts
//	what the step remembers, mostly keys × {key, …}
//
// Keys are written by name, for codes are given out anew after a restart.
const snapshotFormat = 1

// A writer appends to a snapshot.
type writer struct{ b []byte }

func (w *writer) head(step, config string) {
	w.b = append(w.b, snapshotFormat)
	w.text(step)
	w.text(config)
}

func (w *writer) count(n int)     { w.b = binary.AppendUvarint(w.b, uint64(n)) }
func (w *writer) int(v int64)     { w.b = binary.LittleEndian.AppendUint64(w.b, uint64(v)) }
func (w *writer) float(v float64) { w.int(int64(math.Float64bits(v))) }
func (w *writer) text(s string)   { w.count(len(s)); w.b = append(w.b, s...) }
func (w *writer) bytes(b []byte)  { w.count(len(b)); w.b = append(w.b, b...) }

func (w *writer) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	w.b = append(w.b, b)
}

var errDamaged = errors.New("the snapshot is damaged")

// A reader reads a snapshot. After a mistake it gives zeros and keeps the error.
type reader struct {
	b   []byte
	err error
}

// head refuses the snapshot of another step, or of the same with another
// configuration.
func (r *reader) head(step, config string) {
	format, name, said := byte(0), "", ""
	if len(r.b) > 0 {
		format, r.b = r.b[0], r.b[1:]
	}
	if format == snapshotFormat {
		name, said = r.text(), r.text()
	}
	switch {
	case r.err != nil:
	case format != snapshotFormat:
		r.err = fmt.Errorf("the snapshot has format %d, want %d", format, snapshotFormat)
	case name != step || said != config:
		r.err = fmt.Errorf("the snapshot is of %s %s, want %s %s", name, said, step, config)
	}
}

// place reads what count wrote, a number below end.
func (r *reader) place(end int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v >= uint64(end) {
		r.damaged()
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// count reads a number of things that follow and have at least size bytes each.
func (r *reader) count(size int) int {
	n := r.place(len(r.b) + 1)
	if n > len(r.b)/size {
		r.damaged()
		return 0
	}
	return n
}

func (r *reader) damaged() {
	r.b = nil
	if r.err == nil {
		r.err = errDamaged
	}
}

func (r *reader) int() int64 {
	if len(r.b) < 8 {
		r.damaged()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return int64(v)
}

func (r *reader) float() float64 { return math.Float64frombits(uint64(r.int())) }

func (r *reader) bytes() []byte {
	n := r.count(1)
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) bool() bool {
	if len(r.b) == 0 || r.b[0] > 1 {
		r.damaged()
		return false
	}
	v := r.b[0] == 1
	r.b = r.b[1:]
	return v
}

// end returns what was wrong, bytes that are left included.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errDamaged
	}
	return r.err
}

// A memory is what a step remembers of each key. Memory of a key is the zero
// T until the key is seen.
type memory[T any] struct {
	keys *pipeline.Keys
	of   []entry[T] // by key code
}

type entry[T any] struct {
	known bool
	T     T
}

// at returns the memory of a key, and whether it is new.
func (m *memory[T]) at(code uint32) (t *T, fresh bool) {
	for int(code) >= len(m.of) {
		m.of = append(m.of, make([]entry[T], m.keys.Len()-len(m.of))...)
	}
	e := &m.of[code]
	fresh, e.known = !e.known, true
	return &e.T, fresh
}

// snapshot writes every key that is known.
func (m *memory[T]) snapshot(w *writer, one func(*T)) {
	n := 0
	for i := range m.of {
		if m.of[i].known {
			n++
		}
	}
	w.count(n)
	for code := range m.of {
		if m.of[code].known {
			w.text(m.keys.Name(uint32(code)))
			one(&m.of[code].T)
		}
	}
}

// restore reads what snapshot wrote.
func (m *memory[T]) restore(r *reader, one func(*T)) {
	for range r.count(1) {
		code, ok := m.keys.Code(r.bytes())
		if !ok && r.err == nil {
			r.err = fmt.Errorf("the snapshot has more than %d keys", m.keys.Max)
		}
		if r.err != nil {
			return
		}
		t, fresh := m.at(code)
		if !fresh {
			r.err = errDamaged
			return
		}
		one(t)
	}
}
