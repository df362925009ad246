package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline/topics"
)

// A gate is a journal that makes nothing durable until it is opened.
type gate struct {
	*journal.Memory
	asked atomic.Int32
	open  chan struct{}
}

func (g *gate) Last() journal.Commit { return 1 }

func (g *gate) Sync(ctx context.Context, _ journal.Commit) error {
	g.asked.Add(1)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAMessageIsAcknowledgedWhenTheJournalHasIt(t *testing.T) {
	p, g := newPeer(t), &gate{open: make(chan struct{})}
	link(t, linkConfig(p.Addr().String(), "plant/#"), func(o *LinkOptions, _ *Link) {
		if o != nil {
			g.Memory = o.Journal.(*journal.Memory)
			o.Journal = g
		}
	})
	w, _ := p.accept()
	w.welcome(nil, true)
	for id := range uint16(3) {
		w.publish("plant/a", "x", 1, id+1)
	}
	opened := make(chan bool, 1)
	go func() {
		until(t, "Sync is called", func() bool { return g.asked.Load() > 0 })
		opened <- true
		close(g.open)
	}()
	for id := range uint16(3) { // in the order they came [MQTT-4.6.0-2]
		if p := w.request(4); p.id != id+1 {
			t.Errorf("got the acknowledgement of %d, want %d", p.id, id+1)
		}
		if id == 0 && len(opened) == 0 {
			t.Error("got an acknowledgement before the journal had the message")
		}
	}
}

// A link whose connection is lost before the journal has a message gets it again.
func TestWhatTheJournalDoesNotTakeComesAgain(t *testing.T) {
	p := newPeer(t)
	l := link(t, linkConfig(p.Addr().String(), "plant/#"))
	w, hello := p.accept()
	if flags := hello.body[7]; flags&2 != 0 {
		t.Error("the link asks for a clean start, so nothing is kept for it")
	}
	w.welcome(nil, true)
	l.journal.Close()
	w.publish("plant/a", "x", 1, 1)
	until(t, "the message came", func() bool { return l.metric("millrace_link_messages_in_total") == 1 })
	w.publish("elsewhere", "x", 1, 2) // wanted by nobody: acknowledged, but not before the first
	until(t, "the other came", func() bool { return l.metric("millrace_link_dropped_total", "reason", "unasked") == 1 })
	if p := w.request(4); p.id != 2 {
		t.Errorf("got the acknowledgement of %d", p.id)
	}
}

func TestWhatALinkHasSentDoesNotComeBack(t *testing.T) {
	other := start(t)
	l := link(t, linkConfig(other.address, "plant/#"))
	l.waitUp()
	l.deliver(0, 10)
	w, _ := other.connect(hello{id: "w", v5: true})
	w.publish("plant/end", "end", 1, 1)
	w.expect(4)
	if got := l.next(l.journal.Read(0), 1)[0]; string(got.Payload) != "end" {
		t.Errorf("got %s, want what others sent", got.Payload)
	}
	if n := l.metric("millrace_link_messages_in_total"); n != 1 {
		t.Errorf("got %d messages, want one", n)
	}
}

// withUser is a QoS 1 message with user properties.
func withUser(topic, payload string, id uint16, user ...string) []byte {
	var props []byte
	for i := 0; i < len(user); i += 2 {
		props = text16(text16(append(props, 0x26), user[i]), user[i+1])
	}
	b := binary.BigEndian.AppendUint16(text16(nil, topic), id)
	b = append(binary.AppendUvarint(b, uint64(len(props))), props...)
	return frame(0x32, append(b, payload...))
}

func TestMessagesThatCannotBeTakenAreAcknowledgedAndCounted(t *testing.T) {
	p := newPeer(t)
	l := link(t, linkConfig(p.Addr().String(), "$share/g/plant/#"))
	w, _ := p.accept()
	w.welcome(nil, true)
	for i, m := range [][]byte{
		withUser("plant/a", "own", 1, originProperty, "site7"),
		withUser("plant/a", "hops", 2, hopsProperty, "9"),
		withUser("plant/"+strings.Repeat("x", topics.BytesMax), "topic", 3),
		withUser("plant/a", strings.Repeat("x", 64<<10), 4),
		withUser("elsewhere", "unasked", 5),
		withUser("plant/a", "first", 6, hopsProperty, "3", originProperty, "site8"),
		withUser("plant/a", "second", 7, hopsProperty, "many", "else", "x"),
		withUser("plant/a", "third", 8, hopsProperty, "8"),
	} {
		w.send(m)
		if p := w.request(4); int(p.id) != i+1 {
			t.Errorf("got the acknowledgement of %d, want %d", p.id, i+1)
		}
	}
	checkTexts(t, texts(l.next(l.journal.Read(0), 3)), []string{"plant/a first 7 3", "plant/a second 7 0", "plant/a third 7 8"})
	for _, reason := range []string{"own", "hops", "topic", "oversized", "unasked"} {
		if n := l.metric("millrace_link_dropped_total", "reason", reason); n != 1 {
			t.Errorf("got %d dropped for %s, want 1", n, reason)
		}
	}
}

func TestNoMoreIsInFlightThanTheOtherBrokerAllows(t *testing.T) {
	for _, c := range []struct {
		properties []byte
		want       int
	}{{[]byte{0x21, 0, 3}, 3}, {nil, linkFlightMax}, {[]byte{0x21, 0xff, 0xff}, linkFlightMax}} {
		p := newPeer(t)
		l := link(t, linkConfig(p.Addr().String()))
		w, hello := p.accept()
		if hello.body[7]&2 == 0 {
			t.Error("a link that subscribes to nothing asks for a session")
		}
		w.welcome(c.properties, false)
		var delivering sync.WaitGroup
		delivering.Go(func() { l.deliver(0, 500) })
		s, _, _ := l.state()
		for n := range 500 {
			m := w.request(3)
			if n == c.want-1 { // so many have come, and none is acknowledged
				until(t, "the flight is full", func() bool { s, _, _ = l.state(); return s != nil })
				s.mu.Lock()
				if s.inFlight != c.want {
					t.Errorf("got %d in flight, want %d", s.inFlight, c.want)
				}
				s.mu.Unlock()
				for id := range uint16(n) {
					w.send(ack(0x40, id+1))
				}
			}
			if n >= c.want-1 {
				w.send(ack(0x40, m.id))
			}
		}
		delivering.Wait()
	}
}

func TestARefusalIsToldAndATemporaryOneStopsTheFlight(t *testing.T) {
	p := newPeer(t)
	l := link(t, linkConfig(p.Addr().String()))
	w, _ := p.accept()
	w.welcome([]byte{0x27, 0, 0, 1, 0}, false) // at most 256 bytes
	l.waitUp()
	f, err := l.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"too large": f.Publish([]byte("a"), make([]byte, 300), 1, false, 0), "QoS 2": f.Publish([]byte("a"), nil, 2, false, 0),
		"a wildcard": f.Publish([]byte("a/#"), nil, 1, false, 0), "hops": f.Publish([]byte("a"), nil, 1, false, HopsMax+1),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	for range 4 {
		if err := f.Publish([]byte("a"), []byte("x"), 1, false, HopsMax); err != nil {
			t.Fatal(err)
		}
	}
	var peer sync.WaitGroup
	peer.Go(func() {
		for _, code := range []byte{0, 0x87, codeQuota, 0} {
			m := w.request(3)
			w.send([]byte{0x40, 4, byte(m.id >> 8), byte(m.id), code, 0})
		}
	})
	done, err := f.Settle()
	peer.Wait()
	if done != 2 || err == nil || !strings.Contains(err.Error(), "quota exceeded (0x97)") {
		t.Errorf("got %d done, %v, want 2 and the quota", done, err)
	}
	if a, b := f.Refused(0), f.Refused(1); a != "" || !strings.Contains(b, "not authorized (0x87)") {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestABrokerThatDoesNotAnswerIsLeft(t *testing.T) {
	p := newPeer(t)
	l := link(t, linkConfig(p.Addr().String()), func(_ *LinkOptions, l *Link) {
		if l != nil {
			l.wait.answer = 50 * time.Millisecond
		}
	})
	w, _ := p.accept() // says nothing to CONNECT
	w.ended()
	w, _ = p.accept()
	w.welcome(nil, false)
	l.waitUp()
	f, err := l.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.Publish([]byte("a"), nil, 1, false, 0)
	if done, err := f.Settle(); done != 0 || !errors.Is(err, errLost) {
		t.Errorf("got %d, %v, want the connection lost", done, err)
	}
	w.ended()
	until(t, "the log says why", func() bool { return strings.Contains(l.log.String(), errNoAnswer.Error()) })
	if f.Publish([]byte("a"), nil, 1, false, 0) != nil {
		t.Error("got an error of a message that is to be sent again")
	}
	if done, err := f.Settle(); done != 0 || err == nil {
		t.Errorf("got %d, %v of a flight that was cut", done, err)
	}
}

func TestAFlightEndsWithItsContext(t *testing.T) {
	p := newPeer(t)
	l := link(t, linkConfig(p.Addr().String()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Begin(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w, _ := p.accept()
	w.welcome(nil, false)
	ctx, cancel = context.WithCancel(t.Context())
	f, err := l.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f.Publish([]byte("a"), nil, 0, false, 0)
	f.Publish([]byte("a"), nil, 1, false, 0)
	go func() {
		w.request(3)
		w.request(3)
		cancel()
	}()
	if done, err := f.Settle(); done != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %d, %v, want the message at QoS 0 done", done, err)
	}
}

func TestTheLogTellsOnceThatALinkIsDownAndUpAgain(t *testing.T) {
	m := newMosquitto(t)
	c := linkConfig(m.address, "plant/#")
	c.User, c.Password = "me", "hunter2"
	l := link(t, c, func(_ *LinkOptions, l *Link) {
		if l != nil {
			l.wait.up = time.Millisecond
		}
	})
	l.waitUp()
	m.end()
	until(t, "several tries", func() bool {
		_, err := l.Begin(t.Context())
		return err != nil && strings.Contains(err.Error(), "broker other: the link is down") && strings.Contains(err.Error(), "refused")
	})
	m.start()
	l.waitUp()
	log := l.log.String()
	if strings.Count(log, "link is down") != 1 || strings.Count(log, "link is up again") != 1 || strings.Contains(log, "hunter2") {
		t.Errorf("got the log\n%s", log)
	}
}

func TestSubscriptionsAreAskedForUnlessTheOtherBrokerRemembersThem(t *testing.T) {
	for _, version := range []string{Version5, Version311} {
		p := newPeer(t)
		c := linkConfig(p.Addr().String(), "plant/#")
		c.Version = version
		l := link(t, c)
		connack := func(w *wire, present byte) {
			b := []byte{present, 0}
			if w.v5 {
				b = append(b, 0)
			}
			w.send(frame(0x20, b))
		}
		w, _ := p.accept()
		connack(w, 1) // of a life before: we do not know what it subscribed to
		sub := w.request(8)
		w.send(frame(0x90, append(sub.body[:2:2], map[string][]byte{Version5: {0, 1}, Version311: {1}}[version]...)))
		l.waitUp()
		w.Close()
		w, _ = p.accept()
		connack(w, 1)
		w.publish("plant/a", "x", 1, 1)
		w.request(4) // and no SUBSCRIBE before it
		w.Close()
		w, _ = p.accept()
		connack(w, 0) // it has forgotten
		sub = w.request(8)
		w.send(frame(0x90, append(sub.body[:2:2], map[string][]byte{Version5: {0, 0x87}, Version311: {0x80}}[version]...)))
		until(t, "the log says what is refused", func() bool { return strings.Contains(l.log.String(), "it refuses to give us plant/#") })
		l.stop()
	}
}

func TestAMistakeOfTheConfigurationIsToldInWords(t *testing.T) {
	p := newPeer(t)
	l := link(t, linkConfig(p.Addr().String()))
	w, _ := p.accept()
	w.send(frame(0x20, []byte{0, 0x86, 0}))
	until(t, "the log says why", func() bool {
		return strings.Contains(l.log.String(), "it refuses us: bad user name or password (0x86)")
	})
	for url, want := range map[string]string{
		"http://h": "is not mqtt://", "mqtt://": "is not mqtt://", "mqtt://u:hunter2@h": "is not mqtt://", "mqtt://h/x": "is not mqtt://", "mqtt://[": "is none",
	} {
		c := linkConfig("h")
		c.URL = url
		if _, err := NewLink(LinkOptions{Config: c, Log: l.Link.log}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	c := linkConfig("h")
	c.Version = "4"
	if _, _, err := c.target(); err == nil || !strings.Contains(err.Error(), `version "4"`) {
		t.Errorf("got %v", err)
	}
}
