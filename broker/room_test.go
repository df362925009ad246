package broker

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
)

// acknowledgeAll takes n messages into a ledger and acknowledges each at once.
// It begins a while after the session is full.
func (w *wire) acknowledgeAll(s *served, l *ledger, n int) {
	w.t.Helper()
	until(w.t, "the session is full", func() bool { return s.full.n.Load() > 0 })
	time.Sleep(50 * time.Millisecond) // who does not wait has published too much by now
	for len(l.seen) < n {
		m, err := w.read()
		if err != nil {
			w.t.Errorf("got %v after %d messages", err, len(l.seen))
			return
		}
		if m.kind != 3 {
			continue
		}
		l.enter(m.payload)
		if _, err := w.Write(ack(0x40, m.id)); err != nil {
			w.t.Error(err)
			return
		}
	}
}

func TestABurstOfResultsReachesAClientThatAcknowledges(t *testing.T) {
	s := start(t)
	sub, _ := s.connect(hello{id: "sub"})
	sub.subscribe("out/#", 1)
	const n = 5000
	l := newLedger(t)
	var reads sync.WaitGroup
	reads.Go(func() { sub.acknowledgeAll(s, l, n) })
	for i := range n {
		if err := s.Publish([]byte("out/x"), strconv.AppendInt(nil, int64(i), 10), 1, false, 0); err != nil {
			t.Fatal(err)
		}
	}
	reads.Wait()
	l.check(n)
	if d := s.metric("millrace_broker_dropped_total", "reason", "session_full"); d != 0 {
		t.Errorf("%d are dropped, want none", d)
	}
}

func TestABurstOfAClientReachesAClientThatAcknowledges(t *testing.T) {
	s := start(t)
	sub, _ := s.connect(hello{id: "sub"})
	sub.subscribe("out/#", 1)
	const n = 5000
	l := newLedger(t)
	var reads sync.WaitGroup
	reads.Go(func() { sub.acknowledgeAll(s, l, n) })
	p, _ := s.connect(hello{id: "p"})
	reads.Go(func() {
		for range n {
			if a, err := p.read(); err != nil || a.kind != 4 {
				t.Errorf("got %+v, %v, want PUBACK", a, err)
				return
			}
		}
	})
	for i := range n {
		p.publish("out/x", strconv.Itoa(i), 1, uint16(i+1))
	}
	reads.Wait()
	l.check(n)
}

// fill publishes until the session of a client that does not acknowledge is
// full.
func (s *served) fill(topic string) {
	s.t.Helper()
	for s.full.n.Load() == 0 {
		if err := s.Publish([]byte(topic), []byte("x"), 1, false, 0); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestAClientThatDoesNotAcknowledgeIsWaitedForAndThenCut(t *testing.T) {
	s := start(t, func(_ *Options, b *Broker) {
		if b != nil {
			b.stall.room, b.stall.stall = 50*time.Millisecond, 300*time.Millisecond
		}
	})
	mute, _ := s.connect(hello{id: "mute", keep: true})
	mute.subscribe("out/#", 1)
	s.fill("out/x")
	err := s.Publish([]byte("out/x"), []byte("x"), 1, false, 0)
	if !errors.Is(err, journal.ErrFull) || !strings.Contains(err.Error(), "mute") {
		t.Errorf("got %v, want that mute's session is full", err)
	}
	if err := s.Publish([]byte("out/x"), []byte("x"), 0, false, 0); err != nil {
		t.Errorf("QoS 0 waits for nobody, got %v", err)
	}
	if err := s.Publish([]byte("else"), []byte("x"), 1, false, 0); err != nil {
		t.Errorf("nobody wants that, got %v", err)
	}
	until(t, "it is cut", func() bool {
		return s.Publish([]byte("out/x"), []byte("x"), 1, false, 0) == nil
	})
	if n := s.metric("millrace_broker_slow_consumers_total"); n != 1 {
		t.Errorf("%d clients are cut, want 1", n)
	}
	until(t, "nobody is waited for", func() bool { return s.full.n.Load() == 0 })
}

func TestAFullSessionTakesALimitedNumberFromThoseWhoDoNotWait(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "self"}) // its own reader cannot wait for its acknowledgements
	w.subscribe("out/#", 1)
	var reads sync.WaitGroup
	got := 0
	reads.Go(func() {
		for acks := 0; acks < sessionMessagesHard+5; {
			p, err := w.read()
			if err != nil {
				t.Error(err)
				return
			}
			if p.kind == 4 {
				acks++
			} else {
				got++
			}
		}
	})
	for i := range sessionMessagesHard + 5 {
		w.publish("out/x", "x", 1, uint16(i+1))
	}
	reads.Wait()
	if n := s.metric("millrace_broker_dropped_total", "reason", "session_full"); n != 5 {
		t.Errorf("%d are dropped, want 5", n)
	}
}

func TestTwoFullClientsDoNotWaitForEachOther(t *testing.T) {
	s := start(t, func(_ *Options, b *Broker) {
		if b != nil {
			b.stall.room, b.stall.stall = time.Hour, time.Hour
		}
	})
	var both [2]*wire
	for i, id := range []string{"a", "b"} {
		both[i], _ = s.connect(hello{id: id})
		both[i].subscribe("to/"+id, 1)
		for range sessionMessages + 1 {
			if err := s.Publish([]byte("to/"+id), []byte("x"), 1, false, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, "both are full", func() bool { return s.full.n.Load() == 2 })
	both[0].publish("to/b", "from a", 1, 1)
	both[1].publish("to/a", "from b", 1, 1)
	one := make(chan int, 2)
	for i, w := range both {
		go func() {
			for {
				p, err := w.read()
				if err != nil {
					return
				}
				if p.kind == 4 {
					one <- i
					return
				}
			}
		}()
	}
	select {
	case i := <-one: // one waits for the other, who goes on, and acknowledges
		w := both[i]
		for id := range uint16(sessionMessages + 2) {
			w.send(ack(0x40, id+1))
		}
		<-one
	case <-time.After(patience):
		t.Fatal("both wait")
	}
}
