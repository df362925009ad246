package bench

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"testing"
	"time"

	"millrace.dev/millrace/bench/load"
	"millrace.dev/millrace/bench/native"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/node"
	"millrace.dev/millrace/pipeline"
)

const (
	devices   = 50
	lapEach   = 1024 // readings of a device in a lap
	lap       = devices * lapEach
	step      = 10 * time.Millisecond
	roundMost = 1024 // records that the dispatcher hands out at once
	firstEach = 3500 // reading of each device that begins the lap: now some have faults
)

// An input is a lap of messages that can be sent again and again, each time
// as if later.
type input struct {
	recs  []journal.Record
	stamp []int // where in the payload the time is
	start int64 // ms, of the first reading of this lap
	laps  int
}

func newInput() *input {
	in := &input{start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}
	all := load.Payloads(devices, firstEach+2*lapEach, time.Unix(0, 0), step)
	for i, p := range all[devices*firstEach:][:lap] {
		in.recs = append(in.recs, journal.Record{Topic: []byte(load.Topic(i % devices)), Payload: restamp(p, in)})
	}
	in.again()
	return in
}

// restamp makes room for a time of 13 digits in p.
func restamp(p []byte, in *input) []byte {
	const key = `,"ts":`
	from := 0
	for string(p[from:from+len(key)]) != key {
		from++
	}
	from += len(key)
	to := from
	for p[to] != ',' {
		to++
	}
	in.stamp = append(in.stamp, from)
	return slices.Concat(p[:from], []byte("0000000000000"), p[to:])
}

// again makes the next lap of the same messages.
func (in *input) again() {
	in.laps++
	for i := range in.recs {
		r := &in.recs[i]
		r.Offset = uint64((in.laps-1)*lap + i + 1)
		ms := in.start + int64((in.laps-1)*lapEach+i/devices)*step.Milliseconds()
		r.Arrived = ms * 1000
		for k, at := 12, in.stamp[i]; k >= 0; k-- {
			r.Payload[at+k] = byte('0' + ms%10)
			ms /= 10
		}
	}
}

// A side is one that does a job: millrace or the bare program.
type side interface {
	lap(recs []journal.Record) error
}

// A bare is the job by hand.
type bare struct{ *native.Job }

func (b bare) lap(recs []journal.Record) error {
	for i := range recs {
		if err := b.Message(recs[i].Payload); err != nil {
			return err
		}
	}
	return nil
}

// A mill is the job as a pipeline, fed as the dispatcher does.
type mill struct {
	*node.Pipeline
	results pipeline.Results
}

func (m mill) lap(recs []journal.Record) error {
	for from := 0; from < len(recs); from += roundMost {
		if err := m.Process(recs[from:min(from+roundMost, len(recs))], m.results); err != nil {
			return err
		}
	}
	return nil
}

func newMill(t testing.TB, k native.Kind, to pipeline.Results) mill {
	t.Helper()
	ctx := context.Background()
	f, err := config.Parse(k.String(), []byte(YAML(k, Address{MQTT: "127.0.0.1:0", Cache: t.TempDir()})))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := node.NewRuntime(ctx, f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	all, err := node.Compile(ctx, f, rt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all[0].Close(ctx) })
	return mill{all[0], to}
}

// A count counts what comes out.
type count struct{ rows, late, dead int }

func (c *count) Main(b *pipeline.Batch)             { c.rows += b.Rows() }
func (c *count) Late(b *pipeline.Batch)             { c.late += b.Rows() }
func (c *count) Dead(letters []pipeline.DeadLetter) { c.dead += len(letters) }

// A table keeps what comes out as native results.
type table struct {
	count
	all []native.Result
}

func (t *table) Main(b *pipeline.Batch) {
	t.count.Main(b)
	number := func(name string, i int) float64 {
		if c := b.Column(name, i); c != nil && c.Kind == pipeline.Float {
			return c.Floats[i]
		} else if c != nil && c.Kind == pipeline.Int {
			return float64(c.Ints[i])
		}
		return 0
	}
	for i := range b.Rows() {
		t.all = append(t.all, native.Result{
			Device: string(b.Column("device", i).Text(i)), Time: b.Time[i] / 1000, Temp: number("temp", i),
			Stats: native.Stats{N: int(number("n", i)), Mean: number("mean", i), Min: number("low", i), Max: number("high", i)},
			Score: native.Score{Score: number("score", i), Expected: number("expected", i)},
		})
	}
}

func TestMillraceAndTheBareProgramAgree(t *testing.T) {
	for _, k := range native.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			var want []native.Result
			byHand := bare{native.NewJob(k, func(r *native.Result) { want = append(want, *r) })}
			got := &table{}
			m := newMill(t, k, got)
			in := newInput()
			for range 5 {
				if err := byHand.lap(in.recs); err != nil {
					t.Fatal(err)
				}
				if err := m.lap(in.recs); err != nil {
					t.Fatal(err)
				}
				in.again()
			}
			if got.late+got.dead+byHand.Late > 0 {
				t.Errorf("got %d late, %d dead letters, %d late by hand, want none", got.late, got.dead, byHand.Late)
			}
			compare(t, got.all, want)
		})
	}
}

func compare(t *testing.T, got, want []native.Result) {
	t.Helper()
	order := func(a, b native.Result) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Time, b.Time))
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if len(got) != len(want) || len(want) < 20 {
		t.Fatalf("got %d results, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		same := g.Device == w.Device && g.Time == w.Time && g.N == w.N
		for _, pair := range [][2]float64{{g.Temp, w.Temp}, {g.Mean, w.Mean}, {g.Min, w.Min}, {g.Max, w.Max}, {g.Score.Score, w.Score.Score}, {g.Expected, w.Expected}} {
			same = same && math.Abs(pair[0]-pair[1]) <= 1e-9*max(1, math.Abs(pair[1]))
		}
		if !same {
			t.Fatalf("result %d:\n got %+v\nwant %+v", i, g, w)
		}
	}
}

func TestSteadyWorkAllocatesNothing(t *testing.T) {
	for _, k := range native.Kinds() {
		in := newInput()
		m := newMill(t, k, &count{})
		turn := func() {
			if err := m.lap(in.recs); err != nil {
				t.Fatal(err)
			}
			in.again()
		}
		for range 3 { // until every device has been seen in every state
			turn()
		}
		if n := testing.AllocsPerRun(2, turn); n > lap/1000 {
			t.Errorf("%v: got %.0f allocations for %d messages, want less than one per thousand", k, n, lap)
		}
	}
}

// BenchmarkInProcess compares millrace with the bare program, decoding
// included, sockets and sinks left out. One op is a lap of 51,200 messages.
// In ratio the two take turns, so that what disturbs one disturbs the other.
func BenchmarkInProcess(b *testing.B) {
	for _, k := range native.Kinds() {
		b.Run(k.String()+"/millrace", func(b *testing.B) { laps(b, newMill(b, k, &count{})) })
		b.Run(k.String()+"/native", func(b *testing.B) { laps(b, newBare(k)) })
		b.Run(k.String()+"/ratio", func(b *testing.B) { ratio(b, newMill(b, k, &count{}), newBare(k)) })
	}
}

func newBare(k native.Kind) bare { return bare{native.NewJob(k, func(*native.Result) {})} }

func laps(b *testing.B, s side) {
	in := newInput()
	warm(b, in, s)
	b.ReportAllocs()
	var spent time.Duration
	for b.Loop() {
		spent += timed(b, in, s)
		in.again()
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*lap), "ns/message")
	b.ReportMetric(0, "ns/op")
}

func ratio(b *testing.B, m, n side) {
	in := newInput()
	warm(b, in, m, n)
	var ratios, ms, ns []float64
	for b.Loop() {
		var a, c time.Duration
		if len(ratios)%2 == 0 {
			a, c = timed(b, in, m), timed(b, in, n)
		} else {
			c, a = timed(b, in, n), timed(b, in, m)
		}
		in.again()
		ratios = append(ratios, float64(a)/float64(c))
		ms, ns = append(ms, float64(a)/lap), append(ns, float64(c)/lap)
	}
	b.ReportMetric(middle(ratios), "millrace/native")
	b.ReportMetric(middle(ms), "millrace-ns/message")
	b.ReportMetric(middle(ns), "native-ns/message")
	b.ReportMetric(0, "ns/op")
}

func warm(b *testing.B, in *input, sides ...side) {
	for range 5 {
		for _, s := range sides {
			timed(b, in, s)
		}
		in.again()
	}
}

func timed(b *testing.B, in *input, s side) time.Duration {
	start := time.Now()
	if err := s.lap(in.recs); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
