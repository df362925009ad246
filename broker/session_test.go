package broker

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A ledger checks that each of the messages 0, 1, 2 … comes, and the first
// time in order.
type ledger struct {
	t    *testing.T
	seen map[int]int
	next int
	late int
}

func (l *ledger) enter(payload string) {
	n, err := strconv.Atoi(payload)
	if err != nil {
		l.t.Errorf("got %q", payload)
	}
	if l.seen[n]++; l.seen[n] > 1 {
		return
	}
	if n < l.next {
		l.late++
	}
	l.next = n + 1
}

func (l *ledger) check(n int) {
	l.t.Helper()
	lost := 0
	for i := range n {
		if l.seen[i] == 0 {
			lost++
		}
	}
	if lost > 0 || l.late > 0 {
		l.t.Errorf("of %d messages %d are lost and %d out of order, want none", n, lost, l.late)
	}
}

func newLedger(t *testing.T) *ledger { return &ledger{t: t, seen: map[int]int{}} }

func TestAPersistentSessionLosesNothingWhileItsClientComesAndGoes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := start(t)
	session := hello{id: "session", keep: true}
	sub, _ := s.connect(session)
	sub.subscribe("plant/#", 1)
	const n = 6000
	var sent sync.WaitGroup
	var taken atomic.Int64 // the subscriber is never further behind than half of what a session keeps
	sent.Go(func() {
		p, _ := s.connect(hello{id: "p"})
		for i := range n {
			for int64(i)-taken.Load() > sessionMessages/2 {
				time.Sleep(time.Millisecond)
			}
			if i%2 == 0 {
				p.publish("plant/x", strconv.Itoa(i), 1, 1)
				if _, err := p.read(); err != nil {
					t.Errorf("message %d is not acknowledged: %v", i, err)
					return
				}
			} else if err := s.Publish([]byte("plant/y"), strconv.AppendInt(nil, int64(i), 10), 1, false, 0); err != nil {
				t.Error(err)
				return
			}
		}
	})
	l := newLedger(t)
	reconnects := 0
	for l.next < n {
		for range random.IntN(100) {
			m, err := sub.read()
			if err != nil || m.kind != 3 {
				t.Fatalf("got %+v, %v after %d messages", m, err, l.next)
			}
			l.enter(m.payload)
			taken.Store(int64(l.next))
			if random.IntN(10) > 0 {
				sub.Write(ack(0x40, m.id))
			}
			if l.next == n {
				break
			}
		}
		if random.IntN(2) == 0 {
			sub.Close()
		}
		old := sub
		sub, _ = s.connect(session)
		reconnects++
		old.Close()
	}
	sent.Wait()
	l.check(n)
	t.Logf("%d reconnects", reconnects)
}

func TestAnOfflineSessionGetsItsMessagesInOrder(t *testing.T) {
	for _, h := range []hello{{id: "v4", keep: true}, {id: "v5", v5: true, keep: true, expiry: 100}, {id: "ten", v5: true, keep: true, expiry: 100, receiveMax: 10}} {
		s := start(t)
		sub, _ := s.connect(h)
		sub.subscribe("t", 1)
		sub.Close()
		until(t, "it is offline", func() bool { cl, ok := s.server.Clients.Get(h.id); return ok && cl.Closed() })
		n := 0
		publish := func(more int) {
			for range more {
				if err := s.Publish([]byte("t"), strconv.AppendInt(nil, int64(n), 10), 1, false, 0); err != nil {
					t.Fatal(err)
				}
				n++
			}
		}
		publish(400)
		l := newLedger(t)
		for range 3 { // takes some, goes again, and more come
			sub, a := s.connect(h)
			if a.body[0] != 1 {
				t.Error("the session is not there")
			}
			for range 50 {
				m := sub.expect(3)
				l.enter(m.payload)
				sub.send(ack(0x40, m.id))
			}
			sub.ping2(l)
			sub.Close()
			publish(150)
		}
		sub, _ = s.connect(h)
		for l.next < n {
			m := sub.expect(3)
			l.enter(m.payload)
			sub.send(ack(0x40, m.id))
		}
		l.check(n)
	}
}

// ping2 is ping for a client to which messages come meanwhile; it does not
// acknowledge them.
func (w *wire) ping2(l *ledger) {
	w.t.Helper()
	w.send([]byte{0xc0, 0})
	for {
		p, err := w.read()
		if err != nil {
			w.t.Fatal(err)
		}
		if p.kind == 13 {
			return
		}
		l.enter(p.payload)
	}
}

func TestReceiveMaximumIsKeptAndDeliveryGoesOn(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		s := start(t)
		sub, _ := s.connect(hello{id: "s", v5: true, receiveMax: 10})
		sub.subscribe("t", qos)
		const n = 300
		for i := range n {
			if err := s.Publish([]byte("t"), strconv.AppendInt(nil, int64(i), 10), qos, false, 0); err != nil {
				t.Fatal(err)
			}
		}
		l := newLedger(t)
		var open []uint16
		for l.next < n {
			m := sub.expect(3)
			l.enter(m.payload)
			if open = append(open, m.id); len(open) > 10 {
				t.Fatalf("QoS %d: %d messages on the way, want at most 10", qos, len(open))
			}
			if len(open) < 10 && l.next < n {
				continue
			}
			sub.ping()
			for _, id := range open {
				if qos == 1 {
					sub.send(ack(0x40, id))
					continue
				}
				sub.send(ack(0x50, id))
				for m := sub.expectLater(6, l); m.id != id; {
					t.Fatalf("PUBREL for %d, want %d", m.id, id)
				}
				sub.send(ack(0x70, id))
			}
			open = open[:0]
			if qos == 2 {
				open = append(open, sub.later...)
				sub.later = nil
			}
		}
		l.check(n)
	}
}

// expectLater returns the next packet of that kind; messages that come before
// it go to the ledger.
func (w *wire) expectLater(kind byte, l *ledger) packet {
	w.t.Helper()
	for {
		p, err := w.read()
		if err != nil {
			w.t.Fatal(err)
		}
		if p.kind == kind {
			return p
		}
		l.enter(p.payload)
		w.later = append(w.later, p.id)
	}
}

func TestPacketIdentifiersOfTheTwoDirectionsDoNotMeet(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "w", v5: true, keep: true, expiry: 100})
	w.subscribe("to/w", 2)
	var ids []uint16
	for i := range 3 {
		s.Publish([]byte("to/w"), strconv.AppendInt(nil, int64(i), 10), 2, false, 0)
		ids = append(ids, w.expect(3).id)
	}
	w.publish("plant/a", "one", 1, ids[0])
	if a := w.expect(4); a.id != ids[0] {
		t.Errorf("PUBACK for %d, want %d", a.id, ids[0])
	}
	w.publish("plant/b", "two", 2, ids[1])
	if a := w.expect(5); a.id != ids[1] {
		t.Errorf("PUBREC for %d, want %d", a.id, ids[1])
	}
	w.send(subscribeBytes(true, ids[2], "more", 1))
	if a := w.expect(9); a.id != ids[2] || a.body[len(a.body)-1] != 1 {
		t.Errorf("SUBACK for %d % x, want %d and QoS 1", a.id, a.body, ids[2])
	}
	w.Close() // all is acknowledged but for PUBREL of ids[1] and the three messages
	w, _ = s.connect(hello{id: "w", v5: true, keep: true, expiry: 100})
	got := 0
	for got < 4 {
		p, err := w.read()
		if err != nil {
			t.Fatal(err)
		}
		if p.kind == 3 && p.flags&dupFlag == 0 {
			t.Error("a repeated message has no DUP flag")
		}
		got++ // three messages and the PUBREC again
	}
	w.send(append([]byte{0x3c}, publishBytes(true, "plant/b", "two", 2, ids[1])[1:]...)) // DUP
	if a := w.expect(5); a.id != ids[1] || len(a.body) > 2 && a.body[2] != 0 {
		t.Errorf("PUBREC % x, want success", a.body)
	}
	w.send(ack(0x62, ids[1]))
	if a := w.expect(7); a.id != ids[1] {
		t.Errorf("PUBCOMP for %d, want %d", a.id, ids[1])
	}
	recs := s.records(s.journal.Read(0), 2)
	checkTexts(t, texts(recs), []string{"plant/a one 7 0", "plant/b two 7 0"})
	if n := s.metric("millrace_broker_ingested_total"); n != 2 {
		t.Errorf("%d messages were ingested, want 2: QoS 2 is once", n)
	}
}

func TestTakeoversLeaveTheLastClientInPlace(t *testing.T) {
	s := start(t)
	many := []byte{0, 1, 0}
	for i := range 900 { // to give them up takes mochi a while
		many = append(text16(many, fmt.Sprint("many/", i)), 0)
	}
	for round := range 100 {
		old, _ := s.connect(hello{id: "same", v5: true})
		old.send(frame(0x82, many))
		old.expect(9)
		old.Close()
		time.Sleep(time.Duration(round) * 10 * time.Microsecond)
		w, _ := s.connect(hello{id: "same", v5: true})
		w.subscribe("t", 0)
		time.Sleep(time.Millisecond)
		if err := s.Publish([]byte("t"), []byte("x"), 0, false, 0); err != nil {
			t.Fatal(err)
		}
		w.expect(3)
		w.Close()
		until(t, "it is gone", func() bool { _, ok := s.server.Clients.Get("same"); return !ok })
	}
}

func TestAnExpiredSessionLeavesNothingToItsNamesake(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "w", v5: true, keep: true, expiry: 1})
	w.subscribe("secret", 1)
	w.Close()
	until(t, "the session is gone", func() bool { _, ok := s.server.Clients.Get("w"); return !ok })
	if s.interest.any("secret") {
		t.Error("its subscription is still counted")
	}
	w, _ = s.connect(hello{id: "w", v5: true})
	s.Publish([]byte("secret"), []byte("x"), 1, false, 0)
	w.ping() // and no message before the answer
}

func TestASessionKeepsALimitedNumberOfMessages(t *testing.T) {
	s := start(t)
	h := hello{id: "w", keep: true}
	w, _ := s.connect(h)
	w.subscribe("t", 1)
	w.Close()
	until(t, "it is offline", func() bool { cl, ok := s.server.Clients.Get("w"); return ok && cl.Closed() })
	for range sessionMessages + 5 {
		s.Publish([]byte("t"), []byte("x"), 1, false, 0)
	}
	if n := s.metric("millrace_broker_dropped_total", "reason", "session_full"); n != 5 {
		t.Errorf("got %d dropped, want 5", n)
	}
	w, _ = s.connect(h)
	w.send(subscribeBytes(false, 60000, "more", 1)) // a full session may still subscribe
	for k := 0; ; k++ {
		p, err := w.read()
		if err != nil {
			t.Fatal(err)
		}
		if p.kind == 9 {
			if p.body[2] != 1 {
				t.Errorf("SUBACK 0x%02x, want QoS 1", p.body[2])
			}
			break
		}
	}
}

func TestMessagesTooLargeForTheirSubscriberDoNotStayInItsSession(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "w", v5: true, packetMax: 100})
	w.subscribe("t", 1)
	for range 3 {
		s.Publish([]byte("t"), make([]byte, 200), 1, false, 0)
	}
	s.Publish([]byte("t"), []byte("small"), 1, false, 0)
	m := w.expect(3)
	if m.payload != "small" {
		t.Errorf("got %q", m.payload)
	}
	w.send(ack(0x40, m.id))
	w.ping()
	cl, _ := s.server.Clients.Get("w")
	if n := cl.State.Inflight.Len(); n != 0 {
		t.Errorf("%d messages stay, want none", n)
	}
}

func TestMessagesOfASessionAreOrderedByTimeThenIdentifier(t *testing.T) {
	for _, c := range []struct {
		name    string
		created map[uint16]int64
		want    []uint16
	}{
		{"one second", map[uint16]int64{3: 100, 1: 100, 2: 100}, []uint16{1, 2, 3}},
		{"wrapped", map[uint16]int64{65534: 100, 65535: 100, 1: 100, 2: 100}, []uint16{65534, 65535, 1, 2}},
		{"a new connection begins at 1", map[uint16]int64{500: 100, 501: 101, 1: 102, 2: 102}, []uint16{500, 501, 1, 2}},
		{"modulo 65536 s", map[uint16]int64{5: 65535, 6: 65536, 7: 65537}, []uint16{5, 6, 7}},
		{"none", nil, nil},
	} {
		m := mqtt.NewInflights()
		for id, at := range c.created {
			m.Set(packets.Packet{PacketID: id, Created: at, FixedHeader: packets.FixedHeader{Type: packets.Publish}})
		}
		inOrder(m)
		var got []uint16
		for _, pk := range m.GetAll(false) {
			got = append(got, pk.PacketID)
			if pk.Created >= time.Now().Unix() {
				t.Errorf("%s: %d is as young as what comes next", c.name, pk.PacketID)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
