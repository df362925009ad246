package pipeline

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ObserveStreams is Observe for the rows of several streams: row i is of
// stream streams[i], below m.Streams. The Mark of a row is the watermark of
// its key over all its streams.
func (m *Marks) ObserveStreams(b *Batch, streams []uint8) {
	m.grow(b.Keys.Len())
	for i, code := range b.Key {
		m.floor[code] = m.of(code)
		m.now = max(m.now, b.Arrived[i])
		first := int(code) * m.Streams
		at := first + int(streams[i])
		m.meet(first)
		m.seen[at] = m.now
		m.latest[at] = max(m.latest[at], b.Time[i])
		m.floor[code] = m.of(code)
		b.Mark[i] = m.floor[code]
	}
}

// meet begins to count the silence of a new key's streams.
func (m *Marks) meet(first int) {
	latest := m.latest[first : first+m.Streams]
	if slices.Max(latest) == NoMark {
		for k := range latest {
			m.seen[first+k] = m.now
		}
	}
}

// ofStreams returns the watermark of a key with several streams.
func (m *Marks) ofStreams(code uint32) int64 {
	first := int(code) * m.Streams
	if first >= len(m.latest) {
		return NoMark
	}
	least, latest, busy := int64(0), int64(NoMark), false
	for k := first; k < first+m.Streams; k++ {
		at := m.latest[k]
		if at != NoMark {
			at -= m.Lateness
		}
		if silent := m.moved - m.seen[k]; m.Idle >= 0 && silent >= m.Idle {
			if at != NoMark {
				latest = max(latest, at+silent)
			}
			continue
		}
		if !busy || at < least {
			least = at
		}
		busy = true
	}
	if !busy {
		least = latest // all are silent: the clock moves them
	}
	return max(least, m.floor[code])
}

const marksFormat = 1

// Snapshot appends the watermarks to dst, those of keys by name: u8 format,
// u32 streams, i64 now, i64 moved, u32 keys × {u32 length, name, i64 floor,
// streams × {i64 latest, i64 seen}}, little endian.
func (m *Marks) Snapshot(dst []byte, keys *Keys) []byte {
	le := binary.LittleEndian
	n := max(m.Streams, 1)
	dst = append(dst, marksFormat)
	dst = le.AppendUint32(dst, uint32(n))
	dst = le.AppendUint64(dst, uint64(m.now))
	dst = le.AppendUint64(dst, uint64(m.moved))
	dst = le.AppendUint32(dst, uint32(len(m.floor)))
	for code, floor := range m.floor {
		name := keys.Name(uint32(code))
		dst = le.AppendUint32(dst, uint32(len(name)))
		dst = append(dst, name...)
		dst = le.AppendUint64(dst, uint64(floor))
		for k := code * n; k < (code+1)*n; k++ {
			dst = le.AppendUint64(dst, uint64(m.latest[k]))
			dst = le.AppendUint64(dst, uint64(m.seen[k]))
		}
	}
	return dst
}

var (
	errMarksOther   = errors.New("watermarks: the snapshot has another format, or another number of streams")
	errMarksDamaged = errors.New("watermarks: the snapshot is damaged")
	errMarksKeys    = errors.New("watermarks: the snapshot has more keys than may be")
)

// Restore takes a snapshot back, on new Marks with as many streams. A
// watermark stays where it was even if the lateness is now another.
func (m *Marks) Restore(snapshot []byte, keys *Keys) error {
	le := binary.LittleEndian
	n := max(m.Streams, 1)
	const head = 1 + 4 + 8 + 8 + 4
	if len(snapshot) < head {
		return errMarksDamaged
	}
	if snapshot[0] != marksFormat || le.Uint32(snapshot[1:]) != uint32(n) {
		return errMarksOther
	}
	now, moved, count := int64(le.Uint64(snapshot[5:])), int64(le.Uint64(snapshot[13:])), le.Uint32(snapshot[21:])
	rest := snapshot[head:]
	for range count {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(le.Uint32(rest))+8+16*uint64(n) {
			return errMarksDamaged
		}
		size := 4 + int(le.Uint32(rest))
		code, ok := keys.Code(rest[4:size])
		if !ok {
			return errMarksKeys
		}
		rest = rest[size:]
		m.grow(keys.Len())
		m.floor[code] = int64(le.Uint64(rest))
		for k := range n {
			m.latest[int(code)*n+k] = int64(le.Uint64(rest[8+16*k:]))
			m.seen[int(code)*n+k] = int64(le.Uint64(rest[16+16*k:]))
		}
		rest = rest[8+16*n:]
	}
	if len(rest) > 0 {
		return errMarksDamaged
	}
	m.now, m.moved = now, moved
	return nil
}
