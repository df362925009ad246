package broker

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
)

// streams of packets, as one client sends them, of all sizes around the
// limits of the buffer, some of them wrong.
func stream(random *rand.Rand, v5 bool) []byte {
	var b []byte
	id := uint16(0)
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	for i := range 200 {
		topic := pick("plant/a", "plant/b/c", "plant/ü", "other/x", "sub/x", "plant/"+strings.Repeat("x", 400))
		size := random.IntN(40)
		if random.IntN(20) == 0 {
			size = random.IntN(3 * readBytesMax)
		}
		payload := fmt.Sprint(i, " ", strings.Repeat("y", size))
		qos := pickQoS(random)
		if qos > 0 && random.IntN(8) > 0 { // else the identifier comes again, perhaps of a QoS 2 message
			id++
		}
		p := publishBytes(v5, topic, payload, qos, max(id, 1))
		if qos > 0 && random.IntN(10) == 0 {
			p[0] |= dupFlag
		}
		if random.IntN(30) == 0 { // PUBREL, or an identifier that is 0
			b = append(b, ack(0x62, id-uint16(random.IntN(3)))...)
		}
		switch random.IntN(40) {
		case 0:
			p[0] |= retainFlag
		case 1:
			p = []byte{0xc0, 0}
		case 2:
			if v5 { // an alias, and a user property
				p = frame(0x30, append(append(text16(nil, topic), 10, 0x23, 0, 1, 0x26, 0, 1, 'k', 0, 1, 'v'), payload...))
			}
		case 3:
			if v5 && i > 150 {
				p = frame(0x30, append([]byte{0, 0, 3, 0x23, 0, 1}, payload...)) // may be unknown
			}
		case 4:
			if i > 150 && random.IntN(4) == 0 {
				p = mutate(random, p)
			}
		}
		b = append(b, p...)
	}
	return append(b, publishBytes(v5, "plant/end", "end", 0, 0)...)
}

func pickQoS(random *rand.Rand) byte {
	return [...]byte{0, 0, 0, 0, 1, 1, 1, 2}[random.IntN(8)]
}

// An outcome is what a client and a subscriber saw of a stream.
type outcome struct{ ingested, answers, delivered []string }

func outcomeOf(t *testing.T, plain, v5 bool, sent []byte, random *rand.Rand) outcome {
	s := start(t, func(_ *Options, b *Broker) {
		if b != nil {
			b.plain = plain
		}
	})
	var o outcome
	sub, _ := s.connect(hello{id: "sub"})
	sub.subscribe("sub/#", 0)
	w, _ := s.connect(hello{id: "w", v5: v5})
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(5000))
			if _, err := w.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
		}
		w.Conn.(*net.TCPConn).CloseWrite()
	}()
	for {
		p, err := w.read()
		if err != nil {
			break
		}
		o.answers = append(o.answers, fmt.Sprintf("%d % x", p.kind, p.body))
	}
	until(t, "the client is gone", func() bool { cl, ok := s.server.Clients.Get("w"); return !ok || cl.Closed() })
	if err := s.Publish([]byte("sub/end"), nil, 0, false, 0); err != nil {
		t.Fatal(err)
	}
	for {
		m := sub.expect(3)
		if m.topic == "sub/end" {
			break
		}
		o.delivered = append(o.delivered, fmt.Sprintf("%s %.20s %d", m.topic, m.payload, len(m.payload)))
	}
	s.journal.Close()
	r := s.journal.Read(0)
	for {
		recs, err := r.Next(context.Background(), nil, 1000)
		if err != nil {
			break
		}
		for _, rec := range recs {
			o.ingested = append(o.ingested, fmt.Sprintf("%.20s %.20s %d %d %d", rec.Topic, rec.Payload, len(rec.Payload), rec.Route, rec.Keep))
		}
	}
	o.answers = append(o.answers, fmt.Sprint(s.metric("millrace_broker_messages_in_total")))
	return o
}

func TestTakingMessagesOutDoesNotShow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(20) {
		v5 := round%2 == 0
		sent := stream(rand.New(rand.NewPCG(seed, round)), v5)
		taken := outcomeOf(t, false, v5, sent, rand.New(rand.NewPCG(seed, round)))
		plain := outcomeOf(t, true, v5, sent, rand.New(rand.NewPCG(seed, round)))
		if len(taken.ingested) < 20 {
			t.Errorf("round %d: only %d messages were ingested", round, len(taken.ingested))
		}
		if !slices.Equal(taken.ingested, plain.ingested) {
			t.Fatalf("round %d: ingested %q, plainly %q", round, taken.ingested, plain.ingested)
		}
		if !slices.Equal(taken.answers, plain.answers) {
			t.Fatalf("round %d: answered %q, plainly %q", round, taken.answers, plain.answers)
		}
		if !slices.Equal(taken.delivered, plain.delivered) {
			t.Fatalf("round %d: delivered %q, plainly %q", round, taken.delivered, plain.delivered)
		}
	}
}

func TestMessagesTakenOutKeepTheConnectionAlive(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "w", keepAlive: 1})
	r := s.journal.Read(0)
	for range 6 { // 3 s, all of it messages for pipelines
		w.publish("plant/x", "x", 0, 0)
		s.records(r, 1)
		time.Sleep(500 * time.Millisecond)
	}
	w.ping()
	w.ended()
}

func TestTakingAMessageAllocatesNothing(t *testing.T) {
	s := start(t)
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	c := newConn(s.Broker, one)
	c.version, c.quota, c.who = 4, 1, &identity{}
	c.client = s.server.NewClient(c, "", "w", false)
	for _, qos := range []byte{0, 1} {
		p := publishBytes(false, "plant/m1/temp", `{"temp":21.5}`, qos, uint16(qos))
		if n := testing.AllocsPerRun(20, func() {
			for range takenMax {
				if !c.take(p) {
					t.Error("not taken")
				}
			}
		}); n != 0 {
			t.Errorf("QoS %d: %v allocations, want none", qos, n)
		}
	}
}

// TestTakingMessagesOutKeepsAnswersInOrder has a client publish at all QoS to
// topics that it subscribes to itself and others subscribe to now and then.
func TestTakingMessagesOutKeepsAnswersInOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, round))
		v5 := round%2 == 0
		s := start(t)
		w, _ := s.connect(hello{id: "w", v5: v5})
		w.subscribe("plant/self", 1)
		other, _ := s.connect(hello{id: "other"})
		var more sync.WaitGroup
		done := make(chan struct{})
		more.Go(func() { comeAndGo(t, other, done) })
		var sent []byte
		var want, records []string
		const n = 600
		for i := range n {
			id := uint16(i + 1)
			topic := []string{"plant/a", "plant/b", "plant/c", "plant/self"}[random.IntN(4)]
			qos := pickQoS(random)
			sent = append(sent, publishBytes(v5, topic, fmt.Sprint(i), qos, id)...)
			records = append(records, fmt.Sprintf("%s %d 7 0", topic, i))
			if qos > 0 {
				want = append(want, fmt.Sprintf("%d %d", 3+qos, id))
			}
			if qos == 2 {
				sent = append(sent, ack(0x62, id)...)
				want = append(want, fmt.Sprintf("7 %d", id))
			}
			if random.IntN(20) == 0 {
				sent = append(sent, 0xc0, 0)
				want = append(want, "13 0")
			}
		}
		more.Go(func() {
			for rest := append(sent, 0xc0, 0); len(rest) > 0; {
				k := min(len(rest), 1+random.IntN(3000))
				w.Write(rest[:k])
				rest = rest[k:]
			}
		})
		var got []string
		for len(got) <= len(want) {
			p, err := w.read()
			if err != nil {
				t.Fatalf("round %d: got %d answers, then %v, want %d", round, len(got), err, len(want))
			}
			if p.kind != 3 {
				got = append(got, fmt.Sprintf("%d %d", p.kind, p.id))
			}
		}
		close(done)
		more.Wait()
		checkTexts(t, got[:len(want)], want)
		checkTexts(t, texts(s.records(s.journal.Read(0), n)), records)
	}
}

// comeAndGo subscribes and unsubscribes until done is closed.
func comeAndGo(t *testing.T, w *wire, done chan struct{}) {
	for id := uint16(1); ; id++ {
		filter := []string{"plant/#", "plant/a", "plant/+"}[id%3]
		leave := text16([]byte{byte(id >> 8), byte(id)}, filter)
		w.Write(subscribeBytes(false, id, filter, 0))
		for {
			a, err := w.read()
			if err != nil {
				t.Error(err)
				return
			}
			if a.kind == 9 {
				break
			}
		}
		w.Write(frame(0xa2, leave))
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestPacketSizesAreReadFromWhatIsThere(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want int
		err  bool
	}{
		{nil, 0, false}, {[]byte{0x30}, 0, false}, {[]byte{0x30, 0}, 2, false}, {[]byte{0x30, 127, 9}, 129, false},
		{[]byte{0x30, 0x80}, 0, false}, {[]byte{0x30, 0x80, 1}, 131, false}, {[]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 268435460, false},
		{[]byte{0x30, 0xff, 0xff, 0xff}, 0, false}, {[]byte{0x30, 0xff, 0xff, 0xff, 0xff}, 0, true}, {[]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, 0, true},
	} {
		got, err := packetSize(c.b)
		if got != c.want || (err != nil) != c.err {
			t.Errorf("% x: got %d, %v, want %d", c.b, got, err, c.want)
		}
	}
}

func TestReceiveMaximumIsCountedAlikeForWhatIsTaken(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := start(t, func(_ *Options, b *Broker) {
			if b != nil {
				b.plain = plain
			}
		})
		w, _ := s.connect(hello{id: "w", v5: true})
		for id := range uint16(receiveMax) {
			w.publish("plant/two", "x", 2, id+1)
			w.expect(5)
			if id+1 == receiveMax { // for one there is no room; PUBREL makes some
				w.send(ack(0x62, 1))
				w.expect(7)
			}
			w.publish("plant/one", "x", 1, 1000)
			if a := w.expect(4); a.id != 1000 {
				t.Errorf("PUBACK for %d, want 1000", a.id)
			}
		}
		w.publish("plant/one", "x", 1, 2) // the identifier of a QoS 2 message under way
		if a := w.expect(5); a.id != 2 {
			t.Errorf("PUBREC for %d, want 2", a.id)
		}
		w.publish("plant/two", "x", 2, 1)
		w.expect(5)
		w.publish("plant/one", "x", 1, 1000)
		if p := w.ended(); p.kind != 14 || p.body[0] != 0x93 {
			t.Errorf("got %d % x, want DISCONNECT 0x93, receive maximum exceeded", p.kind, p.body)
		}
	}
}

func TestTopicsAreKnownUntilSubscriptionsOrPipelinesChange(t *testing.T) {
	var edition, asked, route uint64
	s := start(t, func(o *Options, _ *Broker) {
		o.Edition = func() uint64 { return edition }
		o.Route = func([]byte) (uint32, journal.Durability) { asked++; return uint32(route), journal.Durable }
	})
	var k known
	check := func(what string, wantRoute uint32, wanted bool, times uint64) {
		t.Helper()
		got := k.of(s.Broker, &identity{}, []byte("a/b"))
		if got.route != wantRoute || got.wanted != wanted || asked != times {
			t.Errorf("%s: got route %d, wanted %v, asked %d times, want %d, %v, %d", what, got.route, got.wanted, asked, wantRoute, wanted, times)
		}
	}
	route = 3
	check("new", 3, false, 1)
	check("again", 3, false, 1)
	s.interest.add("c", "a/#")
	check("subscribed", 3, true, 2)
	s.interest.remove("c", "a/#")
	check("unsubscribed", 3, false, 3)
	route, edition = 4, 1
	check("other pipelines", 4, false, 4)
	for i := range 10 * knownMax {
		if k.of(s.Broker, &identity{}, fmt.Append(nil, "t/", i)).route != 4 {
			t.Error("wrong route")
		}
	}
	if len(k.topics) != knownMax {
		t.Errorf("%d topics are kept, want %d", len(k.topics), knownMax)
	}
	for _, wrong := range []string{"", "a/+", "\xff"} {
		if k.of(s.Broker, &identity{}, []byte(wrong)) != nil {
			t.Errorf("%q is valid", wrong)
		}
	}
	edition, asked = 1, 0
	if k.of(s.Broker, &identity{}, []byte("a/b")); asked > 1 {
		t.Errorf("asked %d times", asked)
	}
}

// BenchmarkIngest publishes 97 bytes of JSON, QoS 0, 16 messages a write, over
// a loopback socket to a pipeline that only counts. One operation is a message.
func BenchmarkIngest(b *testing.B) {
	payload := `{"ts":1700000000000,"device":"m1","temp":61.25,"vib":0.0213,"rpm":1490,"state":"run","seq":123456}`
	one := publishBytes(false, "plant/l1/motor/m1/reading", payload, 0, 0)
	for _, plain := range []bool{false, true} {
		b.Run(map[bool]string{false: "taken", true: "mochi"}[plain], func(b *testing.B) {
			s := start(b, func(_ *Options, br *Broker) {
				if br != nil {
					br.plain = plain
				}
			})
			r := s.journal.Read(0)
			done := make(chan struct{})
			w, _ := s.connect(hello{id: "w"})
			n := (b.N + 15) / 16 * 16
			go func() {
				defer close(done)
				var recs []journal.Record
				for got := 0; got < n; {
					var err error
					if recs, err = r.Next(context.Background(), recs[:0], 1024); err != nil {
						return
					}
					got += len(recs)
					r.Release(recs[len(recs)-1].Offset)
				}
			}()
			batch := bytes.Repeat(one, 16)
			b.SetBytes(int64(len(one)))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < n; i += 16 {
				if _, err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
			}
			<-done
		})
	}
}
