package journal

import (
	"math"
	"slices"
	"time"
)

// A need is what somebody wants to be kept; zeros are for nothing.
type need struct {
	offset   uint64
	position Position
}

// A pin is what has to be kept, whoever needs it.
type pin struct {
	offset   uint64   // from this message on
	position Position // from this entry on
}

// Need implements Journal.
func (d *Disk) Need(who string, offset uint64, position Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.needs[who] == (need{offset, position}) {
		return
	}
	if offset == 0 && position == 0 {
		delete(d.needs, who)
	} else {
		d.needs[who] = need{offset, position}
	}
	d.isPinned = false
	d.change()
}

// pins returns what has to be kept.
func (d *Disk) pins() pin {
	if d.isPinned {
		return d.pinned
	}
	p := pin{math.MaxUint64, d.synced}
	for _, n := range d.needs {
		if n.offset != 0 {
			p.offset = min(p.offset, n.offset)
		}
		if n.position != 0 {
			p.position = min(p.position, n.position)
		}
	}
	for r := range d.readers {
		p.offset = min(p.offset, r.at.Load())
	}
	for _, s := range d.streams {
		if s.from != 0 {
			p.position = min(p.position, s.from)
		}
	}
	d.pinned, d.isPinned = p, true
	return p
}

// releasable returns how many of the oldest segments nobody needs.
func (d *Disk) releasable(p pin) int {
	n := 0
	for n+1 < len(d.segments) && d.segments[n].end() <= p.position && d.segments[n+1].first <= p.offset {
		n++
	}
	return n
}

func (d *Disk) segmentsMost() int {
	return max(int(d.o.Space/int64(d.o.SegmentBytes)), segmentsMin)
}

// reserve is how many segments are kept for entries: without them nobody
// could say that messages are no longer needed.
func (d *Disk) reserve() int { return max(1, d.segmentsMost()/8) }

// hasRoom reports whether there are n segments more, and then still so many.
func (d *Disk) hasRoom(n, reserved int) bool {
	if n == 0 {
		return true
	}
	most := d.segmentsMost()
	return len(d.segments)+n+reserved <= most || len(d.segments)+n+reserved-d.releasable(d.pins()) <= most
}

// advance lays out what comes in a new segment. That of the oldest one is used
// again, if there are as many as there may be and nobody needs it, or if it is
// too old.
func (d *Disk) advance() {
	last := d.segments[len(d.segments)-1]
	s := newSegment(last.number+1, last.end(), int64(d.o.SegmentBytes))
	n := d.releasable(d.pins())
	k := min(n, max(0, len(d.segments)+1-d.segmentsMost()))
	for k < n && d.o.Age > 0 && time.Since(d.segments[k].last) > d.o.Age {
		k++
	}
	for _, old := range d.segments[:k] {
		if s.recycle == 0 && old.size == s.size {
			s.recycle = old.number
		} else {
			d.drop = append(d.drop, old.number)
		}
	}
	if k > 0 {
		d.segments = slices.Delete(d.segments, 0, k)
		d.forget(d.segments[0].base)
		d.isPinned = false
	}
	d.segments = append(d.segments, s)
	d.layout.enter(s)
}

// Span implements Journal.
func (d *Disk) Span() (oldest, end, most Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.segments[0].base + borderBytes, d.layout.chain, Position(d.o.Space)
}
