package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

const (
	// tick is how often a pipeline that waits for time looks at the clock.
	tick = 200 * time.Millisecond
	// settle is how long a message may be on its way from its arrival stamp
	// to its pipeline; the clock given to windows runs behind by it.
	settle = 100 * time.Millisecond
)

// A runner is the goroutine of one pipeline.
type runner struct {
	p      *Pipeline
	feed   *feed
	d      *dispatcher
	to     *outlet
	log    *slog.Logger
	failed atomic.Pointer[error] // why the pipeline stopped, if it did

	messages, bytes, windows *metrics.Counter
}

func newRunner(p *Pipeline, to *outlet, log *slog.Logger, m *metrics.Registry) *runner {
	name := p.Config.Name
	r := &runner{
		p: p, feed: newFeed(), to: to, log: log.With("pipeline", name),
		messages: m.Counter("millrace_pipeline_messages_in_total", "pipeline", name),
		bytes:    m.Counter("millrace_pipeline_bytes_in_total", "pipeline", name),
		windows:  m.Counter("millrace_pipeline_windows_total", "pipeline", name),
	}
	for _, w := range p.windows {
		w.rows = r.windows
	}
	showFunctions(p, m)
	return r
}

// run processes what the feed brings until nothing more will come, or ctx is done.
func (r *runner) run(ctx context.Context) {
	var clock <-chan time.Time
	if r.p.Waits() {
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
			if !behind && r.failed.Load() == nil {
				r.check(r.p.Advance(at, r.to))
			}
		}
		if done {
			return
		}
	}
}

func (r *runner) process(in []portion) {
	for i, part := range in {
		if r.failed.Load() == nil {
			bytes := 0
			recs := part.recs()
			for k := range recs {
				bytes += len(recs[k].Payload)
			}
			r.messages.Add(len(recs))
			r.bytes.Add(bytes)
			r.check(r.p.Process(recs, r.to))
		}
		r.feed.done(part)
		r.d.finished(part.round)
		in[i] = portion{}
	}
}

// check stops the pipeline, and only it, after an error that is not one message's.
func (r *runner) check(err error) {
	if err == nil {
		return
	}
	err = fmt.Errorf("pipeline %s: %w", r.p.Config.Name, err)
	r.failed.Store(&err)
	r.log.Error("pipeline stopped; its messages are passed over", "error", err)
}

var _ pipeline.Results = (*outlet)(nil)
