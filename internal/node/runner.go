package node

import (
	"context"
	"log/slog"
	"sync/atomic"

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
	var in []portion
	for done := false; !done; {
		select {
		case <-ctx.Done():
			return
		case <-r.feed.wake:
			in, done = r.feed.take(in)
			r.process(in)
			if len(in) > 0 {
				r.stirred.Store(true)
			}
			if r.look.Swap(false) {
				r.waits.Store(r.tree.Waits())
			}
		}
	}
}

// keep returns how durable the tree is.
func (r *runner) keep() journal.Durability { return r.tree.Pipeline.keep }

func (r *runner) process(in []portion) {
	for i, part := range in {
		if r.tree.Failed() == nil {
			r.turn(part.recs())
		}
		r.feed.done(part)
		r.d.finished(part.round)
		in[i] = portion{}
	}
}

// turn sends messages through the tree, and tells it the time where a tick
// stands between them.
func (r *runner) turn(recs []journal.Record) {
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
