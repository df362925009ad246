package sinks

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// cursorEvery is how often a delivery writes down how far it has got, at most.
const cursorEvery = time.Second

// An Outbox has the results that are in the journal, for one sink.
type Outbox interface {
	// Trees returns whose results the sink gets.
	Trees() []string
	// Read returns a reader of a tree's results behind a place.
	Read(tree string, after journal.Position) OutboxReader
}

// An OutboxReader reads one entry after the other.
type OutboxReader interface {
	// Next returns what an entry has for the sink, perhaps nothing; io.EOF
	// when no more is committed.
	Next() (at journal.Position, rows []*pipeline.Batch, err error)
	Close() error
}

// A post is what a delivery knows of the results of a tree in the journal.
type post struct {
	delivered journal.Position // everything up to here is done with
	queued    journal.Position // everything up to here is in the queue, or was
	missed    journal.Position // came while it was behind
	behind    bool             // what follows is read from the journal
	reader    OutboxReader     // nil unless it is behind
}

// A cursor is how far a delivery has got, as it is in the journal.
type cursor struct {
	Origin journal.Position            `json:"origin"` // where it began, for trees that it does not know
	Trees  map[string]journal.Position `json:"trees"`
	Mark   []byte                      `json:"mark,omitempty"` // see Marker
}

// posts is the part of a delivery that deals with the journal.
type posts struct {
	journal journal.Journal // nil: nothing of it
	id      string
	outbox  Outbox
	origin  journal.Position

	trees map[string]*post
	dirty bool // delivered has changed since the cursor was put
	put   time.Time

	commit journal.Commit   // of the cursor that was put last
	needs  journal.Position // what it says is still needed
}

// An end says that with its chunk everything of a tree up to a place is
// delivered.
type end struct {
	tree string
	at   journal.Position
}

// Outbox has the delivery keep its place in a journal and go on from there,
// under a name of its own. It is called before anything else. An error is of
// the sink, whose rows may then be there twice.
func (d *Delivery) Outbox(j journal.Journal, id string, o Outbox) (err error) {
	p := &d.posts
	p.journal, p.id, p.outbox, p.trees = j, id, o, map[string]*post{}
	var c cursor
	known := false
	reading := j.Entries(journal.Cursor, id, func(_ journal.Position, body []byte) error {
		c = cursor{}
		known = json.Unmarshal(body, &c) == nil
		return nil
	})
	if !known {
		_, p.origin, _ = j.Span()
		p.dirty = true
		d.keep(true) // a crash must find that it was there
		return reading
	}
	p.origin = c.Origin
	needs := p.origin
	for tree, at := range c.Trees {
		p.trees[tree] = &post{delivered: at, queued: at, behind: true}
	}
	if least, ok := p.least(); ok {
		needs = least
	}
	j.Need(p.needOf(), 0, needs+1)
	if m, ok := d.sink.(Marker); ok {
		err = m.Resume(c.Mark)
	}
	return errors.Join(reading, err)
}

func (p *posts) needOf() string { return "sink " + p.id }

// least returns the earliest place behind which something may be needed.
func (p *posts) least() (at journal.Position, ok bool) {
	for _, t := range p.trees {
		if !ok || t.delivered < at {
			at, ok = t.delivered, true
		}
	}
	return at, ok
}

// post returns what is known of a tree; a new one begins where the delivery did.
func (p *posts) post(tree string) *post {
	t := p.trees[tree]
	if t == nil {
		t = &post{delivered: p.origin, queued: p.origin, behind: true}
		p.trees[tree] = t
	}
	return t
}

// catchUp has the delivery look in the journal for what it has not delivered.
func (d *Delivery) catchUp() {
	if d.posts.journal == nil {
		return
	}
	trees := d.posts.outbox.Trees()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, tree := range trees {
		d.posts.post(tree)
	}
}

// PushEntry is Push for the rows of an entry of the journal that is committed,
// perhaps none: all that a tree's entry has for the sink, each entry once and
// in order. When the queue is full nothing is dropped: Run will read the entry
// from the journal.
func (d *Delivery) PushEntry(tree string, at journal.Position, rows []*pipeline.Batch) {
	if d.posts.journal == nil {
		for _, b := range rows {
			d.Push(b)
		}
		return
	}
	d.mu.Lock()
	t := d.posts.post(tree)
	switch {
	case at <= t.queued:
	case t.behind || !d.hasRoom(rows):
		t.behind, t.missed = true, at
	default:
		d.enqueue(tree, t, at, rows)
	}
	wake := d.waiting
	d.waiting = false
	d.mu.Unlock()
	if wake {
		poke(d.woken)
	}
}

// hasRoom reports whether rows fit into the queue, which takes anything while
// it is empty; d.mu is held.
func (d *Delivery) hasRoom(rows []*pipeline.Batch) bool {
	n := d.queue.bytes
	for _, b := range rows {
		n += sizeOf(b, 0, b.Rows())
	}
	return n <= d.queue.bytesMax/2 || d.queue.len() == 0
}

// enqueue puts the rows of an entry in the queue; d.mu is held.
func (d *Delivery) enqueue(tree string, t *post, at journal.Position, rows []*pipeline.Batch) {
	for _, b := range rows {
		if b.Rows() > 0 {
			d.queue.pushKept(b, time.Now())
		}
	}
	t.queued = at
	if n := d.queue.len(); n > 0 {
		last := d.queue.chunks[len(d.queue.chunks)-1]
		last.ends = append(last.ends, end{tree, at})
		return
	}
	t.delivered = at
	d.posts.dirty = true
}

// refill reads from the journal what there is room for. It reports whether
// there may be more at once.
func (d *Delivery) refill() bool {
	if d.posts.journal == nil {
		return false
	}
	again := false
	d.mu.Lock()
	defer d.mu.Unlock()
	for tree, t := range d.posts.trees {
		for t.behind && d.hasRoom(nil) {
			if !d.readOne(tree, t) {
				break
			}
		}
		again = again || t.behind && d.queue.len() == 0
	}
	return again
}

// readOne queues the next entry of a tree from the journal, and reports
// whether there was one; d.mu is held, but not while it reads.
func (d *Delivery) readOne(tree string, t *post) bool {
	if t.reader == nil {
		t.reader = d.posts.outbox.Read(tree, t.queued)
	}
	d.mu.Unlock()
	at, rows, err := t.reader.Next()
	d.mu.Lock()
	switch {
	case err == nil:
		d.enqueue(tree, t, at, rows)
		return true
	case errors.Is(err, io.EOF):
		if t.missed > t.queued {
			return true // it has been committed since
		}
		t.behind = false
	default:
		d.log.Error("results in the journal cannot be read; they are passed over", "tree", tree, "error", err)
		t.queued = max(t.queued, t.missed)
		t.behind = false
	}
	t.reader.Close()
	t.reader = nil
	return false
}

// deliveredUpTo notes what is done with a chunk; d.mu is held.
func (d *Delivery) deliveredUpTo(ends []end) {
	for _, e := range ends {
		d.posts.trees[e.tree].delivered = e.at
		d.posts.dirty = true
	}
}

// keep writes down how far the delivery has got, if it has and enough time has
// passed, or now. It is for the goroutine of Run.
func (d *Delivery) keep(now bool) {
	p := &d.posts
	if p.journal == nil {
		return
	}
	if p.commit != 0 && p.journal.Committed() >= p.commit {
		p.journal.Need(p.needOf(), 0, p.needs+1)
		p.commit = 0
	}
	d.mu.Lock()
	due := p.dirty && (now || time.Since(p.put) >= cursorEvery)
	c := cursor{Origin: p.origin, Trees: map[string]journal.Position{}}
	for tree, t := range p.trees {
		c.Trees[tree] = t.delivered
	}
	needs, any := p.least()
	if !any {
		needs = p.origin
	}
	if due {
		p.dirty = false
	}
	d.mu.Unlock()
	if !due {
		return
	}
	if !d.putCursor(c, needs) {
		d.mu.Lock()
		p.dirty = true
		d.mu.Unlock()
	}
}

// putCursor reports whether the cursor is in the journal.
func (d *Delivery) putCursor(c cursor, needs journal.Position) bool {
	p := &d.posts
	p.put = time.Now()
	if m, ok := d.sink.(Marker); ok {
		mark, err := m.Mark()
		if err != nil {
			d.log.Error("what was written may not be on disk", "error", err)
			return false
		}
		c.Mark = mark
	}
	body, _ := json.Marshal(c)
	commit, _, err := p.journal.Put(journal.Entry{Kind: journal.Cursor, Name: p.id, Whole: true, Body: body})
	if err != nil {
		if !errors.Is(err, journal.ErrClosed) {
			d.log.Warn("the place in the journal is not kept", "error", err)
		}
		return false
	}
	if p.commit == 0 {
		p.commit, p.needs = commit, needs
	}
	return true
}

// isKept reports whether the cursor says how far the delivery is; d.mu is held.
func (d *Delivery) isKept() bool { return d.posts.journal == nil || !d.posts.dirty }

// isBehind reports whether there is more in the journal; d.mu is held.
func (d *Delivery) isBehind() bool {
	for _, t := range d.posts.trees {
		if t.behind {
			return true
		}
	}
	return false
}

// Forget ends the need of a delivery that will not come again.
func (d *Delivery) Forget() {
	p := &d.posts
	if p.journal != nil {
		p.journal.Need(p.needOf(), 0, 0)
		p.journal.Put(journal.Entry{Kind: journal.Cursor, Name: p.id, Gone: true})
	}
}
