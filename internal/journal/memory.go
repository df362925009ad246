package journal

import (
	"context"
	"io"
	"slices"
	"sync"
)

const (
	segmentBytes   = 256 << 10
	segmentRecords = 2048
	spareMax       = 16 // segments kept for use again
	recordOverhead = 64 // bytes a record is counted for beside topic and payload
)

// Memory is a journal that lasts as long as the process: a ring of segments.
// A segment is used again once every reader has released what is in it.
type Memory struct {
	bytesMax int

	mu       sync.Mutex
	segments []*segment // oldest first; the last one is written
	spare    []*segment
	bytes    int // of all segments
	next     uint64
	readers  []*memoryReader
	closed   bool
	more     chan struct{} // closed and replaced when messages come
	room     chan struct{} // closed and replaced when space is released
	waiting  bool          // somebody waits for more
	full     bool          // somebody waits for room
}

// A segment is a run of messages.
type segment struct {
	first   uint64
	bytes   int // what its messages are counted for
	data    []byte
	records []Record
}

// NewMemory returns a journal that keeps at most bytesMax bytes of messages
// that readers still need, counting 64 bytes for each beside topic and payload.
func NewMemory(bytesMax int) *Memory {
	return &Memory{bytesMax: bytesMax, next: 1, more: make(chan struct{}), room: make(chan struct{})}
}

func size(r *Record) int { return len(r.Topic) + len(r.Payload) + recordOverhead }

// Append implements Journal.
func (m *Memory) Append(ctx context.Context, r Record) (uint64, error) {
	for {
		m.mu.Lock()
		offset, err := m.append(&r)
		if err != ErrFull {
			m.mu.Unlock()
			return offset, err
		}
		room := m.willHaveRoom()
		m.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// onRoom returns a channel that is closed when space is released.
func (m *Memory) onRoom() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.willHaveRoom()
}

func (m *Memory) willHaveRoom() <-chan struct{} {
	m.full = true
	return m.room
}

// TryAppend implements Journal.
func (m *Memory) TryAppend(r Record) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.append(&r)
}

func (m *Memory) append(r *Record) (uint64, error) {
	n := size(r)
	switch {
	case m.closed:
		return 0, ErrClosed
	case n > m.bytesMax:
		return 0, ErrTooLarge
	case m.bytes+n > m.bytesMax && !m.reclaim(n):
		return 0, ErrFull
	}
	s := m.segment(n)
	from := len(s.data)
	s.data = append(append(s.data, r.Topic...), r.Payload...)
	kept := *r
	kept.Offset = m.next
	kept.Topic = s.data[from : from+len(r.Topic) : from+len(r.Topic)]
	kept.Payload = s.data[from+len(r.Topic) : len(s.data) : len(s.data)]
	s.records = append(s.records, kept)
	m.bytes += n
	s.bytes += n
	m.next++
	if m.waiting {
		m.waiting = false
		close(m.more)
		m.more = make(chan struct{})
	}
	return kept.Offset, nil
}

// segment returns the one to write n bytes to.
func (m *Memory) segment(n int) *segment {
	if k := len(m.segments); k > 0 {
		s := m.segments[k-1]
		if len(s.data)+n <= cap(s.data) && len(s.records) < cap(s.records) {
			return s
		}
	}
	var s *segment
	if k := len(m.spare); k > 0 && n <= segmentBytes {
		s, m.spare = m.spare[k-1], m.spare[:k-1]
	} else {
		s = &segment{data: make([]byte, 0, max(segmentBytes, n)), records: make([]Record, 0, segmentRecords)}
	}
	s.first = m.next
	m.segments = append(m.segments, s)
	return s
}

// reclaim frees the segments that nobody needs and reports whether n bytes fit then.
func (m *Memory) reclaim(n int) bool {
	needed := m.next
	for _, r := range m.readers {
		needed = min(needed, r.released+1)
	}
	k := 0
	for k < len(m.segments) && m.segments[k].first+uint64(len(m.segments[k].records)) <= needed {
		s := m.segments[k]
		m.bytes -= s.bytes
		if cap(s.data) == segmentBytes && len(m.spare) < spareMax {
			s.data, s.records, s.bytes = s.data[:0], s.records[:0], 0
			m.spare = append(m.spare, s)
		}
		k++
	}
	m.segments = slices.Delete(m.segments, 0, k)
	return m.bytes+n <= m.bytesMax
}

// Put implements Journal: what is in memory needs nothing to be found again.
func (m *Memory) Put(Entry) (Commit, Position, error) { return 0, 0, nil }

// Last implements Journal.
func (m *Memory) Last() Commit { return 0 }

// Committed implements Journal.
func (m *Memory) Committed() Commit { return 0 }

// Sync implements Journal: memory is as durable as it ever gets.
func (m *Memory) Sync(context.Context, Commit) error { return nil }

// OnCommit implements Journal: there are no commits.
func (m *Memory) OnCommit(func(Commit)) {}

// Entries implements Journal: there are none.
func (m *Memory) Entries(Kind, string, func(Position, []byte) error) error { return nil }

// Names implements Journal.
func (m *Memory) Names(Kind) []string { return nil }

// Follow implements Journal.
func (m *Memory) Follow(Kind, string, Position) EntryReader { return noEntries{} }

// noEntries reads what a Memory has kept of entries.
type noEntries struct{}

func (noEntries) Next() (Position, []byte, error) { return 0, nil, io.EOF }
func (noEntries) Close() error                    { return nil }

// Next implements Journal.
func (m *Memory) Next() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next
}

// Need implements Journal: readers say what they need.
func (m *Memory) Need(string, uint64, Position) {}

// Span implements Journal: nothing is on disk.
func (m *Memory) Span() (oldest, end, most Position) { return 0, 0, 0 }

// Failed implements Journal: memory does not fail.
func (m *Memory) Failed() <-chan struct{} { return nil }

// Err implements Journal.
func (m *Memory) Err() error { return nil }

// Read implements Journal.
func (m *Memory) Read(offset uint64) Reader {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest := m.next
	if len(m.segments) > 0 {
		oldest = m.segments[0].first
	}
	r := &memoryReader{m: m, at: max(offset, oldest)}
	r.released = r.at - 1
	m.readers = append(m.readers, r)
	return r
}

// Seal implements Journal.
func (m *Memory) Seal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.more)
		close(m.room)
	}
}

// Close implements Journal: a Memory keeps no entries, so there is no more to
// end than Seal does.
func (m *Memory) Close() error {
	m.Seal()
	return nil
}

// A memoryReader reads a Memory.
type memoryReader struct {
	m        *Memory
	at       uint64 // the next offset
	released uint64
}

// Next implements Reader.
func (r *memoryReader) Next(ctx context.Context, dst []Record, limit int) ([]Record, error) {
	m := r.m
	for {
		m.mu.Lock()
		if r.at < m.next {
			dst = r.take(dst, limit)
			m.mu.Unlock()
			return dst, nil
		}
		if m.closed {
			m.mu.Unlock()
			return dst, ErrClosed
		}
		m.waiting = true
		more := m.more
		m.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return dst, ctx.Err()
		}
	}
}

func (r *memoryReader) take(dst []Record, limit int) []Record {
	i, found := slices.BinarySearchFunc(r.m.segments, r.at, func(s *segment, at uint64) int {
		switch {
		case at < s.first:
			return 1
		case at >= s.first+uint64(len(s.records)):
			return -1
		}
		return 0
	})
	if !found {
		panic("BUG: a message that is not released is gone")
	}
	for ; limit > 0 && i < len(r.m.segments); i++ {
		s := r.m.segments[i]
		from := int(r.at - s.first)
		n := min(limit, len(s.records)-from)
		dst = append(dst, s.records[from:from+n]...)
		r.at += uint64(n)
		limit -= n
	}
	return dst
}

// Release implements Reader.
func (r *memoryReader) Release(offset uint64) {
	m := r.m
	m.mu.Lock()
	defer m.mu.Unlock()
	r.released = max(r.released, min(offset, r.at-1))
	m.reclaim(0)
	if m.full && !m.closed {
		m.full = false
		close(m.room)
		m.room = make(chan struct{})
	}
}
