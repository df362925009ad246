package pipeline

import "cmp"

// A counted window is Size rows of a key, in the order in which they come;
// the next begins Every rows later. Only rows make it speak, never time.

func (p *Panes) count(b *Batch, i int, t *Turn) int32 {
	key, at := b.Key[i], b.Time[i]
	open := p.open[key]
	if n := len(open); n == 0 || int64(open[n-1].Rows) == p.pane {
		if n >= p.PanesMax {
			return PaneOverflow
		}
		open = append(open, Pane{Start: at, Last: at, ID: p.NewID()})
		p.open[key] = open
	}
	o := &open[len(open)-1]
	o.Start, o.Last = min(o.Start, at), max(o.Last, at)
	o.Rows++
	id := o.ID
	if int64(o.Rows) < p.pane {
		return id
	}
	l := &p.lanes[key]
	l.Done++
	if over := l.Done*p.pane - p.Size; over >= 0 && over%cmp.Or(p.Every, p.Size) == 0 {
		p.speakCount(key, int32(i), t)
	}
	return id
}

// speakCount lets the window speak that ends with the last pane, and drops
// what the next one does not need.
func (p *Panes) speakCount(key uint32, by int32, t *Turn) {
	open := p.open[key]
	open = open[len(open)-int(p.Panes()):]
	s := Spoken{Start: open[0].Start, End: open[0].Last, Key: key, By: by}
	for k := range open {
		s.Start, s.End = min(s.Start, open[k].Start), max(s.End, open[k].Last)
	}
	s.Time = s.End
	t.speak(s, open...)
	p.drop(key, int(cmp.Or(p.Every, p.Size)/p.pane), t)
	if len(p.open[key]) == 0 {
		p.lanes[key].Done = 0
	}
}
