package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// timeMax bounds the times of a snapshot that is believed, so that sums of
// them are times as well.
const timeMax = int64(1) << 61

// Keys returns the number of keys that panes may be open of.
func (p *Panes) Keys() int { return len(p.open) }

// Of returns the open panes of a key and what else is known of it, for a
// snapshot. The panes are only lent.
func (p *Panes) Of(key uint32) ([]Pane, Lane) {
	if p.lanes == nil {
		return p.open[key], Lane{Spoken: NoMark, EarlyAt: NoMark, Back: -1}
	}
	return p.open[key], p.lanes[key]
}

// Put takes back what Of returned, on Panes made alike. It changes the IDs in
// open and l to those that the panes have now. What cannot be is refused.
func (p *Panes) Put(key uint32, open []Pane, l *Lane) error {
	p.grow(int(key) + 1)
	switch {
	case len(p.open[key]) > 0:
		return errors.New("is there twice")
	case len(open) == 0 || len(open) > p.PanesMax:
		return fmt.Errorf("has %d panes open, the most is %d", len(open), p.PanesMax)
	case !p.believable(open, l):
		return errors.New("has panes that cannot be")
	}
	for k := range open {
		open[k].ID = p.NewID()
	}
	if l.Back >= 0 {
		l.Back = p.NewID()
	}
	p.open[key] = slices.Clone(open)
	if p.lanes != nil {
		l.call, l.until, l.next = 0, 0, never
		p.lanes[key] = *l
		if p.Kind != Sliding && p.Kind != Counted {
			p.lanes[key].next = p.nextEvent(key)
		}
	}
	return nil
}

// believable tells whether open panes and a lane can have come about.
func (p *Panes) believable(open []Pane, l *Lane) bool {
	isTime := func(t int64) bool { return -timeMax < t && t < timeMax }
	for k, o := range open {
		if !isTime(o.Start) || !isTime(o.Last) || k > 0 && !p.follows(open[k-1], o) {
			return false
		}
	}
	for k, r := range l.Revised {
		if !isTime(r.End) || k > 0 && l.Revised[k-1].End >= r.End {
			return false
		}
	}
	isMark := func(t int64) bool { return t == NoMark || isTime(t) }
	if !isMark(l.Spoken) || !isMark(l.EarlyAt) {
		return false
	}
	if p.Kind == Counted {
		return p.countable(open, l.Done)
	}
	return l.Front >= 0 && l.Settled >= l.Front && int(l.Settled) <= len(open) && l.Back >= 0 == (l.Settled > l.Front)
}

// follows tells whether pane b may stand behind pane a.
func (p *Panes) follows(a, b Pane) bool {
	switch p.Kind {
	case Sliding:
		return a.Start <= b.Start
	case Session:
		return a.Start <= a.Last && a.Last+p.Size <= b.Start && b.Start <= b.Last
	case Counted:
		return int64(a.Rows) == p.pane
	}
	return a.Start < b.Start
}

// countable tells whether the panes are those of done full ones, and perhaps
// one that is not.
func (p *Panes) countable(open []Pane, done int64) bool {
	if done < 0 || done > timeMax/p.pane {
		return false
	}
	full := done
	every := cmp.Or(p.Every, p.Size)
	if over := done*p.pane - p.Size; over >= 0 {
		full -= (over/every + 1) * every / p.pane
	}
	last := int64(open[len(open)-1].Rows)
	if last < p.pane {
		full++
	}
	return last > 0 && last <= p.pane && full == int64(len(open))
}
