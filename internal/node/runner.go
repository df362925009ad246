package node

import (
	"context"
	"log/slog"
	"time"

	"millrace.dev/millrace/internal/metrics"
)

const (
	// tick is how often a pipeline that waits for time looks at the clock.
	tick = 200 * time.Millisecond
	// settle is how long a message may be on its way from its arrival stamp
	// to its pipeline; the clock given to windows runs behind by it.
	settle = 100 * time.Millisecond
)

// A runner is the goroutine of a pipeline and of those that read its results.
type runner struct {
	tree  *Tree
	made  recipe // what the tree was made of
	feed  *feed
	d     *dispatcher
	begun bool
	ended chan struct{} // closed when run has returned

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
	var clock <-chan time.Time
	if r.tree.Waits() {
		t := time.NewTicker(tick)
		defer t.Stop()
		clock = t.C
	}
	var in []portion
	for {
		done := false
		select {
		case <-ctx.Done():
			return
		case <-r.feed.wake:
			in, done = r.feed.take(in)
			r.process(in)
		case now := <-clock:
			at := now.Add(-settle).UnixMicro()
			behind := r.d.behind(at) // asked first: what is handed out from here on is younger
			in, done = r.feed.take(in)
			r.process(in)
			if !behind {
				r.tree.Advance(at)
			}
		}
		if done {
			return
		}
	}
}

func (r *runner) process(in []portion) {
	for i, part := range in {
		if r.tree.Failed() == nil {
			bytes := 0
			recs := part.recs()
			for k := range recs {
				bytes += len(recs[k].Payload)
			}
			r.messages.Add(len(recs))
			r.bytes.Add(bytes)
			r.tree.Process(recs)
		}
		r.feed.done(part)
		r.d.finished(part.round)
		in[i] = portion{}
	}
}
