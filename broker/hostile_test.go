package broker

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
)

// killer is a SUBSCRIBE of MQTT 5 without its option byte, which makes mochi panic.
func killer() []byte { return []byte{0x82, 6, 0, 1, 0, 0, 1, 'a'} }

func TestAPacketThatBreaksTheDecoderCostsOneConnection(t *testing.T) {
	s := start(t)
	other, _ := s.connect(hello{id: "other", v5: true})
	other.subscribe("plant/#", 1)
	for i := range 3 {
		k, _ := s.connect(hello{id: "killer", v5: true, expiry: uint32(i) * 100, keep: i > 0})
		k.subscribe("plant/#", 1)
		k.send(killer())
		k.ended()
	}
	if err := s.Publish([]byte("plant/x"), []byte("still here"), 1, false, 0); err != nil {
		t.Fatal(err)
	}
	if m := other.expect(3); m.payload != "still here" {
		t.Errorf("got %q", m.payload)
	}
	until(t, "the panics are counted", func() bool { return s.metric("millrace_broker_panics_total") == 3 })
	until(t, "it is logged", func() bool { return strings.Contains(s.log.String(), "its packet broke the server's decoder") })
	back, a := s.connect(hello{id: "killer", v5: true, expiry: 100, keep: true})
	if a.body[0] != 1 {
		t.Error("its session is lost")
	}
	if m := back.expect(3); m.payload != "still here" {
		t.Errorf("the session got %q", m.payload)
	}
}

func TestOversizedPacketsEndTheConnection(t *testing.T) {
	s := start(t, func(o *Options, _ *Broker) { o.Config.PacketBytesMax = 100_000 })
	const head = 2 + len("plant/x") + 1 + 4 // of a PUBLISH of MQTT 5 of that size
	fits, _ := s.connect(hello{id: "fits", v5: true})
	fits.send(publishBytes(true, "plant/x", strings.Repeat("x", 100_000-head), 0, 0))
	fits.ping()
	large, _ := s.connect(hello{id: "large", v5: true})
	large.send(publishBytes(true, "plant/x", strings.Repeat("x", 100_001-head), 0, 0)[:5000])
	if p := large.ended(); p.kind != 14 || p.body[0] != 0x95 {
		t.Errorf("got %d % x, want DISCONNECT 0x95, packet too large", p.kind, p.body)
	}
	old, _ := s.connect(hello{id: "old"})
	old.send([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	old.ended()
	unknown := s.plug()
	unknown.send(frame(0x10, make([]byte, connectBytesMax))[:100])
	unknown.ended()
	if n := s.metric("millrace_broker_oversized_total"); n != 3 {
		t.Errorf("got %d oversized packets, want 3", n)
	}
	if n := strings.Count(s.log.String(), "its packet is too large"); n != 1 {
		t.Errorf("logged %d times, want once for the address", n)
	}
}

func TestAStalledSubscriberHoldsNobodyAndIsCut(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		s := start(t, func(_ *Options, b *Broker) {
			if b != nil {
				b.stall.stall = 300 * time.Millisecond
			}
		})
		stalled, _ := s.connect(hello{id: "stalled"})
		stalled.Conn.(*net.TCPConn).SetReadBuffer(4096)
		stalled.subscribe("t/#", qos)
		quick, _ := s.connect(hello{id: "quick"})
		quick.subscribe("t/#", qos)
		got := make(chan int, 1)
		const n = 3000
		var soFar atomic.Int64
		go func() {
			k := 0
			for ; k < n; k++ {
				soFar.Store(int64(k))
				m, err := quick.read()
				if err != nil {
					break
				}
				if qos > 0 {
					quick.Write(ack(0x40, m.id))
				}
			}
			got <- k
		}()
		payload := make([]byte, 10_000)
		p, _ := s.connect(hello{id: "p"})
		for i := range n / 2 {
			if err := s.Publish([]byte("t/x"), payload, qos, false, 0); err != nil {
				t.Fatal(err)
			}
			p.publish("t/y", string(payload), qos, uint16(i+1))
			if qos > 0 {
				p.expect(4)
			}
			p.ping()
			until(t, "the quick one keeps up", func() bool { return soFar.Load() > int64(2*i-40) })
		}
		if k := <-got; k != n {
			t.Errorf("QoS %d: the quick subscriber got %d messages, want %d", qos, k, n)
		}
		until(t, "the stalled one is cut", func() bool { return s.metric("millrace_broker_slow_consumers_total") == 1 })
		until(t, "it is logged", func() bool {
			return strings.Contains(s.log.String(), "slow client cut") && strings.Contains(s.log.String(), "client=stalled")
		})
		if qos == 0 && s.metric("millrace_broker_dropped_total", "reason", "slow_consumer") == 0 {
			t.Error("nothing is counted as dropped")
		}
	}
}

func TestAClientThatNeverReadsItsAnswersIsCut(t *testing.T) {
	s := start(t)
	w, _ := s.connect(hello{id: "deaf", v5: true})
	w.Conn.(*net.TCPConn).SetReadBuffer(4096)
	property := text16(text16([]byte{0x26}, "k"), strings.Repeat("v", 60_000)) // comes back in the answer
	body := append(binary.AppendUvarint([]byte{0, 1}, uint64(len(property))), property...)
	unsubscribe := frame(0xa2, text16(body, "a"))
	for range 1000 {
		if _, err := w.Write(unsubscribe); err != nil {
			until(t, "it is counted", func() bool { return s.metric("millrace_broker_slow_consumers_total") == 1 })
			return
		}
	}
	t.Error("60 MB of unread answers did not end the connection")
}

func TestClientsThatSayNothingAreClosed(t *testing.T) {
	s := start(t, func(_ *Options, b *Broker) {
		if b != nil {
			b.stall.connect = 50 * time.Millisecond
		}
	})
	s.plug().ended()
	half := s.plug()
	half.send([]byte{0x10, 30})
	half.ended()
	alive, _ := s.connect(hello{id: "alive", keepAlive: 1})
	dies := alive.ended // its keep-alive passes
	forever, _ := s.connect(hello{id: "forever"})
	dies()
	forever.ping()
}

func TestConnectionsAreLimited(t *testing.T) {
	s := start(t, func(o *Options, _ *Broker) { o.Config.ClientsMax, o.Config.ConnectionsPerAddressMax = 3, 2 })
	s.connect(hello{id: "1"})
	two, _ := s.connect(hello{id: "2"})
	s.plug().ended()
	if n := s.metric("millrace_broker_connections_refused_total", "reason", "address"); n != 1 {
		t.Errorf("got %d refused for their address, want 1", n)
	}
	two.Close()
	until(t, "there is room again", func() bool {
		w := s.plug()
		w.send(hello{id: "3"}.bytes())
		_, err := w.read()
		return err == nil
	})
}

func TestAcceptingGoesOnAfterAShortageOfFileDescriptors(t *testing.T) {
	s := start(t)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	short := old
	short.Cur = 40
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &short); err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	for range 60 {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			break
		}
		held = append(held, c)
	}
	until(t, "accepting fails", func() bool {
		return s.metric("millrace_broker_connections_refused_total", "reason", "system") > 0
	})
	for _, c := range held {
		c.Close()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	w, _ := s.connect(hello{id: "after"})
	w.ping()
}

// hostilePackets are good packets to begin with, of both versions.
func hostilePackets() [][]byte {
	var all [][]byte
	for _, v5 := range []bool{false, true} {
		all = append(all,
			hello{id: "m", v5: v5, will: "w/t", last: "gone", user: "u", password: "p", receiveMax: 3, keepAlive: 9}.bytes(),
			publishBytes(v5, "plant/x", "hello", 0, 0), publishBytes(v5, "plant/x", "hello", 1, 7), publishBytes(v5, "plant/x", "hello", 2, 8),
			subscribeBytes(v5, 3, "a/+/#", 1), subscribeBytes(v5, 4, "$share/g/a", 1),
			frame(0xa2, append(binary.BigEndian.AppendUint16(nil, 5), text16(nil, "a")...)))
	}
	for _, kind := range []byte{0x40, 0x50, 0x62, 0x70} {
		all = append(all, ack(kind, 7))
	}
	return append(all, killer(), []byte{0xc0, 0}, []byte{0xe0, 0}, []byte{0xe0, 1, 4}, []byte{0xf0, 2, 0x18, 0},
		[]byte{0x30, 0}, []byte{0x32, 1, 9}, []byte{0x3e, 3, 0, 1, 'a'}, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 1},
		append([]byte{0x30, 8, 0, 1, 'a', 3, 0x23, 0, 1}, 'x'), []byte{0x30, 3, 0xff, 0xff, 'a'})
}

func mutate(r *rand.Rand, b []byte) []byte {
	b = append([]byte(nil), b...)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			break
		}
		switch at := r.IntN(len(b)); r.IntN(6) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = byte(r.IntN(256))
		case 2:
			b = b[:at]
		case 3:
			b = append(b[:at], b[at+1:]...)
		case 4:
			b = append(b[:at:at], append([]byte{byte(r.IntN(256))}, b[at:]...)...)
		case 5:
			if at > 0 && at < 128+2 {
				b[1] = byte(max(0, len(b)-2)) // a length that is right again
			}
		}
	}
	return b
}

func TestMutatedPacketsHurtNobodyElse(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := start(t)
	r := s.journal.Read(0)
	other, _ := s.connect(hello{id: "other"})
	other.subscribe("other/#", 1)
	packets := hostilePackets()
	for round := range 400 {
		w := s.plug()
		first := hello{id: fmt.Sprint("m", round%5), v5: round%2 == 0, keep: round%3 == 0, expiry: 9}.bytes()
		if random.IntN(4) == 0 {
			first = mutate(random, first)
		}
		w.Write(first)
		for range 10 {
			if _, err := w.Write(mutate(random, packets[random.IntN(len(packets))])); err != nil {
				break
			}
		}
		w.Conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, w.r)
		w.Close()
		if round%50 == 0 {
			if err := s.Publish([]byte("other/x"), []byte("alive"), 1, false, 0); err != nil {
				t.Fatal(err)
			}
			m := other.expect(3)
			other.send(ack(0x40, m.id))
		}
	}
	p, _ := s.connect(hello{id: "p"})
	p.publish("plant/last", "last", 1, 1)
	p.expect(4)
	for {
		recs := s.records(r, 1)
		if string(recs[0].Topic) == "plant/last" {
			break
		}
		r.Release(recs[0].Offset)
	}
	t.Logf("%d panics of mochi caught", s.metric("millrace_broker_panics_total"))
}

func FuzzHostilePackets(f *testing.F) {
	for _, p := range hostilePackets() {
		f.Add(p, true)
		f.Add(p, false)
	}
	s := start(f, func(o *Options, _ *Broker) { o.Journal = journal.NewMemory(1 << 20) })
	f.Fuzz(func(t *testing.T, b []byte, v5 bool) {
		s := *s
		s.t = t
		w, _ := s.connect(hello{id: "fuzz", v5: v5})
		defer w.Close()
		w.Write(b)
		w.Conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, w.r); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("the connection stays open")
		}
		other, _ := s.connect(hello{id: "other"})
		defer other.Close()
		other.ping()
	})
}
