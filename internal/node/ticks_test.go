package node

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

const windowed = `
pipelines:
  means:
    from: in/{m}
    key: m
    steps: [{window: {tumbling: 5s, fields: {mean: mean(value)}}}]
    to: [{topic: "out/{m}"}]
`

// A ticked is a pipeline behind a journal in memory, whose time the test tells.
type ticked struct {
	*notebook
	journal *journal.Memory
	runner  *runner
	ticker  *ticker
	all     journal.Reader // keeps everything
	end     func()
}

func newTicked(t *testing.T, yaml string) *ticked {
	x := &ticked{notebook: &notebook{t: t}, journal: journal.NewMemory(1 << 20)}
	x.all = x.journal.Read(0)
	trees, err := Trees(compile(t, load(t, yaml)), func(*Pipeline) (pipeline.Results, error) { return x.notebook, nil })
	if err != nil {
		t.Fatal(err)
	}
	d := newDispatcher(x.journal.Read(0), newRoutes([]*Pipeline{trees[0].Pipeline}, 0), nil)
	x.runner = newRunner(trees[0], recipe{}, d, slog.New(slog.DiscardHandler), metrics.New())
	d.feeds = []*feed{x.runner.feed}
	x.ticker = &ticker{journal: x.journal, d: d, runners: func() []*runner { return []*runner{x.runner} }}
	var all sync.WaitGroup
	all.Go(func() { d.run(context.Background()) })
	all.Go(func() { x.runner.run(context.Background()) })
	x.end = func() { x.journal.Seal(); all.Wait() }
	return x
}

// until waits for what a runner does by itself.
func until(t testing.TB, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); runtime.Gosched() {
		if time.Since(start) > 30*time.Second {
			t.Fatal("it does not come")
		}
	}
}

func (x *ticked) publish(at int64, topic, payload string) {
	route, keep := x.runner.d.routes.from(0, []byte(topic))
	if _, err := x.journal.TryAppend(journal.Record{Arrived: at, Route: route, Keep: keep, Topic: []byte(topic), Payload: []byte(payload)}); err != nil {
		x.t.Fatal(err)
	}
	until(x.t, func() bool { return x.runner.d.handed.Load()+1 == x.journal.Next() && x.runner.d.waiting.Load() })
}

// checkTicks checks how the ticks are kept, and that those on disk are a
// second apart.
func (x *ticked) checkTicks(keep journal.Durability) {
	recs, _ := x.all.Next(context.Background(), nil, 1000)
	last := int64(0)
	for _, r := range recs {
		if !r.Tick {
			continue
		}
		if (r.Keep == journal.Volatile) != (keep == journal.Volatile) {
			x.t.Errorf("got a tick that is kept as %d for a pipeline that is as %d", r.Keep, keep)
		}
		if keep > journal.Volatile && r.Arrived-last < tickKeptEvery.Microseconds() {
			x.t.Errorf("got ticks that are %d µs apart", r.Arrived-last)
		}
		last = r.Arrived
	}
	if last == 0 {
		x.t.Error("got no tick")
	}
}

func TestTicksComeWhileAWindowIsOpenAndNoLonger(t *testing.T) {
	for _, keep := range []journal.Durability{journal.Volatile, journal.Durable} {
		x := newTicked(t, windowed)
		x.runner.tree.Pipeline.keep, x.runner.d.routes.keeps[0] = keep, keep
		now := time.UnixMicro(1_767_225_600e6)
		x.publish(now.UnixMicro(), "in/a", "2")
		x.publish(now.UnixMicro(), "in/a", "4")
		until(t, func() bool { x.ticker.tick(now); return x.runner.waits.Load() })
		for range 60 {
			now = now.Add(tickEvery)
			x.ticker.tick(now)
		}
		until(t, func() bool { x.ticker.tick(now); return !x.runner.waits.Load() })
		last := x.journal.Next()
		for range 60 {
			now = now.Add(tickEvery)
			x.ticker.tick(now)
		}
		if got := x.journal.Next(); got != last {
			t.Errorf("%d ticks that nobody waits for", got-last)
		}
		x.end()
		x.checkTicks(keep)
		if got := x.text.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"mean":3}`) {
			t.Errorf("got %s, want one window", got)
		}
	}
}
