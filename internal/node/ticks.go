package node

import (
	"context"
	"time"

	"millrace.dev/millrace/internal/journal"
)

const (
	// tickEvery is how often a pipeline that waits for time is told it.
	tickEvery = 200 * time.Millisecond
	// tickKeptEvery is the same for a pipeline whose ticks are on disk.
	tickKeptEvery = time.Second
	// settle is how long a message may be on its way from its arrival stamp
	// to the journal; the time of ticks runs behind by it.
	settle = 100 * time.Millisecond
)

// A ticker appends ticks to the journal while pipelines wait for time to
// pass: nothing but the stamps of messages and ticks moves their time, so that
// a replay finds it where it was.
type ticker struct {
	journal journal.Journal
	d       *dispatcher
	runners func() []*runner
	kept    time.Time // when a tick was appended that is on disk
}

// run ticks until ctx ends.
func (t *ticker) run(ctx context.Context) {
	clock := time.NewTicker(tickEvery)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-clock.C:
			t.tick(now)
		}
	}
}

// tick tells the time, if it is waited for, and lets the runners look at what
// else is to be done now and then.
func (t *ticker) tick(now time.Time) {
	memory, kept := false, false
	for _, r := range t.runners() {
		if r.waits.Load() {
			memory = memory || r.keep() == journal.Volatile
			kept = kept || r.keep() > journal.Volatile
		}
		if r.stirred.Swap(false) {
			r.look.Store(true)
			r.feed.signal()
		}
	}
	at := now.Add(-settle).UnixMicro()
	if !memory && !kept || t.d.behind(at) {
		return // what is in the journal is older
	}
	keep := journal.Volatile
	if kept && now.Sub(t.kept) >= tickKeptEvery {
		keep, t.kept = journal.Relaxed, now // whatever is made of it is committed with it or later
	}
	if memory || keep > journal.Volatile {
		t.journal.TryAppend(journal.Record{Tick: true, Arrived: at, Keep: keep}) // a full one has older messages to do
	}
}
