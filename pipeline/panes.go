package pipeline

import "slices"

// Panes cuts the event time of every key into stretches of Size and knows
// which are open. The aggregate of a pane is elsewhere (a slot of a function
// instance); a pane is a number here, given out again once it is free.
type Panes struct {
	Size int64 // µs
	Max  int   // the most panes a key may have open

	open   [][]Pane // by key code, in order of Start
	unused []int32
	next   int32
}

// A Pane is one stretch of event time, from Start up to Start+Size, of one key.
type Pane struct {
	Start int64
	ID    int32 // small, unique among the open panes
	Hop   uint8 // the most hops of its rows
}

// A Closed is a pane whose time is over, and the row that ended it.
type Closed struct {
	Pane
	Key uint32
	By  int32 // row whose watermark closed it; -1: time passed without a row
}

// Why Assign gives a row no pane.
const (
	PaneLate     int32 = -1 // its pane has spoken
	PaneOverflow int32 = -2 // its key has Max panes open
)

// Assign finds or opens the pane of each row of b and appends its ID, or why
// it has none, to ids; it appends the panes that the rows closed, in order of
// the closing row, to closed. A closed pane gets no more rows and keeps its
// ID until Free.
func (p *Panes) Assign(b *Batch, ids []int32, closed []Closed) ([]int32, []Closed) {
	for len(p.open) < b.Keys.Len() {
		p.open = append(p.open, nil)
	}
	for i, key := range b.Key {
		ids = append(ids, p.pane(key, b.Time[i], b.Mark[i], b.Hop[i]))
		if open := p.open[key]; len(open) > 0 && open[0].Start+p.Size <= b.Mark[i] {
			closed = p.close(key, b.Mark[i], int32(i), closed)
		}
	}
	return ids, closed
}

// Advance appends the panes that the watermarks in marks close to closed, by key code.
func (p *Panes) Advance(marks *Marks, closed []Closed) []Closed {
	for key, open := range p.open {
		if len(open) > 0 {
			closed = p.close(uint32(key), marks.Of(uint32(key)), -1, closed)
		}
	}
	return closed
}

// Free gives the ID of a closed pane back.
func (p *Panes) Free(id int32) { p.unused = append(p.unused, id) }

func (p *Panes) pane(key uint32, t, mark int64, hop uint8) int32 {
	open := p.open[key]
	for k := len(open) - 1; k >= 0; k-- {
		if d := t - open[k].Start; d >= 0 && d < p.Size {
			open[k].Hop = max(open[k].Hop, hop)
			return open[k].ID
		}
	}
	start := FloorTo(t, p.Size)
	if start+p.Size <= mark {
		return PaneLate
	}
	if len(open) >= p.Max {
		return PaneOverflow
	}
	id := p.next
	if n := len(p.unused); n > 0 {
		id, p.unused = p.unused[n-1], p.unused[:n-1]
	} else {
		p.next++
	}
	at := len(open)
	for at > 0 && open[at-1].Start > start {
		at--
	}
	p.open[key] = slices.Insert(open, at, Pane{start, id, hop})
	return id
}

func (p *Panes) close(key uint32, mark int64, by int32, closed []Closed) []Closed {
	open := p.open[key]
	n := 0
	for n < len(open) && open[n].Start+p.Size <= mark {
		closed = append(closed, Closed{open[n], key, by})
		n++
	}
	p.open[key] = append(open[:0], open[n:]...)
	return closed
}

// FloorTo returns the greatest multiple of size that is not above t.
func FloorTo(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return t - r
}
