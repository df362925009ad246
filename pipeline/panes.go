package pipeline

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Panes cuts the rows of every key into panes as a window says, knows which
// are open, and says when windows speak. What a pane has gathered is elsewhere
// (a slot of a function instance); a pane is a number here, given out again
// once it is free.
//
//	rows ─Assign─▶ Turn: pane of each row, what speaks then, what is over
//	time ─Advance─▶ Turn: what speaks now, what is over
type Panes struct {
	Window

	pane   int64
	open   [][]Pane // by key code, in order of Start
	lanes  []Lane   // by key code; none of windows that follow from open alone
	unused []int32
	next   int32
	call   uint32 // of Assign
	due    []due
}

// A Pane is a stretch of one key: of event time from Start on, or of a
// session or a count from its first to its last row.
type Pane struct {
	Start, Last int64
	ID          int32 // small, unique among the open panes
	Rows        int32 // Counted: that it has
	Fresh       bool  // it has rows that it has not spoken of
}

// A Lane is what is known of a key beside its open panes.
type Lane struct {
	Spoken  int64 // windows that end up to here have spoken
	EarlyAt int64 // the watermark at which open windows speak next
	Done    int64 // Counted: full panes so far

	// Sliding: how many panes, the first ones, have spoken; how many of these
	// hold what follows them as well; and the pane that holds all others of
	// them together, or -1.
	Settled, Front, Back int32

	Revised []Revised // windows that have spoken again, in order of End

	next  int64  // the watermark at which something happens
	call  uint32 // of Assign, that made it speak of rows up to until
	until int64
}

// A Revised window has spoken again so many times.
type Revised struct {
	End   int64
	Times int32
}

// A due key has something to do at a time.
type due struct {
	key  uint32
	time int64
	name string
}

// Why a row has no pane.
const (
	PaneLate     int32 = -1 // its windows have spoken
	PaneOverflow int32 = -2 // its key has PanesMax panes open
)

const never = math.MaxInt64

// NewPanes returns the panes of w, whose numbers have been checked: Size is
// above 0, Every from 0 to Size, PanesMax above 0.
func NewPanes(w Window) *Panes { return &Panes{Window: w, pane: w.Pane()} }

// plain tells whether nothing is to be known of a key but its open panes.
func (p *Panes) plain() bool {
	return p.Kind == Session && p.Early == 0 || p.Kind == Tumbling && p.Early == 0 && p.Correct == 0
}

func (p *Panes) grow(keys int) {
	for len(p.open) < keys {
		p.open = append(p.open, nil)
		if !p.plain() {
			p.lanes = append(p.lanes, Lane{Spoken: NoMark, EarlyAt: NoMark, Back: -1, next: never})
		}
	}
}

// Assign finds or opens the pane of each row of b from row from on, and says
// in t what follows. It stops before a row that may only be added once what
// was said has been done, and returns that row, or the end of b.
func (p *Panes) Assign(b *Batch, from int, t *Turn) (to int) {
	t.begin(from)
	p.grow(b.Keys.Len())
	p.call++
	usual := p.Kind == Tumbling && p.lanes == nil
	for i := from; i < b.Rows(); i++ {
		if usual {
			if id := p.usual(b.Key[i], b.Time[i], b.Mark[i]); id >= 0 {
				t.IDs = append(t.IDs, id)
				continue
			}
		} else if i > from && p.mustWait(b.Key[i], b.Time[i]) {
			return i
		}
		var id int32
		switch p.Kind {
		case Sliding:
			id = p.slide(b, i, t)
		case Session:
			id = p.session(b, i, t)
		case Counted:
			id = p.count(b, i, t)
		default:
			id = p.slice(b, i, t)
		}
		t.IDs = append(t.IDs, id)
	}
	return b.Rows()
}

// usual is slice for a row that goes into the latest pane of its key and has
// nothing follow, as most do; -1: it is not one of them.
func (p *Panes) usual(key uint32, at, mark int64) int32 {
	open := p.open[key]
	if len(open) == 0 {
		return -1
	}
	o := &open[len(open)-1]
	if d := at - o.Start; d < 0 || d >= p.pane || mark >= open[0].Start+p.pane {
		return -1
	}
	return o.ID
}

// mustWait tells whether a row goes into a pane that has just been asked to
// speak, or makes two into one.
func (p *Panes) mustWait(key uint32, at int64) bool {
	if p.Kind == Session {
		if from, to := p.sessions(key, at); to-from > 1 {
			return true
		}
	}
	return p.lanes != nil && p.lanes[key].call == p.call && at < p.lanes[key].until
}

// Advance says in t what follows from the watermarks in marks, in order of
// event time, then key; keys is the dictionary of the batches.
func (p *Panes) Advance(marks *Marks, keys *Keys, t *Turn) {
	t.begin(0)
	if p.Kind == Counted {
		return
	}
	if p.Kind == Sliding {
		p.settleAll(marks, keys, t)
		return
	}
	for key, open := range p.open {
		if len(open) == 0 {
			continue
		}
		if mark := marks.Of(uint32(key)); mark >= p.nextOf(uint32(key)) {
			p.close(uint32(key), mark, -1, t)
			if p.lanes != nil {
				p.early(uint32(key), mark, -1, t)
			}
		}
	}
	slices.SortStableFunc(t.Then, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Spoken.Time, b.Spoken.Time), strings.Compare(keys.Name(a.Spoken.Key), keys.Name(b.Spoken.Key)))
	})
}

// Waits reports whether a window is open that time may close.
func (p *Panes) Waits() bool {
	return p.Kind != Counted && slices.ContainsFunc(p.open, func(open []Pane) bool { return len(open) > 0 })
}

// nextOf returns the watermark at which something happens to a key that has
// panes open.
func (p *Panes) nextOf(key uint32) int64 {
	switch {
	case p.lanes != nil:
		return p.lanes[key].next
	case p.Kind == Session:
		return p.open[key][0].Last + p.Size
	}
	return p.open[key][0].Start + p.Size
}

// close lets the windows speak whose time is over at a watermark. A row comes
// after what its watermark closes, as it is not older than that, or late.
func (p *Panes) close(key uint32, mark int64, by int32, t *Turn) {
	if len(p.open[key]) > 0 && mark >= p.nextOf(key) {
		if p.Kind == Session {
			p.closeSessions(key, mark, by, t)
		} else {
			p.closeSlices(key, mark, by, t)
		}
	}
	if p.lanes == nil {
		return
	}
	l := &p.lanes[key]
	l.Spoken = max(l.Spoken, mark)
	if len(p.open[key]) == 0 {
		l.EarlyAt = NoMark
	}
}

// opened notes that a key has a new row.
func (p *Panes) opened(key uint32, mark int64, by int32, t *Turn) {
	if p.lanes == nil {
		return
	}
	l := &p.lanes[key]
	if len(p.open[key]) == 1 && l.EarlyAt == NoMark {
		l.EarlyAt = p.earlyAfter(mark)
	}
	p.early(key, mark, by, t)
}

// early lets open windows speak if the watermark has come so far, and finds
// out what comes next.
func (p *Panes) early(key uint32, mark int64, by int32, t *Turn) {
	l := &p.lanes[key]
	if p.Early > 0 && mark != NoMark && mark >= l.EarlyAt {
		p.speakEarly(key, by, t)
		l.EarlyAt = p.earlyAfter(mark)
	}
	l.next = p.nextEvent(key)
}

func (p *Panes) earlyAfter(mark int64) int64 {
	if mark == NoMark || p.Early == 0 {
		return NoMark
	}
	return FloorTo(mark, p.Early) + p.Early
}

// speakEarly lets the open windows of a key speak that have new rows.
func (p *Panes) speakEarly(key uint32, by int32, t *Turn) {
	said := len(t.Then)
	if p.Kind == Session {
		p.earlySessions(key, by, t)
	} else {
		p.earlySlices(key, by, t)
	}
	open := p.open[key]
	for k := range open {
		open[k].Fresh = false
	}
	if len(t.Then) > said {
		p.lanes[key].call, p.lanes[key].until = p.call, never
	}
}

// nextEvent finds the watermark at which something happens to a key.
func (p *Panes) nextEvent(key uint32) int64 {
	open, l, next := p.open[key], &p.lanes[key], int64(never)
	if len(open) == 0 {
		return never
	}
	if p.Early > 0 {
		next = l.EarlyAt
	}
	if p.Kind == Session {
		return min(next, open[0].Last+p.Size)
	}
	if p.Correct > 0 {
		next = min(next, p.lastEnd(open[0].Start)+p.Correct)
	}
	for k := range open {
		if e := p.nextEnd(open[k].Start, l.Spoken); e-p.Size <= open[k].Start {
			return min(next, e)
		}
	}
	return next
}

// NewID gives out a number that no pane has, for good or until Free.
func (p *Panes) NewID() int32 {
	if n := len(p.unused); n > 0 {
		id := p.unused[n-1]
		p.unused = p.unused[:n-1]
		return id
	}
	p.next++
	return p.next - 1
}

// Free gives the ID of a pane back that is over.
func (p *Panes) Free(id int32) { p.unused = append(p.unused, id) }

// add opens a pane at its place in the order of time.
func (p *Panes) add(key uint32, start int64) *Pane {
	open := p.open[key]
	at := len(open)
	for at > 0 && open[at-1].Start > start {
		at--
	}
	p.open[key] = slices.Insert(open, at, Pane{Start: start, Last: start, ID: p.NewID()})
	return &p.open[key][at]
}

// drop ends the first n panes of a key.
func (p *Panes) drop(key uint32, n int, t *Turn) {
	if n == 0 {
		return
	}
	open := p.open[key]
	for k := range n {
		t.Free = append(t.Free, open[k].ID)
	}
	p.open[key] = append(open[:0], open[n:]...)
}

// FloorTo returns the greatest multiple of size that is not above t.
func FloorTo(t, size int64) int64 {
	r := t % size
	if r < 0 {
		r += size
	}
	return t - r
}
