package join

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// seeded returns a random source and prints the seed that makes it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var inputs = pipeline.Schema{
	{Name: "device", Kind: pipeline.Text}, {Name: StreamColumn, Kind: pipeline.Text},
	{Name: "value", Kind: pipeline.Float}, {Name: "text", Kind: pipeline.Text}, {Name: "on", Kind: pipeline.Bool},
	{Name: "n", Kind: pipeline.Int},
}

// A stage is Align or Join.
type stage interface {
	pipeline.Stage
	pipeline.Advancer
	pipeline.Snapshotter
	pipeline.Delayer
	Schema() pipeline.Schema
}

// A bench holds a stage and what it needs.
type bench struct {
	t     *testing.T
	make  func(*pipeline.Keys) stage
	keys  *pipeline.Keys
	marks *pipeline.Marks
	stage stage
	batch *pipeline.Batch
	said  []string
}

func newBench(t *testing.T, streams int, build func(*pipeline.Keys) stage) *bench {
	b := &bench{t: t, make: build, keys: pipeline.NewKeys(100), marks: &pipeline.Marks{Streams: streams, Lateness: 2, Idle: 50}}
	b.stage, b.batch = build(b.keys), pipeline.NewBatch(inputs, b.keys)
	return b
}

// A message is a row to come.
type message struct {
	at, time int64
	device   string
	stream   int
	offset   uint64
	value    float64 // below 0: none
}

var names = []string{"a", "b", "c"}

// send sends messages in one batch.
func (b *bench) send(all ...message) {
	b.t.Helper()
	b.batch.Reset()
	var streams []uint8
	for _, m := range all {
		code, _ := b.keys.Code([]byte(m.device))
		b.batch.AppendRow(pipeline.Row{Time: m.time, Arrived: m.at, Key: code, Offset: m.offset})
		c := b.batch.Columns
		c[0].AppendText([]byte(m.device))
		c[1].AppendText([]byte(names[m.stream]))
		if m.value < 0 {
			c[2].AppendNull()
		} else {
			c[2].AppendFloat(m.value)
		}
		c[3].AppendText(fmt.Append(nil, "t", m.offset))
		c[4].AppendBool(m.offset%2 == 0)
		c[5].AppendInt(int64(m.offset))
		streams = append(streams, uint8(m.stream))
	}
	b.marks.ObserveStreams(b.batch, streams)
	var out pipeline.Outputs
	if err := b.stage.Process(b.batch, &out); err != nil {
		b.t.Fatal(err)
	}
	b.note(&out)
}

// pass lets time pass.
func (b *bench) pass(now int64) {
	b.t.Helper()
	b.marks.Advance(now)
	var out pipeline.Outputs
	if err := b.stage.Advance(b.marks, &out); err != nil {
		b.t.Fatal(err)
	}
	b.note(&out)
}

// restart goes on with a new stage, new keys and new watermarks from snapshots.
func (b *bench) restart() {
	b.t.Helper()
	snapshot, err := b.stage.Snapshot([]byte("before"))
	if err != nil || !strings.HasPrefix(string(snapshot), "before") {
		b.t.Fatalf("got %v and %.10q", err, snapshot)
	}
	marks := b.marks.Snapshot(nil, b.keys)
	next := newBench(b.t, b.marks.Streams, b.make)
	if err := next.marks.Restore(marks, next.keys); err != nil {
		b.t.Fatal(err)
	}
	if err := next.stage.Restore(snapshot[len("before"):]); err != nil {
		b.t.Fatal(err)
	}
	next.said = b.said
	*b = *next
}

func (b *bench) note(out *pipeline.Outputs) {
	for _, part := range []struct {
		what string
		rows *pipeline.Batch
	}{{"", out.Main}, {"late ", out.Late}} {
		for i := 0; part.rows != nil && i < part.rows.Rows(); i++ {
			b.said = append(b.said, part.what+text(part.rows, i))
		}
	}
	for _, d := range out.Dead {
		b.said = append(b.said, fmt.Sprintf("dead %d %s", d.Offset, d.Reason))
	}
}

// text returns a row as time, mark, origin and its values.
func text(b *pipeline.Batch, i int) string {
	r := b.Row(i)
	s := fmt.Sprintf("%d mark %d %s %d/%d hop %d", r.Time, r.Mark, b.Keys.Name(r.Key), r.Offset, r.Ordinal, r.Hop)
	for k := range b.Columns {
		c := &b.Columns[k]
		if !c.Has(i) {
			continue
		}
		switch c.Kind {
		case pipeline.Float:
			s += fmt.Sprintf(" %s=%v", c.Name, c.Floats[i])
		case pipeline.Int:
			s += fmt.Sprintf(" %s=%v", c.Name, c.Ints[i])
		case pipeline.Bool:
			s += fmt.Sprintf(" %s=%v", c.Name, c.Bools[i])
		default:
			s += fmt.Sprintf(" %s=%s", c.Name, c.Text(i))
		}
	}
	return s
}

// values is a configuration that takes the column value of every stream.
func values(streams int) Config {
	c := Config{Stage: "join", Streams: names[:streams], Within: 5, RowsMax: 20, Shared: []string{"device"}}
	for _, s := range c.Streams {
		c.Columns = append(c.Columns, Column{s, "value"})
	}
	return c
}

func align(t *testing.T, c Config, kind Kind) func(*pipeline.Keys) stage {
	return func(keys *pipeline.Keys) stage {
		s, err := NewAlign(c, kind, inputs, keys)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func pairs(t *testing.T, c Config, kind Kind) func(*pipeline.Keys) stage {
	return func(keys *pipeline.Keys) stage {
		s, err := NewJoin(c, kind, inputs, keys)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// story makes messages of three devices, some of them late, with pauses.
func story(r *rand.Rand, streams int) []message {
	var all []message
	now := int64(1000)
	for i := range 400 {
		now += r.Int64N(3)
		if r.IntN(40) == 0 {
			now += 100
		}
		all = append(all, message{at: now, time: now - r.Int64N(4), device: fmt.Sprint("m", r.IntN(3)), stream: r.IntN(streams), offset: uint64(i + 1), value: float64(r.IntN(100)) - 10})
		if r.IntN(20) == 0 {
			all[i].time -= 20
		}
	}
	return all
}

func TestNeitherBatchesNorRestartsShow(t *testing.T) {
	r := seeded(t)
	open := values(2)
	open.Open, open.RowsMax = true, 3
	for name, c := range map[string]struct {
		streams int
		build   func(*pipeline.Keys) stage
	}{
		"inner": {3, align(t, values(3), Inner)}, "outer": {3, align(t, values(3), Outer)},
		"last": {3, align(t, values(3), Last)}, "pairs": {2, pairs(t, values(2), Inner)},
		"left": {2, pairs(t, values(2), Outer)}, "open outer": {2, align(t, open, Outer)},
		"open pairs": {2, pairs(t, open, Inner)}, "open last": {2, align(t, open, Last)},
	} {
		t.Run(name, func(t *testing.T) {
			messages := story(r, c.streams)
			one := newBench(t, c.streams, c.build)
			play(one, messages, func() int { return 1 }, func() bool { return false })
			if len(one.said) < 20 {
				t.Fatalf("got only %d lines of a story of %d messages", len(one.said), len(messages))
			}
			for range 5 {
				b := newBench(t, c.streams, c.build)
				play(b, messages, func() int { return 1 + r.IntN(30) }, func() bool { return r.IntN(4) == 0 })
				got, want := sortDead(b.said), sortDead(one.said)
				if !slices.Equal(got, want) {
					t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

// play sends messages in batches; time passes wherever they have a pause.
func play(b *bench, messages []message, cut func() int, restart func() bool) {
	var now int64
	for len(messages) > 0 {
		n := 1
		for want := cut(); n < want && n < len(messages) && messages[n].at < messages[n-1].at+50; n++ {
		}
		if messages[0].at >= now+50 {
			b.pass(messages[0].at - 1)
		}
		if restart() {
			b.restart()
		}
		b.send(messages[:n]...)
		now = messages[n-1].at
		messages = messages[n:]
	}
	b.pass(now + 1000)
}

// sortDead puts late rows and dead letters behind the results: within a call
// they are handed over apart.
func sortDead(said []string) []string {
	said = slices.Clone(said)
	slices.SortStableFunc(said, func(a, b string) int { return rank(a) - rank(b) })
	return said
}

func rank(line string) int {
	switch {
	case strings.HasPrefix(line, "late"):
		return 1
	case strings.HasPrefix(line, "dead"):
		return 2
	}
	return 0
}
