package join

import (
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A row is one that waits.
type row struct {
	stream  uint8
	matched bool // it has been in a pair
	hop     uint8
	ordinal uint32
	time    int64
	arrived int64
	offset  uint64
	data    []byte // see layout
}

// spareMax is how much memory of rows is kept for use again.
const spareMax = 1024

// waiting are the rows that wait, by key code, in order of time.
type waiting struct {
	layout *layout
	rows   [][]row
	spare  [][]byte
}

// keep makes a row of row i of b, which waits.
func (w *waiting) keep(b *pipeline.Batch, i, stream int) *row {
	key := b.Key[i]
	r := row{
		stream: uint8(stream), hop: b.Hop[i], ordinal: b.Ordinal[i],
		time: b.Time[i], arrived: b.Arrived[i], offset: b.Offset[i],
	}
	if n := len(w.spare); n > 0 {
		r.data, w.spare = w.spare[n-1][:0], w.spare[:n-1]
	}
	r.data = w.layout.encode(r.data, b, i, stream)
	return w.insert(key, r)
}

func (w *waiting) insert(key uint32, r row) *row {
	w.grow(int(key) + 1)
	rows := w.rows[key]
	at := len(rows)
	for at > 0 && rows[at-1].time > r.time {
		at--
	}
	w.rows[key] = slices.Insert(rows, at, r)
	return &w.rows[key][at]
}

// drop takes a row away.
func (w *waiting) drop(key uint32, at int) {
	rows := w.rows[key]
	if len(w.spare) < spareMax {
		w.spare = append(w.spare, rows[at].data)
	}
	w.rows[key] = slices.Delete(rows, at, at+1)
}

// grow makes room for so many keys.
func (w *waiting) grow(keys int) {
	for len(w.rows) < keys {
		w.rows = append(w.rows, nil)
	}
}

// near returns the bounds of the rows of a key that are at most within from t.
func (w *waiting) near(key uint32, t, within int64) (from, to int) {
	rows := w.rows[key]
	byTime := func(r row, t int64) int {
		if r.time < t {
			return -1
		}
		return 1
	}
	from, _ = slices.BinarySearchFunc(rows, t-within, byTime)
	to, _ = slices.BinarySearchFunc(rows, t+within+1, byTime)
	return from, to
}

// over reports whether the first row of a key has nothing to wait for.
func (w *waiting) over(key uint32, mark int64) bool {
	rows := w.rows[key]
	return len(rows) > 0 && mark != pipeline.NoMark && rows[0].time+w.layout.config.Within < mark
}

// some reports whether a row waits.
func (w *waiting) some() bool {
	return slices.ContainsFunc(w.rows, func(rows []row) bool { return len(rows) > 0 })
}

// due returns the keys that have rows with nothing to wait for, by name.
func (w *waiting) due(dst []uint32, marks *pipeline.Marks) []uint32 {
	for key := range w.rows {
		if k := uint32(key); len(w.rows[key]) > 0 && w.over(k, marks.Of(k)) {
			dst = append(dst, k)
		}
	}
	keys := w.layout.out.Keys
	slices.SortFunc(dst, func(a, b uint32) int {
		if keys.Name(a) < keys.Name(b) {
			return -1
		}
		return 1
	})
	return dst
}
