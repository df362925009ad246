package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// A wall is a publisher that keeps what it gets as text.
type wall struct {
	said []string
	err  func(topic string) error
}

func (w *wall) Publish(topic, payload []byte, qos byte, retain bool, hop uint8) error {
	if w.err != nil {
		if err := w.err(string(topic)); err != nil {
			return err
		}
	}
	w.said = append(w.said, fmt.Sprint(string(topic), " ", string(payload), qos, retain, hop))
	return nil
}

func newTopic(t *testing.T, c TopicConfig, p Publisher) *Topic {
	t.Helper()
	s, err := NewTopic(c, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARowIsPublishedToItsTopicWithOneMoreHop(t *testing.T) {
	w := &wall{}
	s := newTopic(t, TopicConfig{Topic: "x/{device}/{n}/{temp}/{on}", QoS: 1, Retain: true, Fields: []string{"temp"}}, w)
	b := batch(columns(device, temp, count, on), []any{"m1", 2.5, 7, true}, []any{"m2", 3.0, 8, false})
	b.Hop[0], b.Hop[1] = 3, math.MaxUint8
	write(t, s, b)
	want := []string{
		`x/m1/7/2.5/true {"time":"2026-01-01T00:00:01.000Z","temp":2.5}1 true 4`,
		`x/m2/8/3/false {"time":"2026-01-01T00:00:01.001Z","temp":3}1 true 255`,
	}
	if !slices.Equal(w.said, want) {
		t.Errorf("got %q, want %q", w.said, want)
	}
	if n := s.Written(); n != uint64(len(`{"time":"2026-01-01T00:00:01.000Z","temp":2.5}{"time":"2026-01-01T00:00:01.001Z","temp":3}`)) {
		t.Errorf("got %d bytes written", n)
	}
}

func TestARowWithoutATopicIsRefusedAlone(t *testing.T) {
	w := &wall{err: func(topic string) error {
		if topic == "x/loop" {
			return errors.New("too many hops")
		}
		return nil
	}}
	s := newTopic(t, TopicConfig{Topic: "x/{device}"}, w)
	b := batch(columns(device, temp), []any{"a", 1.0}, []any{nil, 1.0}, []any{"b/c", 1.0}, []any{"", 1.0}, []any{"loop", 1.0}, []any{"d", 1.0})
	var no *Refused
	err := s.Write(t.Context(), b)
	if !errors.As(err, &no) || len(w.said) != 2 {
		t.Fatalf("got %v, %q", err, w.said)
	}
	var rows []int
	for i, r := range no.Rows {
		rows = append(rows, r.Row)
		if want := []string{"has no value", "b/c", "has no value", "too many hops"}[i]; !strings.Contains(r.Reason, want) {
			t.Errorf("got %s, want %s", r.Reason, want)
		}
	}
	if !slices.Equal(rows, []int{1, 2, 3, 4}) || !strings.Contains(err.Error(), "4 rows refused") {
		t.Errorf("got %v, want rows 1 to 4", err)
	}
	nan := newTopic(t, TopicConfig{Topic: "x/{temp}"}, w)
	if err := nan.Write(t.Context(), batch(columns(temp), []any{math.NaN()})); !errors.As(err, &no) {
		t.Errorf("got %v, want NaN refused", err)
	}
	if _, err := NewTopic(TopicConfig{Topic: "x/#"}, w); err == nil {
		t.Error("got no error for a filter")
	}
}

func TestAFullJournalStopsAWriteWhereItIs(t *testing.T) {
	n := 0
	w := &wall{err: func(string) error {
		if n++; n == 3 {
			return fmt.Errorf("broker: %w", journal.ErrFull)
		}
		return nil
	}}
	s := newTopic(t, TopicConfig{Topic: "x/{device}"}, w)
	b := batch(columns(device), []any{"a"}, []any{nil}, []any{"b"}, []any{"c"}, []any{"d"})
	var part *Partial
	if err := s.Write(t.Context(), b); !errors.As(err, &part) || !errors.Is(err, journal.ErrFull) || part.Done != 3 || !reflect.DeepEqual(part.Refused[0].Row, 1) {
		t.Errorf("got %#v, want 3 rows done, row 1 refused", part)
	}
	ctx, cancel := context.WithCancel(t.Context())
	long := numbered(1000)
	all := newTopic(t, TopicConfig{Topic: "x/{n}"}, &wall{err: func(topic string) error {
		if topic == "x/300" {
			cancel()
		}
		return nil
	}})
	if err := all.Write(ctx, long); !errors.As(err, &part) || !errors.Is(err, context.Canceled) || part.Done != 512 {
		t.Errorf("got %v, %d rows, want it stopped after 512", err, part.Done)
	}
}

// A torn writer takes some bytes and then errs.
type tornWriter struct {
	bytes.Buffer
	room int
}

func (w *tornWriter) Write(p []byte) (int, error) {
	n := min(w.room, len(p))
	w.room -= n
	w.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("full")
	}
	return n, nil
}

func TestStdoutFinishesALineThatAnErrorHasTorn(t *testing.T) {
	want := ""
	for i := range 20 {
		want += fmt.Sprintf("row %d\n", i)
	}
	for room := range len(want) {
		w := &tornWriter{room: room}
		s, err := NewStdout(StdoutConfig{Line: "row {n}"}, w)
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		for tries := 0; done < 20; tries++ {
			rest := from(done, 20)
			var part *Partial
			switch err := s.Write(t.Context(), rest); {
			case err == nil:
				done = 20
			case errors.As(err, &part):
				done += part.Done
			}
			w.room += 7
			if tries > 1000 {
				t.Fatal("no progress")
			}
		}
		w.room = 100
		if err := s.Write(t.Context(), from(0, 0)); err != nil {
			t.Fatal(err)
		}
		if got := w.String(); got != want {
			t.Fatalf("room %d: got %q, want %q", room, got, want)
		}
	}
}

func TestStdoutWritesJSONOrALine(t *testing.T) {
	var w bytes.Buffer
	b := batch(columns(device, temp), []any{"m1", 2.0}, []any{nil, nil})
	for _, c := range []StdoutConfig{{}, {Fields: []string{"temp"}}, {Line: "{device}: {temp:.1f}"}} {
		s, err := NewStdout(c, &w)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, b)
	}
	const one, two = `{"time":"2026-01-01T00:00:01.000Z"`, `{"time":"2026-01-01T00:00:01.001Z"}` + "\n"
	if got, want := w.String(), one+`,"device":"m1","temp":2}`+"\n"+two+one+`,"temp":2}`+"\n"+two+"m1: 2.0\n-: -\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := NewStdout(StdoutConfig{Line: "{"}, &w); err == nil {
		t.Error("got no error for a wrong line")
	}
}

// typical is a batch as windows put it out: 256 rows of seven columns.
func typical() *pipeline.Batch {
	schema := columns(device, pipeline.Field{Name: "line", Kind: pipeline.Text}, temp, count, on,
		pipeline.Field{Name: "p95", Kind: pipeline.Float}, pipeline.Field{Name: "window_end", Kind: pipeline.Int})
	var rows [][]any
	for i := range pipeline.RowsMax {
		rows = append(rows, []any{fmt.Sprintf("motor-%d", i%40), "a", 20 + float64(i)/7, i, i%2 == 0, 25 + float64(i)/3, second + int64(i)})
	}
	return batch(schema, rows...)
}

type sinkhole struct{}

func (sinkhole) Publish(_, _ []byte, _ byte, _ bool, _ uint8) error { return nil }
func (sinkhole) Write(p []byte) (int, error)                        { return len(p), nil }

func TestATopicSinkAllocatesNothing(t *testing.T) {
	s := newTopic(t, TopicConfig{Topic: "means/{line}/{device}/{n}"}, sinkhole{})
	b := typical()
	if n := testing.AllocsPerRun(100, func() { write(t, s, b) }); n != 0 {
		t.Errorf("got %g allocations for %d rows, want 0", n, b.Rows())
	}
	out, err := NewStdout(StdoutConfig{Line: "{device} {temp:.2f}"}, sinkhole{})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { write(t, out, b) }); n != 0 {
		t.Errorf("got %g allocations for %d lines, want 0", n, b.Rows())
	}
	p := points(t, "m", []string{"device", "line"}, nil)
	if n := testing.AllocsPerRun(100, func() { p.encode(b) }); n != 0 {
		t.Errorf("got %g allocations for %d points, want 0", n, b.Rows())
	}
}

func TestADeliveryAllocatesNothingForARow(t *testing.T) {
	d := deliverTo(t, newTopic(t, TopicConfig{Topic: "x/{device}"}, sinkhole{}), DeliveryConfig{})
	b := typical()
	push := func(n int) {
		for i := range n {
			d.Push(b)
			if i%4 == 0 {
				d.drain(t)
			}
		}
	}
	push(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	push(1000)
	runtime.ReadMemStats(&after)
	if n, rows := after.Mallocs-before.Mallocs, uint64(1000*b.Rows()); n > rows/50 {
		t.Errorf("got %d allocations for %d rows, want next to none", n, rows)
	}
}

func BenchmarkJSONRow(b *testing.B) {
	rows := typical()
	j := newJSON(nil)
	j.fit(rows)
	var dst []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = j.append(dst[:0], rows, i%pipeline.RowsMax)
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkInfluxLine(b *testing.B) {
	rows := typical()
	p, err := newPoints("m", []string{"device", "line"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.encode(rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pipeline.RowsMax, "ns/row")
}

func BenchmarkTopicThroughDelivery(b *testing.B) {
	s, err := NewTopic(TopicConfig{Topic: "means/{line}/{device}"}, sinkhole{})
	if err != nil {
		b.Fatal(err)
	}
	d := NewDelivery(s, DeliveryConfig{})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	rows := typical()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		d.Push(rows)
		if n++; n%64 == 0 { // far below the queue's limit
			d.Drain(ctx)
		}
	}
	d.Drain(ctx)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pipeline.RowsMax, "ns/row")
	cancel()
	<-done
	if d.count.dropped.Get() > 0 {
		b.Errorf("%d rows were dropped", d.count.dropped.Get())
	}
}
