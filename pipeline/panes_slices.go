package pipeline

import (
	"cmp"
	"slices"
)

// Windows of event time that begin at multiples of Every: from Start up to,
// but not including, Start+Size. Their panes begin at multiples of the length
// of a pane.

// every returns the time from one window to the next.
func (p *Panes) every() int64 { return cmp.Or(p.Every, p.Size) }

// lastEnd returns the end of the last window that a pane is in.
func (p *Panes) lastEnd(start int64) int64 { return FloorTo(start, p.every()) + p.Size }

// nextEnd returns the end of the first window that ends behind spoken and
// does not end before the pane does.
func (p *Panes) nextEnd(start, spoken int64) int64 {
	end := start + p.pane
	if spoken >= end {
		end = spoken + 1
	}
	return FloorTo(end-p.Size+p.every()-1, p.every()) + p.Size
}

func (p *Panes) slice(b *Batch, i int, t *Turn) int32 {
	key, at, mark := b.Key[i], b.Time[i], b.Mark[i]
	p.close(key, mark, int32(i), t)
	o, isNew := p.sliceOf(key, at), false
	if o == nil {
		start := FloorTo(at, p.pane)
		if p.lastEnd(start)+p.Correct <= mark {
			return PaneLate
		}
		if len(p.open[key]) >= p.PanesMax {
			return PaneOverflow
		}
		o, isNew = p.add(key, start), true
	}
	o.Fresh = true
	if p.Correct > 0 && o.Start < mark {
		p.correct(key, o, mark, int32(i), t)
	}
	if isNew || p.lanes != nil && mark >= p.lanes[key].next {
		p.opened(key, mark, int32(i), t)
	}
	return o.ID
}

// sliceOf returns the open pane that holds the time at, or nil.
func (p *Panes) sliceOf(key uint32, at int64) *Pane {
	open := p.open[key]
	for k := len(open) - 1; k >= 0; k-- {
		if d := at - open[k].Start; d >= 0 && d < p.pane {
			return &open[k]
		}
	}
	return nil
}

// closeSlices lets windows speak in the order of their ends.
func (p *Panes) closeSlices(key uint32, mark int64, by int32, t *Turn) {
	open, spoken := p.open[key], int64(NoMark)
	if p.lanes != nil {
		spoken = p.lanes[key].Spoken
	}
	for k := 0; k < len(open); {
		end := p.nextEnd(open[k].Start, spoken)
		if end-p.Size > open[k].Start { // all of its windows have spoken
			k++
			continue
		}
		if end > mark {
			break
		}
		p.speakSlices(key, end, by, 0, t)
		spoken = end
	}
	if p.lanes != nil {
		p.forget(key, mark)
	}
	n := 0
	for n < len(open) && p.lastEnd(open[n].Start)+p.Correct <= mark {
		n++
	}
	p.drop(key, n, t)
}

// earlySlices lets the windows speak that have not spoken for good and have
// new rows, in the order of their ends.
func (p *Panes) earlySlices(key uint32, by int32, t *Turn) {
	open, spoken := p.open[key], p.lanes[key].Spoken
	for k := 0; k < len(open); {
		end := p.nextEnd(open[k].Start, spoken)
		if end-p.Size > open[k].Start { // it has been in all of its windows
			k++
			continue
		}
		spoken = end
		parts := p.partsOf(key, end)
		if slices.ContainsFunc(parts, func(o Pane) bool { return o.Fresh }) {
			t.speak(Spoken{Start: end - p.Size, End: end, Time: end, Key: key, By: by, Early: true}, parts...)
		}
	}
}

// partsOf returns the open panes of the window that ends at end.
func (p *Panes) partsOf(key uint32, end int64) []Pane {
	open, from := p.open[key], 0
	for open[from].Start < end-p.Size {
		from++
	}
	to := from
	for to < len(open) && open[to].Start < end {
		to++
	}
	return open[from:to]
}

// speakSlices lets the window speak that ends at end.
func (p *Panes) speakSlices(key uint32, end int64, by, revision int32, t *Turn) {
	parts := p.partsOf(key, end)
	if p.Kind == Tumbling { // else other windows have not spoken of these rows
		parts[0].Fresh = false
	}
	t.speak(Spoken{Start: end - p.Size, End: end, Time: end, Key: key, By: by, Revision: revision}, parts...)
	if p.lanes != nil {
		p.lanes[key].call, p.lanes[key].until = p.call, end
	}
}

// correct lets the windows speak again that have spoken without the row that
// has come into pane o.
func (p *Panes) correct(key uint32, o *Pane, mark int64, by int32, t *Turn) {
	l, start := &p.lanes[key], o.Start
	for end := p.nextEnd(start, NoMark); end-p.Size <= start && end <= l.Spoken; end += p.every() {
		if end+p.Correct <= mark {
			continue
		}
		at, found := slices.BinarySearchFunc(l.Revised, end, func(r Revised, end int64) int { return cmp.Compare(r.End, end) })
		if !found {
			l.Revised = slices.Insert(l.Revised, at, Revised{End: end})
		}
		l.Revised[at].Times++
		p.speakSlices(key, end, by, l.Revised[at].Times, t)
	}
}

// forget drops what is known of windows that can be corrected no more.
func (p *Panes) forget(key uint32, mark int64) {
	l := &p.lanes[key]
	n := 0
	for n < len(l.Revised) && l.Revised[n].End+p.Correct <= mark {
		n++
	}
	l.Revised = append(l.Revised[:0], l.Revised[n:]...)
}
