package broker

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
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
		qos := byte(0)
		if random.IntN(4) == 0 {
			qos = 1
			id++
		}
		p := publishBytes(v5, topic, payload, qos, id)
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
			o.ingested = append(o.ingested, fmt.Sprintf("%.20s %.20s %d %d", rec.Topic, rec.Payload, len(rec.Payload), rec.Route))
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
	s := start(t, func(o *Options, _ *Broker) { o.Journal = journal.NewMemory(64 << 20) })
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	c := newConn(s.Broker, one)
	c.version = 4
	p := publishBytes(false, "plant/m1/temp", `{"temp":21.5}`, 0, 0)
	if n := testing.AllocsPerRun(1000, func() {
		if !c.take(p) {
			t.Error("not taken")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
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
