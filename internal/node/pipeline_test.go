package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
)

// load reads a configuration written in the test.
func load(t testing.TB, yaml string) *config.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// compile builds the pipelines of a configuration.
func compile(t testing.TB, f *config.File) []*Pipeline {
	t.Helper()
	rt, err := NewRuntime(t.Context(), f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pipes, err := Compile(t.Context(), f, rt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range pipes {
			p.Close(context.Background())
		}
		rt.Close(context.Background())
	})
	return pipes
}

// A notebook writes everything that comes out of a pipeline down, a line each.
type notebook struct {
	t    testing.TB
	text bytes.Buffer
}

func (n *notebook) rows(what string, b *pipeline.Batch) {
	sink, err := sinks.NewStdout(sinks.StdoutConfig{}, &n.text)
	if err != nil {
		n.t.Fatal(err)
	}
	one := pipeline.NewBatch(b.Schema(), b.Keys)
	for i := range b.Rows() {
		one.Reset()
		one.AppendFrom(b, i)
		r := b.Row(i)
		fmt.Fprintf(&n.text, "%s time %d mark %d offset %d ordinal %d hop %d ", what, r.Time, r.Mark, r.Offset, r.Ordinal, r.Hop)
		if err := sink.Write(n.t.Context(), one); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *notebook) Main(b *pipeline.Batch) { n.rows("main", b) }
func (n *notebook) Late(b *pipeline.Batch) { n.rows("late", b) }
func (n *notebook) Dead(letters []pipeline.DeadLetter) {
	for _, l := range letters {
		fmt.Fprintf(&n.text, "dead %d %s: %s\n", l.Offset, l.Stage, l.Reason)
	}
}

// An instant is a message, or time that passes.
type instant struct {
	rec journal.Record
	now int64
}

const chained = `
pipelines:
  motors:
    from: plant/{line}/{device}
    time: ts
    key: device
    lateness: 2s
    idle: 20s
    steps:
      - where: temp > -40 and temp < 200
      - window: {tumbling: 5s, fields: {mean: mean(temp), p95: p95(temp), sd: stddev(temp), last: last(temp), n: count()}}
      - function: rate-of-change
        input: {value: mean}
      - function: zscore
        input: {value: mean}
        with: {threshold: 2, warmup: 4}
      - function: threshold
        input: {value: score}
        with: {above: 2, hysteresis: 1, hold: 10}
      - where: n > 1
    to: [{topic: "out/{line}/{device}"}]
`

// story makes messages of a few devices, some late, malformed, from the
// future or refused, with time passing between them.
func story(random *rand.Rand, messages int) []instant {
	var all []instant
	now := int64(1767225600e6)
	for i := range messages {
		now += int64(random.IntN(300_000))
		if random.IntN(50) == 0 {
			now += 30e6
			all = append(all, instant{now: now})
		}
		ts := now/1000 - int64(random.IntN(4000))
		if random.IntN(30) == 0 {
			ts -= 20_000
		}
		payload := fmt.Sprintf(`{"ts":%d,"temp":%.2f}`, ts, 60+5*random.NormFloat64()+40*float64(random.IntN(20)/19))
		switch random.IntN(40) {
		case 0:
			payload = `{"ts":`
		case 1:
			payload = fmt.Sprintf(`{"ts":%d}`, ts)
		case 2:
			payload = fmt.Sprintf(`{"ts":%d,"temp":999}`, ts)
		case 3:
			payload = fmt.Sprintf(`{"ts":%d,"temp":1}`, ts+7200_000)
		}
		all = append(all, instant{rec: journal.Record{
			Offset: uint64(i + 1), Arrived: now, Payload: []byte(payload),
			Topic: fmt.Appendf(nil, "plant/%c/m%d", 'a'+rune(i%2), random.IntN(5)),
		}})
	}
	return append(all, instant{now: now + 120e6})
}

// tell sends the story through the pipeline; cut says after how many messages
// each Process call ends.
func tell(t *testing.T, p *Pipeline, story []instant, cut func() int) string {
	t.Helper()
	n := &notebook{t: t}
	var recs []journal.Record
	left := cut()
	flush := func() {
		if err := p.Process(recs, n); err != nil {
			t.Fatal(err)
		}
		recs, left = recs[:0], cut()
	}
	for _, s := range story {
		if s.now != 0 {
			flush()
			if err := p.Advance(s.now, n); err != nil {
				t.Fatal(err)
			}
			continue
		}
		recs = append(recs, s.rec)
		if left--; left <= 0 {
			flush()
		}
	}
	return n.text.String()
}

// sorted puts main rows first, then late ones, each in their order, then dead
// letters by text: within a call they are handed over stage by stage.
func sorted(text string) string {
	var main, late strings.Builder
	var dead []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "main"):
			main.WriteString(line)
		case strings.HasPrefix(line, "late"):
			late.WriteString(line)
		default:
			dead = append(dead, line)
		}
	}
	slices.Sort(dead)
	return main.String() + late.String() + strings.Join(dead, "")
}

func TestBatchingDoesNotShow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := load(t, chained)
	messages := story(random, 4000)
	want := sorted(tell(t, compile(t, f)[0], messages, func() int { return 1 }))
	for _, word := range []string{"main ", "late ", "in the future", "not JSON", `"alarm":true`, `"score":`, `"rate":`} {
		if !strings.Contains(want, word) {
			t.Fatalf("the story has no %q; it must have everything:\n%.2000s", word, want)
		}
	}
	for _, cut := range []func() int{
		func() int { return 1000 },
		func() int { return 1 + random.IntN(300) },
		func() int { return 1 + random.IntN(5) },
	} {
		got := sorted(tell(t, compile(t, f)[0], messages, cut))
		if got != want {
			t.Fatalf("other results when cut in another way:\n%s", firstDifference(got, want))
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}
