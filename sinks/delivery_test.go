package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

const patience = time.Minute

// A valve is a sink that does as a test says and keeps the numbers of the
// rows it took.
type valve struct {
	write func(b *pipeline.Batch) error // nil takes all

	mu     sync.Mutex
	got    []int
	sizes  []int
	closed int
}

func (v *valve) Write(ctx context.Context, b *pipeline.Batch) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var err error
	if v.write != nil {
		v.mu.Unlock()
		err = v.write(b)
		v.mu.Lock()
	}
	done := b.Rows()
	var part *Partial
	if errors.As(err, &part) {
		done = part.Done
	} else if err != nil && !errors.As(err, new(*Refused)) {
		return err
	}
	v.sizes = append(v.sizes, b.Rows())
	for i := range done {
		v.got = append(v.got, int(b.Column("n", i).Ints[i]))
	}
	return err
}

func (v *valve) Close() error {
	v.closed++
	return errors.New("valve stuck")
}

func (v *valve) has(n int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.got) >= n
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come: %s", what)
		}
	}
}

// A record keeps what is logged.
type record struct {
	mu sync.Mutex
	b  strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.b.String(), text)
}

type runningDelivery struct {
	*Delivery
	log     *record
	metrics *metrics.Registry
	end     func()
}

// deliverTo runs a delivery until the test ends, with short waits.
func deliverTo(t *testing.T, s Sink, c DeliveryConfig) *runningDelivery {
	t.Helper()
	r := &runningDelivery{log: &record{}, metrics: metrics.New()}
	c.Pipeline, c.Sink, c.Metrics, c.Log = "p", "s", r.metrics, slog.New(slog.NewTextHandler(r.log, nil))
	r.Delivery = NewDelivery(s, c)
	r.retry.first, r.retry.most = time.Millisecond, 2*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { r.Run(ctx) })
	r.end = func() { cancel(); run.Wait() }
	t.Cleanup(r.end)
	return r
}

func (r *runningDelivery) drain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *runningDelivery) metric(name string) int {
	return int(r.metrics.Counter("millrace_sink_"+name+"_total", "pipeline", "p", "sink", "s").Get())
}

// from returns the rows from..to of a table of numbers.
func from(from, to int) *pipeline.Batch {
	b := pipeline.NewBatch(columns(count), nil)
	for i := from; i < to; i++ {
		b.AppendRow(pipeline.Row{Time: second, Offset: uint64(i)})
		b.Columns[0].AppendInt(int64(i))
	}
	return b
}

func (v *valve) check(t *testing.T, want ...int) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Equal(v.got, want) {
		t.Errorf("got rows %v, want %v", v.got, want)
	}
}

func numbers(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestRowsArriveOnceAndInOrder(t *testing.T) {
	v := &valve{}
	d := deliverTo(t, v, DeliveryConfig{RowsMax: 7})
	b := from(0, 0)
	for i := 0; i < 1000; i += i%5 + 1 {
		b.CopyFrom(from(i, min(i+i%5+1, 1000)))
		d.Push(b) // which it may use again
	}
	d.drain(t)
	v.check(t, numbers(1000)...)
	if d.metric("rows") != 1000 || slices.Max(v.sizes) > 7 {
		t.Errorf("got %d rows counted, batches up to %d, want 1000 and 7", d.metric("rows"), slices.Max(v.sizes))
	}
}

func TestATemporaryErrorIsTriedAgainUntilItWorks(t *testing.T) {
	fails := 5
	v := &valve{}
	v.write = func(*pipeline.Batch) error {
		if fails--; fails >= 0 {
			return errors.New("dial: connection refused")
		}
		return nil
	}
	d := deliverTo(t, v, DeliveryConfig{})
	d.Push(from(0, 3))
	d.drain(t)
	v.check(t, 0, 1, 2)
	if d.metric("errors") != 5 || d.metric("retries") != 5 {
		t.Errorf("got %d errors, %d retries, want 5", d.metric("errors"), d.metric("retries"))
	}
	if d.log.count(`"sink unreachable"`) != 1 || d.log.count("connection refused") != 1 || d.log.count(`"sink recovered"`) != 1 || d.log.count("after=") != 1 {
		t.Errorf("got log %s, want one line down and one up", d.log.b.String())
	}
}

func TestAMistakeIsLoggedLoudlyOnceEvenAfterAnOutage(t *testing.T) {
	fails := 6
	v := &valve{}
	v.write = func(*pipeline.Batch) error {
		if fails--; fails > 3 {
			return errors.New("refused")
		} else if fails >= 0 {
			return fmt.Errorf("influx: %w", &Later{Err: errors.New("401\n\thint: check token"), Mistake: true})
		}
		return nil
	}
	d := deliverTo(t, v, DeliveryConfig{})
	d.Push(from(0, 1))
	d.drain(t)
	if d.log.count("level=WARN") != 1 || d.log.count("level=ERROR") != 1 || d.log.count("hint: check token") != 1 || d.log.count("recovered") != 1 {
		t.Errorf("got log %s", d.log.b.String())
	}
}

func TestWhatIsRefusedBecomesADeadLetterAndTheRestGoesOn(t *testing.T) {
	var letters []pipeline.DeadLetter
	v := &valve{write: func(b *pipeline.Batch) error { return &Refused{[]Refusal{{1, "no such thing"}, {2, "nor this"}}} }}
	d := deliverTo(t, v, DeliveryConfig{Dead: func(l []pipeline.DeadLetter) { letters = append(letters, l...) }})
	d.Push(from(10, 14))
	d.drain(t)
	want := pipeline.DeadLetter{Time: second, Offset: 11, Stage: "sink s", Reason: "no such thing", Payload: []byte(`{"time":"2026-01-01T00:00:01.000Z","n":11}`)}
	if len(letters) != 2 || fmt.Sprint(letters[0]) != fmt.Sprint(want) || letters[1].Offset != 12 {
		t.Errorf("got %v, want %v and one of offset 12", letters, want)
	}
	if d.metric("refused") != 2 || d.metric("rows") != 2 || d.metric("errors") != 0 {
		t.Errorf("got %d refused, %d rows, %d errors, want 2, 2, 0", d.metric("refused"), d.metric("rows"), d.metric("errors"))
	}
}

func TestAPartialWriteGoesOnWhereItStopped(t *testing.T) {
	var dead int
	v := &valve{}
	v.write = func(b *pipeline.Batch) error {
		if b.Rows() > 2 {
			return &Partial{Done: 2, Refused: []Refusal{{0, "x"}}, Err: errors.New("full")}
		}
		return nil
	}
	d := deliverTo(t, v, DeliveryConfig{Dead: func(l []pipeline.DeadLetter) { dead += len(l) }})
	d.Push(from(0, 7))
	d.drain(t)
	v.check(t, numbers(7)...)
	if dead != 3 || d.metric("rows") != 4 || d.metric("retries") != 3 || d.queue.bytes != 0 {
		t.Errorf("got %d dead, %d rows, %d retries, %d bytes left, want 3, 4, 3, 0", dead, d.metric("rows"), d.metric("retries"), d.queue.bytes)
	}
}

func TestAStuckSinkNeitherHoldsPushNorGrows(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 1000)
	v := &valve{write: func(*pipeline.Batch) error { entered <- struct{}{}; <-release; return nil }}
	d := deliverTo(t, v, DeliveryConfig{RowsMax: 4, QueueMax: 20000})
	d.Push(from(0, 1))
	<-entered
	for i := 1; i < 1000; i++ {
		d.Push(from(i, i+1))
	}
	if n := d.log.count("sink queue full"); n != 1 {
		t.Errorf("got %d lines, want 1: %s", n, d.log.b.String())
	}
	dropped := d.metric("dropped")
	d.mu.Lock()
	rows, bytes := d.queue.rows, d.queue.bytes
	d.mu.Unlock()
	if dropped == 0 || rows+dropped != 1000 || bytes > 20000 {
		t.Errorf("got %d dropped, %d left, %d bytes, want 1000 in all and 20000 bytes", dropped, rows, bytes)
	}
	close(release)
	d.drain(t)
	v.check(t, append([]int{0}, numbers(1000)[1+dropped:]...)...)
	if d.log.count("has room again") != 1 || d.log.count(fmt.Sprintf("dropped=%d", dropped)) != 1 {
		t.Errorf("got log %s, want one end of %d dropped", d.log.b.String(), dropped)
	}
}

func TestLingerGathersRowsUntilThereAreEnough(t *testing.T) {
	v := &valve{}
	d := deliverTo(t, v, DeliveryConfig{RowsMax: 10, Linger: time.Hour})
	for i := range 25 {
		d.Push(from(i, i+1))
	}
	eventually(t, "two full batches", func() bool { return v.has(20) })
	d.drain(t) // does not wait an hour
	v.check(t, numbers(25)...)
	if !slices.Equal(v.sizes, []int{10, 10, 5}) {
		t.Errorf("got batches of %v, want 10, 10, 5", v.sizes)
	}
	d.Push(from(25, 26)) // gathers again
	short := deliverTo(t, &valve{}, DeliveryConfig{Linger: time.Millisecond})
	short.Push(from(0, 1))
	eventually(t, "the end of a short linger", func() bool { return short.sink.(*valve).has(1) })
	if v.has(26) {
		t.Error("a drain that is over still hurries")
	}
}

func TestDrainTriesAtOnceWhatWaitsToBeTriedAgain(t *testing.T) {
	down := true
	v := &valve{}
	v.write = func(*pipeline.Batch) error {
		if down {
			down = false
			return &Later{Err: errors.New("busy"), After: time.Hour}
		}
		return nil
	}
	d := deliverTo(t, v, DeliveryConfig{})
	d.Push(from(0, 1))
	eventually(t, "the first try", func() bool { return d.metric("errors") == 1 })
	d.drain(t)
	v.check(t, 0)
}

func TestADrainThatIsCutSaysWhatIsLeftAndWhy(t *testing.T) {
	v := &valve{write: func(*pipeline.Batch) error { return errors.New("connection refused") }}
	d := deliverTo(t, v, DeliveryConfig{})
	d.Push(from(0, 5))
	eventually(t, "a try", func() bool { return d.metric("errors") > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := d.Drain(ctx); err == nil || err.Error() != "sink s: 5 rows were not delivered: connection refused" {
		t.Errorf("got %v, want 5 rows left", err)
	}
	d.end()
	if err := d.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "5 rows") {
		t.Errorf("got %v, want 5 rows left after the end", err)
	}
	if err := d.Close(); err == nil || v.closed != 1 || d.log.count("valve stuck") != 1 {
		t.Errorf("got %v, closed %d times, log %s, want it closed once", err, v.closed, d.log.b.String())
	}
	d.Push(from(0, 1)) // after the end is no harm
}

func TestWaitsDoubleUpToTheMostAndHonourTheServer(t *testing.T) {
	b := backoff{first: RetryFirst, most: RetryMost}
	plain := errors.New("x")
	for i := range 100 {
		ceiling := RetryMost
		if i < 7 {
			ceiling = RetryFirst << i
		}
		if w := b.next(plain); w < 0 || w > ceiling {
			t.Errorf("wait %d: got %s, want at most %s", i, w, ceiling)
		}
	}
	b.reset()
	for _, c := range []struct{ asked, least time.Duration }{{7 * time.Second, 7 * time.Second}, {24 * time.Hour, RetryAfterMost}} {
		b.reset()
		if w := b.next(&Later{Err: plain, After: c.asked}); w < c.least || w > c.least+RetryFirst {
			t.Errorf("asked for %s: got %s, want %s", c.asked, w, c.least)
		}
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		b.reset()
		seen[b.next(plain)] = true
	}
	if len(seen) < 90 {
		t.Errorf("got %d different waits of 100, want jitter", len(seen))
	}
}

func TestMetricsShowQueueAndLag(t *testing.T) {
	release := make(chan struct{})
	v := &valve{write: func(*pipeline.Batch) error { <-release; return nil }}
	d := deliverTo(t, v, DeliveryConfig{})
	d.Push(from(0, 5))
	show := func() string {
		var b strings.Builder
		if _, err := d.metrics.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	busy := show()
	close(release)
	d.drain(t)
	idle := show()
	const labels = `{pipeline="p",sink="s"} `
	if strings.Contains(busy, "queue_bytes"+labels+"0\n") || !strings.Contains(busy, "queue_rows"+labels+"5\n") || strings.Contains(busy, "lag_seconds"+labels+"0\n") {
		t.Errorf("got %s, want a queue and a lag", busy)
	}
	if !strings.Contains(idle, "queue_bytes"+labels+"0\n") || !strings.Contains(idle, "lag_seconds"+labels+"0\n") {
		t.Errorf("got %s, want neither queue nor lag", idle)
	}
}
