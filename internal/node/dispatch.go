package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

const (
	roundRecordsMax = pipeline.RowsMax // messages handed out at once
	roundsMax       = 1024             // rounds under way before all wait for the slowest pipeline
	spareMax        = 64               // rounds, and portions of a pipeline, whose memory is kept for use again
)

// A dispatcher reads the journal once and hands every message to the
// pipelines that want it.
//
//	journal ──Next──▶ round ──▶ feed of a pipeline
//	   ▲                 │ ──▶ feed of another
//	   └──── Release ◀───┴── all of them are done
type dispatcher struct {
	reader journal.Reader
	routes *routes
	feeds  []*feed
	slots  chan struct{} // one is taken by every round under way
	clock  *distrust     // corrects messages that were stamped by a wrong clock; nil: none were

	mu      sync.Mutex
	rounds  []*round           // not released yet, in order of end; the journal bounds them
	spare   [][]journal.Record // memory of rounds, for use again
	changes []*change
	wake    context.CancelFunc // ends the wait for messages; nil: it has been called
	ended   bool

	waiting  atomic.Bool   // everything in the journal has been handed out
	caughtUp atomic.Int64  // µs: messages that arrived before have been handed out
	handed   atomic.Uint64 // offset: messages up to here have been handed out
}

// A round is a run of the journal that was handed out together.
type round struct {
	recs []journal.Record
	end  uint64
	left atomic.Int32 // pipelines not done with it, and the dispatcher itself
}

// A portion is what a pipeline gets of a round: all of it, or in mine those
// that it wants.
type portion struct {
	round *round
	mine  []journal.Record
}

func (p *portion) recs() []journal.Record {
	if p.mine != nil {
		return p.mine
	}
	return p.round.recs
}

// A feed is the queue between the dispatcher and a pipeline; roundsMax bounds it.
type feed struct {
	wake chan struct{}

	mu    sync.Mutex
	in    []portion
	ended bool
	spare [][]journal.Record // memory of portions, for use again
}

func newFeed() *feed { return &feed{wake: make(chan struct{}, 1)} }

func newDispatcher(r journal.Reader, routes *routes, feeds []*feed) *dispatcher {
	return &dispatcher{reader: r, routes: routes, feeds: feeds, slots: make(chan struct{}, roundsMax)}
}

// run hands messages out until the journal is closed and read to its end, or
// ctx is done; then the feeds are told that nothing more will come.
func (d *dispatcher) run(ctx context.Context) error {
	defer d.end()
	var portions []portion
	var wait context.Context
	for {
		if wait = d.prepare(ctx, wait); len(portions) != len(d.feeds) {
			portions = make([]portion, len(d.feeds))
		}
		room := d.room()
		d.waiting.Store(true)
		recs, err := d.reader.Next(wait, room, roundRecordsMax)
		d.waiting.Store(false)
		if errors.Is(err, journal.ErrClosed) {
			return nil
		}
		if err != nil && ctx.Err() == nil && wait.Err() != nil {
			continue // woken for a change
		}
		if err != nil {
			return err
		}
		if d.clock != nil {
			d.clock.apply(recs)
		}
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		d.hand(&round{recs: recs, end: recs[len(recs)-1].Offset}, portions)
	}
}

// room returns memory for the messages of a round.
func (d *dispatcher) room() []journal.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.spare); n > 0 {
		recs := d.spare[n-1]
		d.spare = d.spare[:n-1]
		return recs
	}
	return make([]journal.Record, 0, roundRecordsMax)
}

// hand gives r to the pipelines; portions is room for what each gets.
func (d *dispatcher) hand(r *round, portions []portion) {
	arrived := r.recs[len(r.recs)-1].Arrived
	r.left.Store(1)
	d.mu.Lock()
	d.rounds = append(d.rounds, r)
	d.mu.Unlock()
	if d.routes.same(r.recs) {
		for _, i := range d.routes.pipelines(r.recs[0].Route, r.recs[0].Topic) {
			d.push(int(i), portion{round: r})
		}
	} else {
		d.divide(r, portions)
	}
	d.caughtUp.Store(arrived)
	d.handed.Store(r.end)
	d.finished(r)
}

// divide gives every pipeline the messages of r that it wants, and the ticks
// that are kept at least as long as what the pipeline has.
func (d *dispatcher) divide(r *round, portions []portion) {
	for k := range r.recs {
		rec := &r.recs[k]
		if rec.Tick {
			for i, keep := range d.routes.keeps {
				if rec.Keep > journal.Volatile || keep == journal.Volatile {
					d.give(i, r, rec, portions)
				}
			}
			continue
		}
		for _, i := range d.routes.pipelines(rec.Route, rec.Topic) {
			d.give(int(i), r, rec, portions)
		}
	}
	for i := range portions {
		if portions[i].mine != nil {
			d.push(i, portions[i])
			portions[i] = portion{}
		}
	}
}

// give puts a message of r into the portion of pipeline i.
func (d *dispatcher) give(i int, r *round, rec *journal.Record, portions []portion) {
	if portions[i].mine == nil {
		portions[i] = portion{r, d.feeds[i].room()}
	}
	portions[i].mine = append(portions[i].mine, *rec)
}

func (d *dispatcher) push(pipeline int, p portion) {
	p.round.left.Add(1)
	d.feeds[pipeline].push(p)
}

// same reports whether all are messages, and on one route.
func (r *routes) same(recs []journal.Record) bool {
	for i := range recs {
		if recs[i].Route != recs[0].Route || recs[i].Tick || !r.knows(recs[i].Route) {
			return false
		}
	}
	return true
}

// finished is called by each that had to do with r. The last one makes room
// for another round, and releases the journal up to the first round that is
// still under way.
func (d *dispatcher) finished(r *round) {
	if r.left.Add(-1) > 0 {
		return
	}
	<-d.slots
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.spare) < spareMax {
		d.spare = append(d.spare, r.recs[:0])
	}
	r.recs = nil
	n := 0
	for n < len(d.rounds) && d.rounds[n].recs == nil {
		n++
	}
	if n > 0 {
		d.reader.Release(d.rounds[n-1].end)
		d.rounds = slices.Delete(d.rounds, 0, n)
	}
}

// behind reports whether messages that arrived before now may wait in the journal.
func (d *dispatcher) behind(now int64) bool { return !d.waiting.Load() && d.caughtUp.Load() < now }

func (f *feed) push(p portion) {
	f.mu.Lock()
	f.in = append(f.in, p)
	f.mu.Unlock()
	f.signal()
}

func (f *feed) finish() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.signal()
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take returns what has come in since, in the memory of dst, and whether
// nothing more will come.
func (f *feed) take(dst []portion) ([]portion, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	got, ended := f.in, f.ended
	f.in = dst[:0]
	return got, ended
}

// room returns memory for a portion of its own.
func (f *feed) room() []journal.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.spare); n > 0 {
		recs := f.spare[n-1]
		f.spare = f.spare[:n-1]
		return recs
	}
	return make([]journal.Record, 0, 64)
}

// done gives the memory of a portion back.
func (f *feed) done(p portion) {
	if p.mine == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.spare) < spareMax {
		f.spare = append(f.spare, p.mine[:0])
	}
}
