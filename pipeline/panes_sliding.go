package pipeline

import (
	"cmp"
	"slices"
	"strings"
)

// A sliding window is the rows of the time Size that ends with a row, the row
// itself included; it speaks once for each row, in order of event time, when
// the watermark has reached it. A row is a pane.
//
// What the panes hold is added up as two stacks are a queue, so that a row
// costs three or four merges however many there are (K. Tangwongsan, M. Hirzel,
// S. Schneider, K.-L. Wu, General incremental sliding-window aggregation,
// PVLDB 8 (2015)):
//
//	settled                                   waiting
//	╭─ front ──────────╮ ╭─ behind it ─╮
//	each holds what      each holds its row,    each holds its row
//	follows in front     Back all together
//
// The window is the first of the front and Back.

func (p *Panes) slide(b *Batch, i int, t *Turn) int32 {
	key, at, mark := b.Key[i], b.Time[i], b.Mark[i]
	if at < mark {
		return PaneLate
	}
	p.settleUpTo(key, mark, int32(i), t)
	p.expire(key, before(mark, p.Size), t) // what no row from here on needs
	if len(p.open[key]) >= p.PanesMax {
		return PaneOverflow
	}
	id := p.add(key, at).ID
	p.settleUpTo(key, mark, int32(i), t)
	return id
}

// settleUpTo lets the windows speak that end at a watermark or before.
func (p *Panes) settleUpTo(key uint32, mark int64, by int32, t *Turn) {
	l := &p.lanes[key]
	for int(l.Settled) < len(p.open[key]) && p.open[key][l.Settled].Start <= mark {
		p.settle(key, by, t)
	}
}

// settle lets the window speak that ends with the first waiting pane.
func (p *Panes) settle(key uint32, by int32, t *Turn) {
	l := &p.lanes[key]
	o := p.open[key][l.Settled]
	l.Settled++
	if l.Back < 0 {
		l.Back = p.NewID()
	}
	t.merge(l.Back, o.ID)
	p.expire(key, o.Start-p.Size, t)
	s := Spoken{Start: o.Start - p.Size, End: o.Start, Time: o.Start, Key: key, By: by, Last: o.ID}
	s.from = int32(len(t.Parts))
	if l.Front > 0 {
		t.Parts = append(t.Parts, p.open[key][0].ID)
	}
	if l.Back >= 0 {
		t.Parts = append(t.Parts, l.Back)
	}
	s.to = int32(len(t.Parts))
	t.Then = append(t.Then, Step{Speaks: true, Spoken: s})
}

// expire drops the settled panes up to a time.
func (p *Panes) expire(key uint32, upTo int64, t *Turn) {
	l := &p.lanes[key]
	n := int32(0)
	for n < l.Settled && p.open[key][n].Start <= upTo {
		n++
	}
	if n > l.Front && n < l.Settled {
		p.flip(key, n, t)
	}
	if n > 0 && n == l.Settled && l.Back >= 0 { // nothing is left of them
		t.Free = append(t.Free, l.Back)
		l.Back = -1
	}
	p.drop(key, int(n), t)
	l.Settled -= n
	l.Front = max(l.Front-n, 0)
}

// flip makes the settled panes from n on the front.
func (p *Panes) flip(key uint32, n int32, t *Turn) {
	open, l := p.open[key], &p.lanes[key]
	for k := l.Settled - 2; k >= n; k-- {
		t.merge(open[k].ID, open[k+1].ID)
	}
	t.Free = append(t.Free, l.Back)
	l.Front, l.Back = l.Settled, -1
}

// settleAll is settle for what the watermarks of all keys have reached, in
// the order of time. Keys of which every row is over are dropped.
func (p *Panes) settleAll(marks *Marks, keys *Keys, t *Turn) {
	p.due = p.due[:0]
	for k, open := range p.open {
		if len(open) == 0 {
			continue
		}
		key := uint32(k)
		mark := marks.Of(key)
		for _, o := range open[p.lanes[k].Settled:] {
			if o.Start <= mark {
				p.due = append(p.due, due{key, o.Start, keys.Name(key)})
			}
		}
	}
	slices.SortStableFunc(p.due, func(a, b due) int {
		return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.name, b.name))
	})
	for _, d := range p.due {
		p.settle(d.key, -1, t)
	}
	for k, open := range p.open {
		l := &p.lanes[k]
		if n := len(open); n > 0 && int(l.Settled) == n && open[n-1].Start <= before(marks.Of(uint32(k)), p.Size) {
			p.expire(uint32(k), open[n-1].Start, t)
		}
	}
}

// before returns the time d before a watermark.
func before(mark, d int64) int64 {
	if mark == NoMark {
		return NoMark
	}
	return mark - d
}
