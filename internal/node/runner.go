package node

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
)

// A runner is the goroutine of a pipeline and of those that read its results.
type runner struct {
	tree    *Tree
	made    recipe // what the tree was made of
	feed    *feed
	d       *dispatcher
	begun   bool
	ended   chan struct{} // closed when run has returned
	stirred atomic.Bool   // something has been processed since the last look
	look    atomic.Bool   // asks the runner to say in waits whether a stage waits for time to pass
	waits   atomic.Bool

	keeper *keeper // of a durable tree
	after  uint64  // of another: messages up to here were of the process before

	messages, bytes *metrics.Counter
}

func newRunner(t *Tree, made recipe, d *dispatcher, log *slog.Logger, m *metrics.Registry) *runner {
	name := t.Pipeline.Config.Name
	r := &runner{
		tree: t, made: made, feed: newFeed(), d: d, ended: make(chan struct{}),
		messages: m.Counter("millrace_pipeline_messages_in_total", "pipeline", name),
		bytes:    m.Counter("millrace_pipeline_bytes_in_total", "pipeline", name),
	}
	t.All(func(t *Tree) { measureTree(t, log, m) })
	for _, below := range t.Readers {
		below.All(func(t *Tree) {
			t.in = m.Counter("millrace_pipeline_messages_in_total", "pipeline", t.Pipeline.Config.Name)
		})
	}
	return r
}

// measureTree shows in the metrics and the log what becomes of a pipeline.
func measureTree(t *Tree, log *slog.Logger, m *metrics.Registry) {
	name := t.Pipeline.Config.Name
	windows := m.Counter("millrace_pipeline_windows_total", "pipeline", name)
	for _, w := range t.Pipeline.windows {
		w.rows = windows
	}
	showFunctions(t.Pipeline, m)
	showSavings(t.Pipeline, m)
	t.told = func(err error) {
		log.Error("pipeline stopped; its messages are passed over", "pipeline", name, "error", err)
	}
}

// run processes what the feed brings until nothing more will come, or ctx is done.
func (r *runner) run(ctx context.Context) {
	defer close(r.ended)
	if r.keeper != nil {
		defer r.keeper.end()
	}
	var in []portion
	for done := false; !done; {
		select {
		case <-ctx.Done():
			return
		case <-r.feed.wake:
			handed := r.d.handed.Load() // before the feed is looked at
			in, done = r.feed.take(in)
			r.process(ctx, in)
			r.rest(ctx, handed, done)
		}
	}
}

// rest does what there is to do between two turns; done: after the last one.
func (r *runner) rest(ctx context.Context, handed uint64, done bool) {
	if r.look.Swap(false) {
		r.waits.Store(r.tree.Waits())
	}
	switch k := r.keeper; {
	case k == nil:
	case done:
		k.applied = max(k.applied, handed)
		r.stop(k.checkpoint(ctx, time.Now()))
	default:
		k.applied = max(k.applied, handed)
		r.stop(k.rest(ctx, time.Now()))
	}
}

// stop ends the tree if what it does cannot be kept.
func (r *runner) stop(err error) {
	if err != nil && r.tree.Failed() == nil && !errors.Is(err, context.Canceled) {
		r.tree.stop(err)
	}
}

// keep returns how durable the tree is.
func (r *runner) keep() journal.Durability { return r.tree.Pipeline.keep }

// durability returns the strongest that the pipelines of a tree ask for.
func durability(t *Tree) journal.Durability {
	most := journal.Volatile
	t.All(func(t *Tree) {
		switch t.Pipeline.Config.Durability {
		case "durable":
			most = journal.Durable
		case "relaxed":
			most = max(most, journal.Relaxed)
		}
	})
	return most
}

func (r *runner) process(ctx context.Context, in []portion) {
	for i, part := range in {
		if recs := part.recs(); r.keeper != nil {
			r.processKept(ctx, recs)
		} else {
			r.turn(recs[behind(recs, r.after):])
		}
		r.feed.done(part)
		r.d.finished(part.round)
		in[i] = portion{}
	}
	if len(in) > 0 {
		r.stirred.Store(true)
	}
}

// behind returns how many of the messages are up to an offset.
func behind(recs []journal.Record, offset uint64) int {
	if len(recs) == 0 || recs[0].Offset > offset {
		return 0
	}
	return sort.Search(len(recs), func(i int) bool { return recs[i].Offset > offset })
}

// processKept is turn for a durable tree. A replay brings messages whose
// effects are in its state, which it passes over, and then perhaps some whose
// results the journal has.
func (r *runner) processKept(ctx context.Context, recs []journal.Record) {
	k := r.keeper
	recs = recs[behind(recs, k.applied):]
	if k.muted() {
		n := behind(recs, k.known)
		r.turnKept(recs[:n])
		if recs = recs[n:]; len(recs) > 0 {
			k.applied = k.known
		}
	}
	r.turnKept(recs)
	if len(k.parcels) >= parcelBytesMax {
		r.stop(k.rest(ctx, time.Now()))
	}
}

// turnKept passes over what is not on disk: a replay would not bring it.
func (r *runner) turnKept(recs []journal.Record) {
	if len(recs) == 0 {
		return
	}
	bytes, from := 0, 0
	for i := range recs {
		bytes += len(recs[i].Payload)
		if recs[i].Keep == journal.Volatile {
			r.turn(recs[from:i])
			from = i + 1
		}
	}
	r.turn(recs[from:])
	r.keeper.processed(recs[len(recs)-1].Offset, bytes)
}

// turn sends messages through the tree, and tells it the time where a tick
// stands between them.
func (r *runner) turn(recs []journal.Record) {
	if r.tree.Failed() != nil {
		return // they are passed over
	}
	bytes, from := 0, 0
	for k := range recs {
		bytes += len(recs[k].Payload)
		if recs[k].Tick {
			r.send(recs[from:k])
			r.tree.Advance(recs[k].Arrived)
			from = k + 1
		}
	}
	r.send(recs[from:])
	r.bytes.Add(bytes)
}

func (r *runner) send(recs []journal.Record) {
	if len(recs) > 0 {
		r.messages.Add(len(recs))
		r.tree.Process(recs)
	}
}
