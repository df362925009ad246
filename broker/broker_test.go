package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
)

func TestMessagesReachPipelinesAndSubscribers(t *testing.T) {
	for _, v5 := range []bool{false, true} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("v5=%v,plain=%v", v5, plain), func(t *testing.T) {
				s := start(t, func(_ *Options, b *Broker) {
					if b != nil {
						b.plain = plain
					}
				})
				r := s.journal.Read(0)
				before := time.Now().UnixMicro()
				p, _ := s.connect(hello{id: "p", v5: v5})
				p.publish("plant/a", "alone", 0, 0)
				p.publish("other/a", "nobody", 0, 0)
				p.ping()
				if n := s.metric("millrace_broker_fanouts_total"); n != 0 {
					t.Errorf("mochi looked for subscribers %d times, want never", n)
				}
				sub, _ := s.connect(hello{id: "s", v5: v5})
				sub.subscribe("plant/+", 1)
				p.publish("plant/a", "q0", 0, 0)
				p.publish("plant/b", "q1", 1, 5)
				if a := p.expect(4); a.id != 5 {
					t.Errorf("PUBACK for %d, want 5", a.id)
				}
				p.publish("other/b", "unwanted", 1, 6)
				p.expect(4)
				recs := s.records(r, 3)
				checkTexts(t, texts(recs), []string{"plant/a alone 7 0", "plant/a q0 7 0", "plant/b q1 7 0"})
				if at := recs[2].Arrived; at < before || at > time.Now().UnixMicro() {
					t.Errorf("arrived at %d, want between %d and now", at, before)
				}
				for _, want := range []string{"q0", "q1"} {
					if m := sub.expect(3); m.payload != want {
						t.Errorf("the subscriber got %q, want %q", m.payload, want)
					}
				}
				for name, want := range map[string]uint64{"messages_in": 5, "ingested": 3, "fanouts": 2} {
					if got := s.metric("millrace_broker_" + name + "_total"); got != want {
						t.Errorf("%s: got %d, want %d", name, got, want)
					}
				}
			})
		}
	}
}

func TestPublishReachesSubscribersAndPipelines(t *testing.T) {
	s := start(t)
	r := s.journal.Read(0)
	publish := func(topic, payload string, hop uint8) {
		t.Helper()
		if err := s.Publish([]byte(topic), []byte(payload), 1, false, hop); err != nil {
			t.Fatal(err)
		}
	}
	publish("plant/x", "before", 3)
	if n := s.metric("millrace_broker_fanouts_total"); n != 0 {
		t.Errorf("mochi looked for subscribers %d times, want never", n)
	}
	sub, _ := s.connect(hello{id: "s"})
	sub.subscribe("#", 2)
	publish("plant/x", "both", HopsMax)
	publish("alerts/x", "mqtt", 1)
	checkTexts(t, texts(s.records(r, 2)), []string{"plant/x before 7 3", "plant/x both 7 8"})
	for _, want := range []string{"both", "mqtt"} {
		if m := sub.expect(3); m.payload != want || m.qos() != 1 {
			t.Errorf("got %q, QoS %d, want %q, QoS 1", m.payload, m.qos(), want)
		}
	}
}

func TestWhatADrainBringsReachesClientsThoughNoPipelineTakesIt(t *testing.T) {
	s := start(t)
	sub, _ := s.connect(hello{id: "s"})
	sub.subscribe("#", 1)
	s.journal.Close()
	if err := s.Publish([]byte("plant/x"), []byte("last"), 1, false, 1); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("got %v, want %v", err, journal.ErrClosed)
	}
	if m := sub.expect(3); m.payload != "last" {
		t.Errorf("got %q, want the last result", m.payload)
	}
}

func TestPublishRefusesWhatCannotBe(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		topic string
		qos   byte
		hop   uint8
		want  string
	}{
		{"plant/x", 0, HopsMax + 1, "through 9 pipelines, the most is 8\n\thint:"},
		{"plant/x", 3, 0, "no QoS 3"},
		{"plant/#", 0, 0, "wildcard"},
		{"", 0, 0, "empty"},
		{"a\x00b", 0, 0, "NUL"},
		{strings.Repeat("/", 32), 0, 0, "33 levels"},
		{"$SYS/x", 0, 0, "the broker's own"},
	} {
		err := s.Publish([]byte(c.topic), nil, c.qos, false, c.hop)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.topic, err, c.want)
		}
	}
	if n := s.metric("millrace_broker_hops_refused_total"); n != 1 {
		t.Errorf("got %d refused hops, want 1", n)
	}
}

func TestAFullJournalMakesPublishersWaitAndLosesNothing(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		small := journal.NewMemory(20_000)
		s := start(t, func(o *Options, _ *Broker) { o.Journal = small })
		r := small.Read(0)
		p, _ := s.connect(hello{id: "p"})
		const n = 2000
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if _, err := p.Write(publishBytes(false, "plant/x", fmt.Sprint(i), qos, uint16(i+1))); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		acks := make(chan int, 1)
		go func() {
			k := 0
			for ; qos > 0 && k < n; k++ {
				if m, err := p.read(); err != nil || m.kind != 4 {
					break
				}
			}
			acks <- k
		}()
		until(t, "the journal is full", func() bool {
			_, err := small.TryAppend(journal.Record{Topic: make([]byte, 200)})
			return err == journal.ErrFull
		})
		next := 0
		for next < n {
			for _, rec := range s.records(r, 1) {
				if len(rec.Payload) > 0 { // else it is the test's own
					if got := string(rec.Payload); got != fmt.Sprint(next) {
						t.Fatalf("got message %s, want %d", got, next)
					}
					next++
				}
				r.Release(rec.Offset)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if k := <-acks; qos > 0 && k != n {
			t.Errorf("got %d acknowledgements, want %d", k, n)
		}
	}
}

func TestAClosedJournalAcknowledgesNothing(t *testing.T) {
	s := start(t)
	q0, _ := s.connect(hello{id: "q0"})
	q1, _ := s.connect(hello{id: "q1"})
	other, _ := s.connect(hello{id: "other"})
	s.journal.Close()
	q0.publish("plant/x", "lost", 0, 0)
	q0.ping()
	q1.publish("plant/x", "refused", 1, 1)
	if p := q1.ended(); p.kind != 0 {
		t.Errorf("got packet % x, want none", p.body)
	}
	other.publish("elsewhere", "fine", 1, 1)
	other.expect(4)
	if n := s.metric("millrace_broker_dropped_total", "reason", "journal"); n != 2 {
		t.Errorf("got %d dropped, want 2", n)
	}
}

func TestServeEndsWhilePublishersWaitAndConnectionsAreSilent(t *testing.T) {
	small := journal.NewMemory(1000)
	s := start(t, func(o *Options, _ *Broker) { o.Journal = small })
	small.Read(0)
	s.plug() // says nothing
	half := s.plug()
	half.send([]byte{0x10, 100, 0})
	waiting, _ := s.connect(hello{id: "waiting"})
	for range 30 {
		waiting.publish("plant/x", "fills the journal", 1, 1)
	}
	polite, _ := s.connect(hello{id: "v5", v5: true})
	until(t, "the journal is full", func() bool { return s.metric("millrace_broker_ingested_total") >= 10 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if p := polite.ended(); p.kind != 14 || p.body[0] != 0x8b {
		t.Errorf("got %d % x, want DISCONNECT 0x8b, the server is shutting down", p.kind, p.body)
	}
	if c, err := net.Dial("tcp", s.address); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func TestNewRefusesWhatCannotServe(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Listen = []string{"mqtt://" + taken.Addr().String()} }, "broker: listen tcp " + taken.Addr().String() + ": bind: address already in use\n\thint: "},
		{func(c *Config) { c.Listen = nil }, "no address"},
		{func(c *Config) { c.Listen = []string{"mqtt://127.0.0.1:0", "http://127.0.0.1:0"} }, "not mqtt://host:port"},
		{func(c *Config) { c.Listen = []string{"mqtt://127.0.0.1"} }, "not mqtt://host:port"},
		{func(c *Config) { c.Listen = []string{"mqtt://127.0.0.1:0/x"} }, "not mqtt://host:port"},
		{func(c *Config) { c.Listen = []string{"mqtt://[::1"} }, "listen"},
		{func(c *Config) { c.Anonymous = "sometimes" }, "anonymous"},
		{func(c *Config) { c.PacketBytesMax = 10 }, "10 bytes"},
		{func(c *Config) { c.ClientsMax = 0 }, "nobody could connect"},
		{func(c *Config) { c.Users = t.TempDir() }, "users"},
	} {
		s := &served{journal: journal.NewMemory(1000)}
		o := testOptions(s)
		c.change(&o.Config)
		b, err := New(o)
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestCloseAfterNewAndAgainDoesNoHarm(t *testing.T) {
	b, err := New(testOptions(&served{journal: journal.NewMemory(1000)}))
	if err != nil {
		t.Fatal(err)
	}
	address := b.Addrs()[0].String()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
	if err := b.Serve(context.Background()); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestMessagesThatFollowAtOnceGoOutTogetherAndAreNotForgotten(t *testing.T) {
	s := start(t)
	sub, _ := s.connect(hello{id: "sub"})
	sub.subscribe("t", 0)
	for size := range 20 { // of a burst, and nothing comes behind it
		for i := range size {
			if err := s.Publish([]byte("t"), []byte{byte(i)}, 0, false, 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range size {
			if m := sub.expect(3); m.payload != string([]byte{byte(i)}) {
				t.Fatalf("got % x, want %d", m.payload, i)
			}
		}
	}
}
