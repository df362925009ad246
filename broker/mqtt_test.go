package broker

import (
	"net"
	"strings"
	"testing"
)

func TestALateSubscriberGetsTheRetainedMessage(t *testing.T) {
	s := start(t)
	p, _ := s.connect(hello{id: "p"})
	retained := publishBytes(false, "plant/state", "on", 1, 1)
	retained[0] |= retainFlag
	p.send(retained)
	p.expect(4)
	if err := s.Publish([]byte("alerts/1"), []byte("hot"), 0, true, 1); err != nil {
		t.Fatal(err)
	}
	w, _ := s.connect(hello{id: "w"})
	for filter, want := range map[string]string{"plant/+": "on", "alerts/#": "hot"} {
		w.subscribe(filter, 1)
		if m := w.expect(3); m.payload != want || m.flags&retainFlag == 0 {
			t.Errorf("%s: got %q, flags %x, want %q, retained", filter, m.payload, m.flags, want)
		}
	}
	checkTexts(t, texts(s.records(s.journal.Read(0), 1)), []string{"plant/state on 7 0"})
	if err := s.Publish([]byte("alerts/1"), nil, 0, true, 1); err != nil { // forgets it
		t.Fatal(err)
	}
	w, _ = s.connect(hello{id: "w"})
	w.subscribe("alerts/#", 1)
	w.ping()
}

func TestMoreRetainedMessagesThanASocketTakesAllArrive(t *testing.T) {
	s := start(t)
	const n = 400
	payload := []byte(strings.Repeat("x", 20_000))
	for i := range n {
		if err := s.Publish([]byte("state/"+strings.Repeat("i", i)), payload, 0, true, 0); err != nil {
			t.Fatal(err)
		}
	}
	w, _ := s.connect(hello{id: "w"})
	w.Conn.(*net.TCPConn).SetReadBuffer(128 << 10)
	w.subscribe("state/#", 0)
	cl, _ := s.server.Clients.Get("w")
	c := connOf(cl)
	until(t, "more waits than the socket takes", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.out)+c.flushing > outgoingBytesSoft/2
	})
	for range n {
		w.expect(3)
	}
	w.ping()
}

func TestTheLastWillReachesSubscribersAndPipelines(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "w"})
	w.subscribe("plant/#", 0)
	a, _ := s.connect(hello{id: "a", will: "plant/a", last: "lost"})
	a.Close()
	if m := w.expect(3); m.payload != "lost" {
		t.Errorf("got %q", m.payload)
	}
	b, _ := s.connect(hello{id: "b", v5: true, keep: true, expiry: 1, will: "plant/b", last: "taken over"})
	s.connect(hello{id: "b", v5: true})
	if m := w.expect(3); m.payload != "taken over" {
		t.Errorf("got %q", m.payload)
	}
	b.ended()
	c, _ := s.connect(hello{id: "c", v5: true, will: "plant/c", last: "session ends at once", delay: 100})
	c.Close()
	if m := w.expect(3); m.payload != "session ends at once" {
		t.Errorf("got %q", m.payload)
	}
	polite, _ := s.connect(hello{id: "d", will: "plant/d", last: "never"})
	polite.send([]byte{0xe0, 0})
	polite.ended()
	w.ping()
	checkTexts(t, texts(s.records(s.journal.Read(0), 3)),
		[]string{"plant/a lost 7 0", "plant/b taken over 7 0", "plant/c session ends at once 7 0"})
}

func TestAWillIsCheckedLikeAMessage(t *testing.T) {
	s := start(t)
	for _, topic := range []string{"$SYS/broker/uptime", "plant/#", "a/+/b", strings.Repeat("a", 513)} {
		w := s.plug()
		w.v5 = true
		w.send(hello{id: "w", v5: true, will: topic, last: "x"}.bytes())
		if p := w.expect(2); p.body[1] != 0x90 {
			t.Errorf("%.20s: got reason 0x%02x, want 0x90", topic, p.body[1])
		}
		w.ended()
	}
}

func TestWrongTopicsEndTheConnection(t *testing.T) {
	s := start(t)
	for _, topic := range []string{"$SYS/x", "$other", strings.Repeat("/", 32), strings.Repeat("a", 513), "a/#", ""} {
		w, _ := s.connect(hello{id: "w", v5: true})
		w.publish(topic, "x", 1, 1)
		if p := w.ended(); p.kind != 14 || p.body[0] != 0x90 {
			t.Errorf("%.20q: got %d % x, want DISCONNECT 0x90", topic, p.kind, p.body)
		}
		old, _ := s.connect(hello{id: "w"})
		old.publish(topic, "x", 1, 1)
		if p := old.ended(); p.kind != 0 {
			t.Errorf("%.20q: got %d % x, want nothing", topic, p.kind, p.body)
		}
	}
	sys, _ := s.connect(hello{id: "w"})
	sys.subscribe("$SYS/x", 0)
	sys.publish("$SYS/x", "forged", 0, 0) // is left out
	sys.ping()
	deep, _ := s.connect(hello{id: "w", v5: true})
	deep.send(subscribeBytes(true, 1, strings.Repeat("/", 32), 0))
	if p := deep.ended(); p.kind != 14 || p.body[0] != 0x8f {
		t.Errorf("got %d % x, want DISCONNECT 0x8f", p.kind, p.body)
	}
}

func TestTopicAliases(t *testing.T) {
	s := start(t)
	w, a := s.connect(hello{id: "w", v5: true})
	if !strings.Contains(string(a.body), "\x22\x00\x40") {
		t.Errorf("CONNACK % x does not offer 64 aliases", a.body)
	}
	alias := func(topic string, n byte, payload string) []byte {
		return frame(0x30, append(append(text16(nil, topic), 3, 0x23, 0, n), payload...))
	}
	w.send(alias("plant/a", 64, "1"))
	w.send(alias("", 64, "2"))
	w.send(alias("plant/b", 64, "3"))
	w.send(alias("", 64, "4"))
	w.publish("plant/c", "5", 0, 0)
	checkTexts(t, texts(s.records(s.journal.Read(0), 5)),
		[]string{"plant/a 1 7 0", "plant/a 2 7 0", "plant/b 3 7 0", "plant/b 4 7 0", "plant/c 5 7 0"})
	for _, bad := range [][]byte{alias("", 1, "unknown"), alias("plant/a", 65, "too many"), alias("plant/a", 0, "none")} {
		w, _ := s.connect(hello{id: "w", v5: true})
		w.send(bad)
		if p := w.ended(); p.kind != 14 || p.body[0] != 0x94 {
			t.Errorf("got %d % x, want DISCONNECT 0x94", p.kind, p.body)
		}
	}
}

func TestALongKeepAliveIsShortenedToWhatMochiCanCount(t *testing.T) {
	s := start(t)
	w, a := s.connect(hello{id: "w", v5: true, keepAlive: 65535})
	if !strings.Contains(string(a.body), "\x13\xaa\xaa") {
		t.Errorf("CONNACK % x does not say 43690 s", a.body)
	}
	w.ping()
	old, _ := s.connect(hello{id: "old", keepAlive: 65535})
	old.ping()
}

func TestAClientIdentifierBelongsToItsUser(t *testing.T) {
	s := start(t)
	a, _ := s.connect(hello{id: "same", user: "a", password: "x", keep: true})
	w := s.plug()
	w.send(hello{id: "same", user: "b", password: "x"}.bytes())
	if p := w.expect(2); p.body[1] == 0 {
		t.Error("another user took the session over")
	}
	a.ping()
	long := s.plug()
	long.send(hello{id: strings.Repeat("x", clientIDBytesMax+1)}.bytes())
	if p := long.expect(2); p.body[1] != 2 {
		t.Errorf("got return code %d, want 2, the identifier is not allowed", p.body[1])
	}
}

func TestSharedSubscriptionsCountAsTheirFilter(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "w", v5: true})
	w.subscribe("$share/g/plant/#", 0)
	w.subscribe("$share/h/plant/#", 0)
	s.Publish([]byte("plant/x"), []byte("1"), 0, false, 0)
	w.expect(3)
	unsubscribe := func(filter string) {
		w.send(frame(0xa2, append([]byte{0, 9, 0}, text16(nil, filter)...)))
		for w.expectEither(3, 11) != 11 {
		}
	}
	unsubscribe("$share/g/plant/#")
	if !s.interest.any("plant/x") {
		t.Error("one of two subscriptions is gone, and nobody is left")
	}
	unsubscribe("$share/h/plant/#")
	if s.interest.any("plant/x") {
		t.Error("both subscriptions are gone, and somebody is left")
	}
}

func (w *wire) expectEither(a, b byte) byte {
	w.t.Helper()
	p, err := w.read()
	if err != nil || p.kind != a && p.kind != b {
		w.t.Fatalf("got %+v, %v", p, err)
	}
	return p.kind
}
