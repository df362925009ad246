package join

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A snapshot is, with numbers as LEB128, zigzag where they may be negative:
//
//	u8 format, u8 kind, within, streams × text
//	fields × {text, u8 kind}, shared results × {text, u8 kind}
//	results made by open layouts × {stream, field}
//	offset and number of the last pair, of a Join
//	keys × {text, rows × {u8 stream, u8 matched, u8 hop, ordinal, time, arrived, offset, values}}
//
// Every list begins with its length. Keys are written by name.
const snapshotFormat = 1

var errDamaged = errors.New("the snapshot is damaged")

type writer struct{ b []byte }

func (w *writer) uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)   { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) text(v []byte) { w.uint(uint64(len(v))); w.b = append(w.b, v...) }

func (w *writer) field(f pipeline.Field) {
	w.text([]byte(f.Name))
	w.uint(uint64(f.Kind))
}

// A reader reads what a writer wrote; after an error it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	return cutNumber(r, v, n)
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	return cutNumber(r, v, n)
}

func cutNumber[T uint64 | int64](r *reader, v T, n int) T {
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// each calls do as often as the list at hand is long.
func (r *reader) each(do func(i int)) {
	n := r.uint()
	for i := 0; uint64(i) < n && !r.bad; i++ {
		do(i)
	}
}

func (r *reader) field() pipeline.Field {
	return pipeline.Field{Name: string(r.text()), Kind: pipeline.Kind(r.uint())}
}

// Snapshot implements pipeline.Snapshotter.
func (a *Align) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	a.write(w, a.kind, 0, 0)
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (a *Align) Restore(snapshot []byte) error {
	if _, _, err := a.read(snapshot, a.kind); err != nil {
		return fmt.Errorf("align: %w", err)
	}
	return nil
}

// Snapshot implements pipeline.Snapshotter.
func (j *Join) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	j.write(w, j.kind, j.offset, j.pairs)
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (j *Join) Restore(snapshot []byte) (err error) {
	if j.offset, j.pairs, err = j.read(snapshot, j.kind); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

func (s *base) write(w *writer, kind Kind, offset uint64, pairs uint32) {
	l := s.layout
	w.uint(snapshotFormat)
	w.uint(uint64(kind))
	w.int(l.config.Within)
	w.uint(uint64(len(l.config.Streams)))
	for _, name := range l.config.Streams {
		w.text([]byte(name))
	}
	w.uint(uint64(len(l.fields)))
	for _, f := range l.fields {
		w.field(f)
	}
	w.uint(uint64(l.shared))
	for i := range l.shared {
		w.field(l.out.Columns[i].Field)
	}
	s.writeOpened(w)
	w.uint(offset)
	w.uint(uint64(pairs))
	n := 0
	for _, rows := range s.rows {
		if len(rows) > 0 {
			n++
		}
	}
	w.uint(uint64(n))
	for key, rows := range s.rows {
		if len(rows) == 0 {
			continue
		}
		w.text([]byte(l.out.Keys.Name(uint32(key))))
		w.uint(uint64(len(rows)))
		for i := range rows {
			w.row(&rows[i])
		}
	}
}

// writeOpened writes which stream and field the results come from that an
// open layout has made, in their order.
func (s *base) writeOpened(w *writer) {
	l := s.layout
	first := l.shared + len(l.config.Columns)
	w.uint(uint64(len(l.out.Columns) - first))
	for at := first; at < len(l.out.Columns); at++ {
		for stream := range l.to {
			if field := slices.Index(l.to[stream], int32(at)); field >= 0 {
				w.uint(uint64(stream))
				w.uint(uint64(field))
			}
		}
	}
}

func (w *writer) row(r *row) {
	matched := byte(0)
	if r.matched {
		matched = 1
	}
	w.b = append(w.b, r.stream, matched, r.hop)
	w.uint(uint64(r.ordinal))
	w.int(r.time)
	w.int(r.arrived)
	w.uint(r.offset)
	w.text(r.data)
}

// read takes a snapshot back; it returns what Join has beside.
func (s *base) read(snapshot []byte, kind Kind) (offset uint64, pairs uint32, err error) {
	r := &reader{b: snapshot}
	l := s.layout
	if slices.ContainsFunc(s.rows, func(rows []row) bool { return len(rows) > 0 }) {
		return 0, 0, errors.New("the stage is not new")
	}
	if r.uint() != snapshotFormat || Kind(r.uint()) != kind || r.int() != l.config.Within {
		return 0, 0, errors.New("the snapshot is that of another kind or time")
	}
	var streams []string
	r.each(func(int) { streams = append(streams, string(r.text())) })
	if !slices.Equal(streams, l.config.Streams) {
		return 0, 0, errors.New("the snapshot has other streams")
	}
	numbers, err := s.readFields(r)
	if err != nil {
		return 0, 0, err
	}
	r.each(func(int) {
		stream, field := r.uint(), r.uint()
		if stream >= uint64(len(l.to)) || field >= uint64(len(numbers)) {
			r.bad = true
			return
		}
		if to := l.to[stream][numbers[field]]; to < 0 && l.config.Open {
			l.open(int(stream), numbers[field])
		}
	})
	offset, pairs = r.uint(), uint32(r.uint())
	r.each(func(int) { s.readKey(r, numbers) })
	if r.bad || len(r.b) > 0 {
		return 0, 0, errDamaged
	}
	return offset, pairs, nil
}

// readFields returns our number of each field of the snapshot.
func (s *base) readFields(r *reader) ([]int, error) {
	l := s.layout
	var numbers []int
	r.each(func(int) {
		f := r.field()
		if f.Kind < pipeline.Float || f.Kind > pipeline.Bytes || len(l.fields) >= 2*ColumnsMax {
			r.bad = true
			return
		}
		numbers = append(numbers, l.number(f))
	})
	same := true
	n := 0
	r.each(func(i int) {
		f := r.field()
		n++
		same = same && i < l.shared && l.out.Columns[i].Field == f
	})
	if !r.bad && (!same || n != l.shared) {
		return nil, errors.New("the snapshot has other key columns or topic levels")
	}
	return numbers, nil
}

func (s *base) readKey(r *reader, numbers []int) {
	code, ok := s.layout.out.Keys.Code(r.text())
	if !ok {
		r.bad = true
		return
	}
	r.each(func(int) {
		if len(r.b) < 3 {
			r.bad = true
			return
		}
		one := row{stream: r.b[0], matched: r.b[1] != 0, hop: r.b[2]}
		r.b = r.b[3:]
		one.ordinal, one.time, one.arrived, one.offset = uint32(r.uint()), r.int(), r.int(), r.uint()
		one.data, ok = s.renumber(r.text(), numbers)
		if !ok || int(one.stream) >= len(s.layout.to) {
			r.bad = true
			return
		}
		s.insert(code, one)
	})
}

// renumber copies the values of a row with our numbers of their fields.
func (s *base) renumber(data []byte, numbers []int) (dst []byte, ok bool) {
	for len(data) > 0 {
		field, n := binary.Uvarint(data)
		if n <= 0 || field >= uint64(len(numbers)) {
			return nil, false
		}
		data = data[n:]
		ours := numbers[field]
		if size, n := binary.Uvarint(data); s.layout.fields[ours].Kind >= pipeline.Text && (n <= 0 || size > uint64(len(data)-n)) {
			return nil, false
		}
		width := s.layout.width(ours, data)
		if width > len(data) {
			return nil, false
		}
		dst = binary.AppendUvarint(dst, uint64(ours))
		dst = append(dst, data[:width]...)
		data = data[width:]
	}
	return dst, true
}
