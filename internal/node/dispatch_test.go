package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline/topics"
)

// pipesOf returns pipelines that have nothing but filters.
func pipesOf(t *testing.T, filters ...[]string) []*Pipeline {
	t.Helper()
	var all []*Pipeline
	for _, list := range filters {
		p := &Pipeline{Config: &config.Pipeline{}}
		for _, s := range list {
			f, err := topics.ParseFilter(s)
			if err != nil {
				t.Fatal(err)
			}
			p.Filters = append(p.Filters, f)
		}
		p.sources = len(p.Filters)
		all = append(all, p)
	}
	return all
}

// of returns the route of a topic of the embedded broker.
func (r *routes) of(topic []byte) uint32 {
	route, _ := r.from(0, topic)
	return route
}

func TestAMessageIsKeptAsThePipelineThatAsksForMostWants(t *testing.T) {
	pipes := pipesOf(t, []string{"a/#"}, []string{"a/x", "b"}, []string{"a/+"})
	pipes[1].keep, pipes[2].keep = journal.Durable, journal.Relaxed
	r := newRoutes(pipes, 0)
	for topic, want := range map[string]journal.Durability{
		"nobody": journal.Volatile, "a/b/c": journal.Volatile, "a/y": journal.Relaxed, "b": journal.Durable, "a/x": journal.Durable,
	} {
		if _, got := r.from(0, []byte(topic)); got != want {
			t.Errorf("%s: got %d, want %d", topic, got, want)
		}
	}
}

func TestARouteLeadsToThePipelinesThatWantATopic(t *testing.T) {
	r := newRoutes(pipesOf(t, []string{"a/#"}, []string{"a/+", "b"}, []string{"a/x", "c"}), 0)
	for _, c := range []struct {
		topic string
		want  []int32
	}{
		{"nobody", nil}, {"a/y/z", []int32{0}}, {"b", []int32{1}}, {"c", []int32{2}},
		{"a/y", []int32{0, 1}}, {"a/x", []int32{0, 1, 2}}, {"a/z", []int32{0, 1}},
	} {
		route := r.of([]byte(c.topic))
		if got := r.pipelines(route, []byte(c.topic)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v on route %d, want %v", c.topic, got, route, c.want)
		}
		if (route == 0) != (c.want == nil) {
			t.Errorf("%s: got route %d for pipelines %v", c.topic, route, c.want)
		}
	}
	if a, b := r.of([]byte("a/y")), r.of([]byte("a/z")); a != b {
		t.Errorf("got routes %d and %d for one set of pipelines", a, b)
	}
}

func TestSetsBeyondTheLimitAreAskedForEachTime(t *testing.T) {
	r := newRoutes(pipesOf(t, []string{"a/#"}, []string{"a/+"}, []string{"a/x"}), 0)
	full := make([][]int32, routesMax)
	r.shared.Store(&full)
	route := r.of([]byte("a/x"))
	if got := r.pipelines(route, []byte("a/x")); route != routeAsk || !slices.Equal(got, []int32{0, 1, 2}) {
		t.Errorf("got %v on route %d, want all three on route %d", got, route, routeAsk)
	}
}

func TestRoutesCanBeAskedByManyAtTheSameTime(t *testing.T) {
	r := newRoutes(pipesOf(t, []string{"+/a"}, []string{"+/+"}, []string{"x/+"}, []string{"y/#"}), 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				topic := fmt.Appendf(nil, "%c/%c", "xyz"[i%3], "abc"[i%4%3])
				got := r.pipelines(r.of(topic), topic)
				if want := r.routers[0].Match(nil, topic); !slices.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", topic, got, want)
				}
			}
		})
	}
	all.Wait()
}

// A consumer takes what a feed brings, as a runner does.
func consume(d *dispatcher, f *feed, each func(journal.Record)) {
	var in []portion
	for done := false; !done; {
		<-f.wake
		in, done = f.take(in)
		for _, p := range in {
			for _, rec := range p.recs() {
				each(rec)
			}
			f.done(p)
			d.finished(p.round)
		}
	}
}

func TestEveryPipelineGetsWhatItWantsInOrderAndTheJournalIsReleased(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pipes := pipesOf(t, []string{"a/#"}, []string{"+/x"}, []string{"b/+"})
	r := newRoutes(pipes, 0)
	const bytesMax = 100_000
	j := journal.NewMemory(bytesMax)
	feeds := []*feed{newFeed(), newFeed(), newFeed()}
	d := newDispatcher(j.Read(0), r, feeds)
	want := make([][]uint64, len(feeds))
	got := make([][]uint64, len(feeds))
	var all sync.WaitGroup
	for i, f := range feeds {
		all.Go(func() {
			consume(d, f, func(rec journal.Record) {
				got[i] = append(got[i], rec.Offset)
				if !pipes[i].Filters[0].Match(string(rec.Topic)) {
					t.Errorf("pipeline %d got %s", i, rec.Topic)
				}
			})
		})
	}
	all.Go(func() {
		if err := d.run(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for range 20_000 {
		topic := fmt.Appendf(nil, "%c/%c", "abc"[random.IntN(3)], "xy"[random.IntN(2)])
		route := r.of(topic)
		offset, err := j.Append(context.Background(), journal.Record{Route: route, Topic: topic, Payload: make([]byte, random.IntN(50))})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range r.pipelines(route, topic) {
			want[i] = append(want[i], offset)
		}
	}
	j.Close()
	all.Wait()
	for i := range feeds {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("pipeline %d got %d messages, want %d", i, len(got[i]), len(want[i]))
		}
	}
	if len(d.rounds) != 0 || len(d.slots) != 0 {
		t.Errorf("%d rounds are still under way and %d slots taken", len(d.rounds), len(d.slots))
	}
}

func TestASlowPipelineHoldsTheOthersOnlyWhenItIsAllRoundsBehind(t *testing.T) {
	r := newRoutes(pipesOf(t, []string{"slow"}, []string{"quick"}), 0)
	j := journal.NewMemory(1 << 20)
	feeds := []*feed{newFeed(), newFeed()}
	d := newDispatcher(j.Read(0), r, feeds)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { d.run(ctx) })
	passed := make(chan struct{}, 1)
	all.Go(func() {
		consume(d, feeds[1], func(journal.Record) {
			select {
			case passed <- struct{}{}:
			case <-ctx.Done():
			}
		})
	})
	append1 := func(topic string) {
		if _, err := j.TryAppend(journal.Record{Route: r.of([]byte(topic)), Topic: []byte(topic)}); err != nil {
			t.Fatal(err)
		}
	}
	for range roundsMax - 1 { // a round each, as the quick one is waited for
		append1("slow")
		append1("quick")
		select {
		case <-passed:
		case <-time.After(time.Minute):
			t.Fatal("the quick pipeline waits for the slow one")
		}
	}
	cancel()
	all.Wait()
}
