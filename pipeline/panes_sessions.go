package pipeline

import "slices"

// A session is rows of which none is Size or more from the next. It covers
// its first row to its last; that it is over is known Size later.

// sessions returns the range of open sessions that a row at at is part of:
// none, one, or two that the row makes one.
func (p *Panes) sessions(key uint32, at int64) (from, to int) {
	open := p.open[key]
	to = len(open)
	for to > 0 && open[to-1].Start-p.Size >= at {
		to--
	}
	from = to
	for from > 0 && open[from-1].Last+p.Size > at {
		from--
	}
	return from, to
}

func (p *Panes) session(b *Batch, i int, t *Turn) int32 {
	key, at, mark := b.Key[i], b.Time[i], b.Mark[i]
	p.close(key, mark, int32(i), t)
	from, to := p.sessions(key, at)
	switch {
	case from < to:
		for to-from > 1 {
			p.join(key, from, t)
			to--
		}
	case at+p.Size <= mark:
		return PaneLate
	case len(p.open[key]) >= p.PanesMax:
		return PaneOverflow
	default:
		p.add(key, at)
	}
	o := &p.open[key][from]
	o.Start, o.Last, o.Fresh = min(o.Start, at), max(o.Last, at), true
	p.opened(key, mark, int32(i), t)
	return o.ID
}

// join makes session k and the one behind it one.
func (p *Panes) join(key uint32, k int, t *Turn) {
	open := p.open[key]
	t.First = append(t.First, Merge{open[k].ID, open[k+1].ID})
	t.Free = append(t.Free, open[k+1].ID)
	open[k].Last = open[k+1].Last
	p.open[key] = slices.Delete(open, k+1, k+2)
}

func (p *Panes) closeSessions(key uint32, mark int64, by int32, t *Turn) {
	open, n := p.open[key], 0
	for ; n < len(open) && open[n].Last+p.Size <= mark; n++ {
		o := open[n]
		t.speak(Spoken{Start: o.Start, End: o.Last, Time: o.Last + p.Size, Key: key, By: by}, o)
	}
	p.drop(key, n, t)
}

// earlySessions lets those speak that are open and have new rows.
func (p *Panes) earlySessions(key uint32, by int32, t *Turn) {
	for _, o := range p.open[key] {
		if o.Fresh {
			t.speak(Spoken{Start: o.Start, End: o.Last, Time: o.Last + p.Size, Key: key, By: by, Early: true}, o)
		}
	}
}
