package sinks

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// numbersIn is an outbox whose entries say which row they have.
type numbersIn struct{ j journal.Journal }

func (numbersIn) Trees() []string { return []string{"tree"} }

func (o numbersIn) Read(tree string, after journal.Position) OutboxReader {
	return numbersReader{o.j.Follow(journal.Checkpoint, tree, after)}
}

type numbersReader struct{ journal.EntryReader }

func (r numbersReader) Next() (journal.Position, []*pipeline.Batch, error) {
	at, body, err := r.EntryReader.Next()
	if err != nil {
		return 0, nil, err
	}
	n := 0
	fmt.Sscan(string(body), &n)
	return at, []*pipeline.Batch{oneNumber(n)}, nil
}

// away is a sink that says no until it is there.
type away struct {
	mu   sync.Mutex
	here bool
	got  []int
}

func (a *away) Write(_ context.Context, b *pipeline.Batch) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.here {
		return io.ErrClosedPipe
	}
	for _, n := range b.Columns[0].Ints {
		a.got = append(a.got, int(n))
	}
	return nil
}

func (a *away) Close() error { return nil }

func (a *away) comes() { a.mu.Lock(); a.here = true; a.mu.Unlock() }

func TestSinksReadOnFromTheJournal(t *testing.T) {
	const rows, queueMax = 5000, 64 << 10 // far more than the queue takes
	dir := t.TempDir()
	open := func() *journal.Disk {
		j, err := journal.Open(dir, journal.Options{Commit: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	start := func(j *journal.Disk, s Sink) (*Delivery, func()) {
		d := NewDelivery(s, DeliveryConfig{Sink: "s", QueueMax: queueMax})
		d.retry = backoff{first: time.Millisecond, most: time.Millisecond}
		if err := d.Outbox(j, "s", numbersIn{j}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()
		return d, func() { cancel(); <-ended }
	}
	put := func(j *journal.Disk, d *Delivery, from int) { // 100 at a time: they are committed before they are pushed
		var places []journal.Position
		for n := from; n < from+100; n++ {
			_, at, err := j.Put(journal.Entry{Kind: journal.Checkpoint, Name: "tree", Body: fmt.Append(nil, n)})
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, at)
		}
		if err := j.Sync(t.Context(), j.Last()); err != nil {
			t.Fatal(err)
		}
		for k, at := range places {
			d.PushEntry("tree", at, []*pipeline.Batch{oneNumber(from + k)})
		}
	}

	sink := &away{}
	j := open()
	d, stop := start(j, sink)
	for n := 0; n < rows; n += 100 {
		put(j, d, n)
	}
	d.mu.Lock()
	if d.queue.bytes > queueMax {
		t.Errorf("%d bytes are in the queue of %d", d.queue.bytes, queueMax)
	}
	d.mu.Unlock()
	stop() // dies while the sink is away
	j.Close()

	j = open()
	defer j.Close()
	d, stop = start(j, sink)
	defer stop()
	sink.comes()
	for n := rows; n < 2*rows; n += 100 {
		put(j, d, n)
	}
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := make([]int, 2*rows)
	for n := range want {
		want[n] = n
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if !slices.Equal(sink.got, want) {
		i := 0
		for i < min(len(sink.got), len(want)) && sink.got[i] == want[i] {
			i++
		}
		t.Errorf("got %d rows, want %d, each once and in order; from the %dth on they differ: %v", len(sink.got), len(want), i, sink.got[i:min(i+5, len(sink.got))])
	}
}
