package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
)

// A Harness says how a sink is opened and what it promises.
type Harness struct {
	// Open returns a sink that writes all columns of Batch to a new, empty
	// place. Columns id and device are tags where there are such.
	Open func(t *testing.T) Place

	Overwrites  bool   // a batch written twice is there once
	NumbersOnly bool   // of all kinds only Float and Int arrive, beside the tags
	Escapes     bool   // line ends and tabs in text arrive as \n and \t
	BadDevice   string // a value of device for which a row is refused; empty if there is none
}

// A Place is a sink and a way to see what it has written.
type Place struct {
	Sink     sinks.Sink
	Rows     func() []Row // what has arrived
	Down, Up func()       // make the place unreachable, and reachable again; nil if it cannot be
}

// Begin is the event time of the first row of Batch, in µs.
const Begin = 1767225600000000

// Schema is the columns of Batch: one of each kind, and two that are tags.
func Schema() pipeline.Schema {
	return pipeline.Schema{
		{Name: "id", Kind: pipeline.Text}, {Name: "device", Kind: pipeline.Text},
		{Name: "temp", Kind: pipeline.Float}, {Name: "n", Kind: pipeline.Int}, {Name: "on", Kind: pipeline.Bool},
		{Name: "note", Kind: pipeline.Text}, {Name: "raw", Kind: pipeline.Bytes},
	}
}

// Batch returns rows from..to of an endless table. Row i has the id i and is
// i ms after Begin; every fourth row lacks most values.
func Batch(from, to int) *pipeline.Batch {
	b := pipeline.NewBatch(Schema(), nil)
	for i := from; i < to; i++ {
		Append(b, i, "motor-"+strconv.Itoa(i%3))
	}
	return b
}

// Append adds row i of the table of Batch, with another device.
func Append(b *pipeline.Batch, i int, device string) {
	b.AppendRow(pipeline.Row{Time: Begin + int64(i)*1000, Offset: uint64(i)})
	b.Columns[0].AppendText([]byte(strconv.Itoa(i)))
	b.Columns[1].AppendText([]byte(device))
	if i%4 == 3 {
		b.Columns[2].AppendFloat(0.5)
		for k := 3; k < len(b.Columns); k++ {
			b.Columns[k].AppendNull()
		}
		return
	}
	b.Columns[2].AppendFloat(float64(i) + 0.25)
	b.Columns[3].AppendInt(int64(-i))
	b.Columns[4].AppendBool(i%2 == 0)
	b.Columns[5].AppendText([]byte("läuft, \"gut\"\n\t=" + strconv.Itoa(i) + ` 漢\`))
	b.Columns[6].AppendText([]byte{byte('a' + i%26)})
}

// row returns what must have arrived of row i.
func (h *Harness) row(i int) Row {
	r := Row{"id": strconv.Itoa(i), "device": "motor-" + strconv.Itoa(i%3), "temp": "0.5"}
	if i%4 == 3 {
		return r
	}
	r["temp"], r["n"] = fmt.Sprint(float64(i)+0.25), strconv.Itoa(-i)
	if !h.NumbersOnly {
		r["on"] = strconv.FormatBool(i%2 == 0)
		r["note"] = "läuft, \"gut\"\n\t=" + strconv.Itoa(i) + ` 漢\`
		r["raw"] = string(rune('a' + i%26))
		if h.Escapes {
			r["note"] = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(r["note"])
		}
	}
	return r
}

// Run tests a sink.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h *Harness, p Place)
	}{
		{"every kind and every absence arrives as it is", arrives},
		{"an empty batch is nothing", empty},
		{"a batch written twice does no harm", twice},
		{"a cancelled context stops a write before it begins", cancelled},
		{"the second close does nothing", closed},
		{"two deliveries at once lose nothing", concurrent},
		{"the bad row in the middle is set aside alone", bad},
		{"after an outage every row is there", outage},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := h.Open(t)
			c.test(t, &h, p)
			if err := p.Sink.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// check compares what has arrived with rows of the table, in any order. With
// more, a row may have arrived more than once.
func (h *Harness) check(t *testing.T, p Place, more bool, want ...int) {
	t.Helper()
	got := map[string]int{}
	for _, r := range p.Rows() {
		i, err := strconv.Atoi(r["id"])
		if err != nil {
			t.Fatalf("got a row without id: %q", r)
		}
		if h.NumbersOnly { // what it makes of the others is its own affair
			maps.DeleteFunc(r, func(name, _ string) bool { return h.row(0)[name] == "" })
		}
		if w := h.row(i); !maps.Equal(r, w) {
			t.Errorf("row %d: got %q, want %q", i, r, w)
		}
		got[r["id"]]++
	}
	for _, i := range want {
		if n := got[strconv.Itoa(i)]; n != 1 && !(more && n > 1) {
			t.Errorf("row %d: got it %d times, want once", i, n)
		}
		delete(got, strconv.Itoa(i))
	}
	if len(got) > 0 {
		t.Errorf("got rows %v, want them not", slices.Sorted(maps.Keys(got)))
	}
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func arrives(t *testing.T, h *Harness, p Place) {
	b := Batch(0, 40)
	before := pipeline.NewBatch(Schema(), nil)
	before.CopyFrom(b)
	if err := p.Sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	h.check(t, p, false, upTo(40)...)
	after := pipeline.NewBatch(Schema(), nil)
	after.CopyFrom(b)
	if !reflect.DeepEqual(before, after) {
		t.Error("the write has changed the batch")
	}
}

func empty(t *testing.T, h *Harness, p Place) {
	for range 2 {
		if err := p.Sink.Write(t.Context(), Batch(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	h.check(t, p, false)
}

func twice(t *testing.T, h *Harness, p Place) {
	for range 2 {
		if err := p.Sink.Write(t.Context(), Batch(0, 10)); err != nil {
			t.Fatal(err)
		}
	}
	h.check(t, p, !h.Overwrites, upTo(10)...)
}

func cancelled(t *testing.T, h *Harness, p Place) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Sink.Write(ctx, Batch(0, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	h.check(t, p, false)
}

func closed(t *testing.T, _ *Harness, p Place) {
	for range 2 {
		if err := p.Sink.Close(); err != nil {
			t.Error(err)
		}
	}
}

func concurrent(t *testing.T, h *Harness, p Place) {
	const each = 500
	var all sync.WaitGroup
	for k := range 2 {
		d := deliver(t, p.Sink, sinks.DeliveryConfig{Sink: strconv.Itoa(k), RowsMax: 37})
		all.Go(func() {
			for i := range each {
				d.Push(Batch(2*i+k, 2*i+k+1))
			}
			if err := d.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	h.check(t, p, false, upTo(2*each)...)
}

func bad(t *testing.T, h *Harness, p Place) {
	if h.BadDevice == "" {
		return
	}
	letters := make(chan []pipeline.DeadLetter, 2)
	d := deliver(t, p.Sink, sinks.DeliveryConfig{Sink: "x", Dead: func(l []pipeline.DeadLetter) { letters <- l }})
	b := Batch(0, 5)
	Append(b, 99, h.BadDevice)
	for i := 5; i < 10; i++ {
		b.AppendFrom(Batch(i, i+1), 0)
	}
	d.Push(b)
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.check(t, p, false, upTo(10)...)
	got := <-letters
	if len(got) != 1 || len(letters) != 0 || got[0].Offset != 99 || got[0].Reason == "" || got[0].Stage != "sink x" || !bytes.Contains(got[0].Payload, []byte(`"id":"99"`)) {
		t.Errorf("got dead letters %+v, want row 99 with a reason", got)
	}
}

func outage(t *testing.T, h *Harness, p Place) {
	if p.Down == nil {
		return
	}
	log, m := &Log{}, metrics.New()
	d := deliver(t, p.Sink, sinks.DeliveryConfig{Sink: "x", RowsMax: 10, Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: m})
	d.Push(Batch(0, 10))
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Down()
	for i := range 3 {
		d.Push(Batch(10+i*10, 20+i*10))
	}
	Eventually(t, func() bool { return log.Count("sink unreachable") == 1 }, log.String)
	Eventually(t, func() bool { return m.Counter("millrace_sink_retries_total", "pipeline", "", "sink", "x").Get() > 0 }, log.String)
	p.Up()
	Eventually(t, func() bool { return log.Count("sink recovered") == 1 }, log.String)
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := log.Count("sink unreachable"); n != 1 {
		t.Errorf("got %d lines of one outage:\n%s", n, log)
	}
	h.check(t, p, false, upTo(40)...)
}

// deliver returns a delivery that runs until the test ends. It leaves the
// sink open.
func deliver(t *testing.T, s sinks.Sink, c sinks.DeliveryConfig) *sinks.Delivery {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	d := sinks.NewDelivery(open{s}, c)
	run.Go(func() { d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	return d
}

// open is a sink that its delivery does not close.
type open struct{ sinks.Sink }

func (open) Close() error { return nil }
