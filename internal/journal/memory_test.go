package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func record(i int) Record {
	return Record{Arrived: int64(i), Route: uint32(i % 7), Hop: uint8(i % 3), Topic: fmt.Append(nil, "t/", i%10), Payload: bytes.Repeat([]byte{byte(i)}, i%300)}
}

func checkRecord(t *testing.T, got Record, i int) {
	t.Helper()
	want := record(i)
	want.Offset = uint64(i)
	if got.Offset != want.Offset || got.Arrived != want.Arrived || got.Route != want.Route || got.Hop != want.Hop ||
		!bytes.Equal(got.Topic, want.Topic) || !bytes.Equal(got.Payload, want.Payload) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestEveryReaderGetsEveryMessageInOrderWhilePublishersWait(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const messages = 20_000
	m := NewMemory(300_000)
	var all sync.WaitGroup
	for k := range 3 {
		r := m.Read(0)
		random := rand.New(rand.NewPCG(seed, uint64(k)))
		all.Go(func() {
			next := 1
			for {
				recs, err := r.Next(context.Background(), nil, 1+random.IntN(500))
				if errors.Is(err, ErrClosed) {
					break
				}
				for _, rec := range recs {
					checkRecord(t, rec, next)
					next++
				}
				r.Release(recs[len(recs)-1].Offset)
			}
			if next != messages+1 {
				t.Errorf("reader %d got %d messages, want %d", k, next-1, messages)
			}
		})
	}
	for i := 1; i <= messages; i++ {
		offset, err := m.Append(context.Background(), record(i))
		if err != nil || offset != uint64(i) {
			t.Fatalf("got offset %d and %v, want %d", offset, err, i)
		}
	}
	m.Close()
	all.Wait()
	if m.bytes > 300_000 {
		t.Errorf("holds %d bytes", m.bytes)
	}
}

func TestAFullJournalRefusesOrWaitsUntilRoomIsReleased(t *testing.T) {
	m := NewMemory(10 * (recordOverhead + 1))
	r := m.Read(0)
	one := Record{Topic: []byte("t")}
	for range 10 {
		if _, err := m.TryAppend(one); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.TryAppend(one); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want %v", err, ErrFull)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := m.Append(ctx, one); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want %v", err, context.DeadlineExceeded)
	}
	done := make(chan error)
	go func() {
		_, err := m.Append(context.Background(), one)
		done <- err
	}()
	recs, err := r.Next(context.Background(), nil, 100)
	if err != nil || len(recs) != 10 {
		t.Fatalf("got %d messages and %v, want 10", len(recs), err)
	}
	r.Release(10)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := m.TryAppend(Record{Payload: make([]byte, 10_000)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

func TestAClosedJournalIsReadToItsEnd(t *testing.T) {
	m := NewMemory(1 << 20)
	r := m.Read(0)
	m.Append(context.Background(), record(1))
	m.Seal()
	m.Close()
	if _, err := m.Append(context.Background(), record(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	recs, err := r.Next(context.Background(), nil, 9)
	if err != nil || len(recs) != 1 {
		t.Errorf("got %d messages and %v, want 1", len(recs), err)
	}
	if _, err := r.Next(context.Background(), nil, 9); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
}

func TestALateReaderBeginsWithTheOldestMessageKept(t *testing.T) {
	m := NewMemory(2 << 20)
	first := m.Read(0)
	for i := 1; i <= 5000; i++ {
		m.Append(context.Background(), record(i))
	}
	late := m.Read(3000)
	recs, _ := late.Next(context.Background(), nil, 1)
	checkRecord(t, recs[0], 3000)
	recs, _ = first.Next(context.Background(), nil, 1)
	checkRecord(t, recs[0], 1)
}

func TestAppendingInSteadyStateAllocatesNothing(t *testing.T) {
	m := NewMemory(1 << 20)
	r := m.Read(0)
	rec := Record{Topic: []byte("plant/a/m1"), Payload: make([]byte, 90)}
	var dst []Record
	work := func() {
		for range 5000 {
			if _, err := m.TryAppend(rec); err != nil {
				t.Fatal(err)
			}
		}
		dst, _ = r.Next(context.Background(), dst[:0], 5000)
		r.Release(dst[len(dst)-1].Offset)
	}
	work()
	if n := testing.AllocsPerRun(10, work); n > 10 { // the channel of a reader that waits, not a message
		t.Errorf("got %v allocations for 5000 messages", n)
	}
}

func BenchmarkMemory(b *testing.B) {
	m := NewMemory(16 << 20)
	r := m.Read(0)
	rec := Record{Topic: []byte("plant/a/m1"), Payload: make([]byte, 90)}
	var dst []Record
	b.ReportAllocs()
	for i := range b.N {
		if _, err := m.TryAppend(rec); err != nil {
			b.Fatal(err)
		}
		if i%256 == 255 {
			dst, _ = r.Next(context.Background(), dst[:0], 256)
			r.Release(dst[len(dst)-1].Offset)
		}
	}
}
