package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

func TestMessagesOnRoutesOfAnOldEditionAreAskedForAgain(t *testing.T) {
	old := newRoutes(pipesOf(t, []string{"a"}, []string{"+"}, []string{"c"}), 3)
	next := newRoutes(pipesOf(t, []string{"c"}, []string{"a"}), 4)
	for _, topic := range []string{"a", "b", "c"} {
		route := old.of([]byte(topic))
		if got, want := next.pipelines(route, []byte(topic)), next.routers[0].Match(nil, []byte(topic)); !slices.Equal(got, want) {
			t.Errorf("%s on route %d: got %v, want %v", topic, route, got, want)
		}
		if next.same([]journal.Record{{Route: route}, {Route: route}}) {
			t.Errorf("%s: a round on an old route was taken for one of the same topics", topic)
		}
		if got, want := old.pipelines(route, nil), old.routers[0].Match(nil, []byte(topic)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v in its own edition, want %v", topic, got, want)
		}
	}
	if got := newRoutes(pipesOf(t, []string{"a"}), editionsMax).edition; got != 0 {
		t.Errorf("got edition %d after the last, want the first again", got)
	}
}

func TestAChangeFallsBetweenTwoMessagesAndLosesNone(t *testing.T) {
	table := newRoutes(pipesOf(t, []string{"a"}), 0)
	j := journal.NewMemory(1 << 20)
	d := newDispatcher(j.Read(0), table, []*feed{newFeed()})
	var all, fed sync.WaitGroup
	var got []uint64
	follow := func(f *feed) {
		fed.Go(func() { consume(d, f, func(r journal.Record) { got = append(got, r.Offset) }) })
	}
	follow(d.feeds[0])
	all.Go(func() {
		if err := d.run(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const messages = 20_000
	all.Go(func() {
		for range messages {
			if _, err := j.Append(context.Background(), journal.Record{Route: table.of([]byte("a")), Topic: []byte("a")}); err != nil {
				t.Error(err)
			}
		}
		j.Close()
	})
	changes := 0
	for err := error(nil); err == nil; {
		err = d.change(func() {
			changes++
			d.feeds[0].finish()
			fed.Wait() // or two would append to got
			d.routes = newRoutes(pipesOf(t, []string{"b"}, []string{"a"}), changes)
			d.feeds = []*feed{newFeed(), newFeed()}
			slices.Reverse(d.feeds)
			d.feeds[0].finish() // nobody reads b
			next := d.feeds[1]
			d.feeds[0] = next // for the next change to finish
			follow(next)
		})
		if err != nil && err != errEnded {
			t.Fatal(err)
		}
	}
	all.Wait()
	fed.Wait()
	if len(got) != messages || !slices.IsSorted(got) {
		t.Errorf("got %d messages after %d changes, want %d in order", len(got), changes, messages)
	}
	if err := d.change(func() { t.Error("changed after the end") }); err != errEnded {
		t.Errorf("got %v, want %v", err, errEnded)
	}
}

// trees builds the trees of a configuration with a notebook for each pipeline.
func trees(t *testing.T, yaml string) ([]*Tree, map[string]*notebook) {
	t.Helper()
	books := map[string]*notebook{}
	all, err := Trees(compile(t, load(t, yaml)), func(p *Pipeline) (pipeline.Results, error) {
		books[p.Config.Name] = &notebook{t: t}
		return books[p.Config.Name], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, books
}

func record(offset uint64, topic, payload string) journal.Record {
	return journal.Record{Offset: offset, Arrived: int64(offset), Topic: []byte(topic), Payload: []byte(payload)}
}

func TestAPipelineThatStopsTakesOnlyThoseThatReadItAlong(t *testing.T) {
	all, books := trees(t, `
pipelines:
  a: {from: "in/{device}", steps: [{where: v > 0}]}
  b: {from: {pipeline: a}, key: device, to: [{stdout: {}}]}
  c: {from: {pipeline: b}, to: [{stdout: {}}]}
  d: {from: {pipeline: a}, to: [{stdout: {}}]}
`)
	if len(all) != 1 || len(all[0].Readers) != 2 {
		t.Fatalf("got %d trees, want one with two readers", len(all))
	}
	root := all[0]
	root.Process([]journal.Record{record(1, "in/m", `{"v":1}`)})
	root.Readers[0].stop(fmt.Errorf("broken"))
	root.Process([]journal.Record{record(2, "in/m", `{"v":2}`), record(3, "in/m", `{"v":-1}`)})
	for name, want := range map[string]int{"a": 2, "b": 1, "c": 1, "d": 2} {
		if got := books[name].text.String(); countLines(got) != want {
			t.Errorf("%s: got\n%s\nwant %d rows", name, got, want)
		}
	}
	if err := root.Readers[0].Failed(); err == nil || err.Error() != "pipeline b: broken" {
		t.Errorf("got %v", err)
	}
	if root.Failed() != nil {
		t.Error("the pipeline that is read stopped, too")
	}
}

func countLines(text string) int {
	n := 0
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}

func TestRowsOfAPipelineThatIsReadKeepColumnsKindsAndOrigin(t *testing.T) {
	all, books := trees(t, `
pipelines:
  a: {from: "in/{device}", fields: {v: number}, key: device, to: [{stdout: {}}]}
  b: {from: {pipeline: a}, key: [device, v], steps: [{where: v > 1}], to: [{stdout: {}}]}
`)
	all[0].Process([]journal.Record{record(7, "in/m", `{"v":1.5,"on":true,"s":"x"}`), record(8, "in/m", `{"v":null}`)})
	got := books["b"].text.String()
	want := `main time 7 mark 7 offset 7 ordinal 0 hop 1 {"time":"1970-01-01T00:00:00.000007Z","device":"m","topic":"in/m","v":1.5,"on":true,"s":"x"}
`
	if main, dead := got, "dead 8 from a: v: missing, and it is the key\n"; main != dead+want && main != want+dead {
		t.Errorf("got\n%s\nwant\n%s%s", got, want, dead)
	}
}

func TestStateGoesOnWhereItFitsAndIsToldWhereNot(t *testing.T) {
	pipe := func(steps, key string) string {
		return "pipelines:\n  p:\n    from: in/{device}\n    time: ts\n    key: " + key + "\n    idle: never\n    steps:\n" + steps + "    to: [{stdout: {}}]\n"
	}
	window := "      - window: {tumbling: 10s, fields: {n: count()}}\n"
	zscore := "      - function: zscore\n        input: {value: v}\n"
	for _, c := range []struct{ name, old, next, lost, why string }{
		{"nothing but a where in front", pipe(window, "device"), pipe("      - where: ts > 1\n"+window, "device"), "", ""},
		{"another size", pipe(window, "device"), pipe("      - window: {tumbling: 20s, fields: {n: count()}}\n", "device"), "steps[0]", "window: the snapshot is that of a window with another size"},
		{"another key", pipe(window, "device"), pipe(window, "[device, ts]"), "steps[0]", "the key is another"},
		{"a step is gone", pipe(zscore+window, "device"), pipe(window, "device"), "steps[0]", "the step is gone"},
		{"the order is another", pipe(zscore+"      - function: rate-of-change\n        input: {value: v}\n", "device"), pipe("      - function: rate-of-change\n        input: {value: v}\n"+zscore, "device"), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := compile(t, load(t, c.old))[0]
			book := &notebook{t: t}
			if err := old.Process([]journal.Record{record(1, "in/m", `{"ts":1000,"v":1}`), record(2, "in/m", `{"ts":2000,"v":1}`)}, book); err != nil {
				t.Fatal(err)
			}
			build := func() (*Pipeline, error) { return compile(t, load(t, c.next))[0], nil }
			p, _ := build()
			p, losses, err := inherit(remember(old), p, build)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.lost == "" && len(losses) > 0, c.lost != "" && len(losses) != 1:
				t.Fatalf("got losses %v, want %q", losses, c.lost)
			case c.lost != "" && (losses[0].stage != c.lost || len(losses[0].why) < len(c.why) || losses[0].why[:len(c.why)] != c.why):
				t.Errorf("got %v, want %s: %s", losses[0], c.lost, c.why)
			}
			if c.why != "the key is another" && p.marks.Of(1) != 2_000_000 {
				t.Errorf("got watermark %d, want that of the old one", p.marks.Of(1))
			}
		})
	}
}
