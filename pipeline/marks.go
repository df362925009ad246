package pipeline

import "math"

// Marks keeps the watermark of every source of a pipeline. A source is a key.
// Its watermark is its latest event time less the lateness: older rows are no
// longer waited for, and windows up to there may speak.
//
// A source that says nothing for Idle has its watermark moved on by the time
// that has passed since, so that the window of a silent device closes too.
// A watermark never moves back.
//
// Where a key has several streams, each has a watermark of its own, and that
// of the key is the least of those that are not idle: a step that brings
// streams together may wait for the slowest, but not for a silent one.
type Marks struct {
	Streams  int   // of a key; 0 is 1
	Lateness int64 // µs
	Idle     int64 // µs of silence after which the clock moves a watermark; 0: at once, negative: never

	behind int64 // see Behind
	now    int64 // processing time: the latest arrival or Advance
	moved  int64 // the processing time of the last Advance
	latest []int64
	seen   []int64
	floor  []int64
}

// NoMark is the watermark of a source that has not spoken.
const NoMark = math.MinInt64

// Now returns the processing time.
func (m *Marks) Now() int64 { return m.now }

// Observe counts the rows of b and sets their Mark. Rows whose event time is
// not to be believed must have been set aside before.
func (m *Marks) Observe(b *Batch) {
	m.grow(b.Keys.Len())
	for i, code := range b.Key {
		if silent := m.moved - m.seen[code]; m.Idle >= 0 && silent >= m.Idle {
			m.floor[code] = m.of(code)
		}
		m.now = max(m.now, b.Arrived[i])
		m.seen[code] = m.now
		m.latest[code] = max(m.latest[code], b.Time[i])
		b.Mark[i] = max(m.latest[code]-m.Lateness, m.floor[code])
	}
}

// Advance moves the processing time on.
func (m *Marks) Advance(now int64) {
	m.now = max(m.now, now)
	m.moved = m.now
}

// Of returns the watermark of a source as of the last Advance.
func (m *Marks) Of(code uint32) int64 {
	at := m.of(code)
	if at == NoMark {
		return NoMark
	}
	return at - m.behind
}

// Behind returns a view of the watermarks in which all are d behind.
func (m *Marks) Behind(d int64) *Marks {
	view := *m
	view.behind += d
	return &view
}

func (m *Marks) of(code uint32) int64 {
	if m.Streams > 1 {
		return m.ofStreams(code)
	}
	if int(code) >= len(m.latest) || m.latest[code] == NoMark {
		return NoMark
	}
	at := m.latest[code] - m.Lateness
	if silent := m.moved - m.seen[code]; m.Idle >= 0 && silent >= m.Idle {
		at += silent
	}
	return max(at, m.floor[code])
}

func (m *Marks) grow(n int) {
	for len(m.floor) < n {
		m.floor = append(m.floor, NoMark)
	}
	for len(m.latest) < n*max(m.Streams, 1) {
		m.latest = append(m.latest, NoMark)
		m.seen = append(m.seen, 0)
	}
}
