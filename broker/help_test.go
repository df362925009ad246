package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// A served is a broker under test, with what it writes to.
type served struct {
	*Broker
	t       testing.TB
	address string
	journal *journal.Memory
	metrics *metrics.Registry
	log     *syncBuffer
	stop    func() error // ends it and returns what Serve returned
}

// wantsPlant is a Route: one pipeline wants plant/…
func wantsPlant(topic []byte) (uint32, journal.Durability) {
	if bytes.HasPrefix(topic, []byte("plant/")) {
		return 7, journal.Relaxed
	}
	return 0, 0
}

func testOptions(s *served) Options {
	s.metrics, s.log = metrics.New(), &syncBuffer{}
	c := Defaults()
	c.Listen = []string{"mqtt://127.0.0.1:0"}
	return Options{Config: c, Journal: s.journal, Route: wantsPlant, Metrics: s.metrics,
		Log: slog.New(slog.NewTextHandler(s.log, nil))}
}

// start serves a broker on a free port until the test ends.
func start(t testing.TB, change ...func(*Options, *Broker)) *served {
	t.Helper()
	s := &served{t: t, journal: journal.NewMemory(64 << 20)}
	o := testOptions(s)
	for _, f := range change {
		f(&o, nil)
	}
	var err error
	if s.Broker, err = New(o); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&o, s.Broker)
	}
	s.address = s.Addrs()[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("Serve does not return")
		}
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// metric returns the value of a metric.
func (s *served) metric(name string, labels ...string) uint64 {
	return s.metrics.Counter(name, labels...).Get()
}

// records returns the next n messages of the journal.
func (s *served) records(r journal.Reader, n int) []journal.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var got []journal.Record
	for len(got) < n {
		var err error
		if got, err = r.Next(ctx, got, n-len(got)); err != nil {
			s.t.Fatalf("got %d messages of %d: %v", len(got), n, err)
		}
	}
	return got
}

// until waits for what must come true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A wire is an MQTT client that sends what it is told, right or wrong.
type wire struct {
	net.Conn
	t     testing.TB
	r     *bufio.Reader
	later []uint16 // see expectLater
	v5    bool
}

// hello is what a CONNECT says.
type hello struct {
	id, user, password string
	v5, keep           bool // MQTT 5, and not a clean session
	keepAlive          uint16
	expiry             uint32 // s, of the session
	receiveMax         uint16
	packetMax          uint32
	will, last         string // topic and payload
	delay              uint32 // s
	retainWill         bool
}

func text16(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func frame(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func (h hello) bytes() []byte {
	b := text16(nil, "MQTT")
	flags := byte(0)
	if !h.keep {
		flags |= 2
	}
	if h.will != "" {
		flags |= 4
	}
	if h.retainWill {
		flags |= 32
	}
	if h.user != "" {
		flags |= 128 | 64
	}
	version := byte(4)
	if h.v5 {
		version = 5
	}
	b = binary.BigEndian.AppendUint16(append(b, version, flags), h.keepAlive)
	if h.v5 {
		var p []byte
		if h.expiry > 0 {
			p = binary.BigEndian.AppendUint32(append(p, 0x11), h.expiry)
		}
		if h.receiveMax > 0 {
			p = binary.BigEndian.AppendUint16(append(p, 0x21), h.receiveMax)
		}
		if h.packetMax > 0 {
			p = binary.BigEndian.AppendUint32(append(p, 0x27), h.packetMax)
		}
		b = append(append(b, byte(len(p))), p...)
	}
	b = text16(b, h.id)
	if h.will != "" {
		if h.v5 {
			b = append(b, 5)
			b = binary.BigEndian.AppendUint32(append(b, 0x18), h.delay)
		}
		b = text16(text16(b, h.will), h.last)
	}
	if h.user != "" {
		b = text16(text16(b, h.user), h.password)
	}
	return frame(0x10, b)
}

func publishBytes(v5 bool, topic, payload string, qos byte, id uint16) []byte {
	b := text16(nil, topic)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	if v5 {
		b = append(b, 0)
	}
	return frame(0x30|qos<<1, append(b, payload...))
}

func subscribeBytes(v5 bool, id uint16, filter string, options byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	if v5 {
		b = append(b, 0)
	}
	return frame(0x82, append(text16(b, filter), options))
}

func ack(first byte, id uint16) []byte { return []byte{first, 2, byte(id >> 8), byte(id)} }

// plug opens a connection that says nothing.
func (s *served) plug() *wire {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.address, patience)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &wire{Conn: c, t: s.t, r: bufio.NewReaderSize(c, 1024)}
}

// connect returns a client that is connected, and its CONNACK.
func (s *served) connect(h hello) (*wire, packet) {
	s.t.Helper()
	w := s.plug()
	w.v5 = h.v5
	w.send(h.bytes())
	p := w.expect(2)
	if p.body[1] != 0 {
		s.t.Fatalf("%s: refused, reason 0x%02x", h.id, p.body[1])
	}
	return w, p
}

func (w *wire) send(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) publish(topic, payload string, qos byte, id uint16) {
	w.t.Helper()
	w.send(publishBytes(w.v5, topic, payload, qos, id))
}

func (w *wire) subscribe(filter string, qos byte) {
	w.t.Helper()
	w.send(subscribeBytes(w.v5, 1, filter, qos))
	if p := w.expect(9); p.body[len(p.body)-1] > 2 {
		w.t.Fatalf("subscribe %s: reason 0x%02x", filter, p.body[len(p.body)-1])
	}
}

// ping waits until the broker has worked off what was sent before.
func (w *wire) ping() {
	w.t.Helper()
	w.send([]byte{0xc0, 0})
	w.expect(13)
}

// A packet is one from the broker.
type packet struct {
	kind, flags    byte
	body           []byte
	topic, payload string
	id             uint16
}

func (p packet) qos() byte { return p.flags >> 1 & 3 }

func (w *wire) read() (packet, error) {
	first, err := w.r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, err := binary.ReadUvarint(w.r)
	if err != nil {
		return packet{}, err
	}
	p := packet{kind: first >> 4, flags: first & 15, body: make([]byte, n)}
	if _, err := io.ReadFull(w.r, p.body); err != nil {
		return p, err
	}
	b := p.body
	switch p.kind {
	case 3:
		n := 2 + binary.BigEndian.Uint16(b)
		p.topic, b = string(b[2:n]), b[n:]
		if p.qos() > 0 {
			p.id, b = binary.BigEndian.Uint16(b), b[2:]
		}
		if w.v5 {
			b = b[1+int(b[0]):]
		}
		p.payload = string(b)
	case 4, 5, 6, 7, 9, 11:
		p.id = binary.BigEndian.Uint16(b)
	}
	return p, nil
}

// expect returns the next packet, which must be of that kind.
func (w *wire) expect(kind byte) packet {
	w.t.Helper()
	p, err := w.read()
	if err != nil {
		w.t.Fatalf("got %v, want a packet of kind %d", err, kind)
	}
	if p.kind != kind {
		w.t.Fatalf("got a packet of kind %d (% x), want %d", p.kind, p.body, kind)
	}
	return p
}

// ended waits until the broker has closed the connection, and returns the
// last packet that came.
func (w *wire) ended() packet {
	w.t.Helper()
	var last packet
	for {
		p, err := w.read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatal("the connection stays open")
		}
		if err != nil {
			return last
		}
		last = p
	}
}

func checkTexts(t testing.TB, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func texts(recs []journal.Record) []string {
	var all []string
	for _, r := range recs {
		if r.Keep != journal.Relaxed { // as wantsPlant has it
			all = append(all, fmt.Sprintf("kept as %d", r.Keep))
		}
		all = append(all, fmt.Sprintf("%s %s %d %d", r.Topic, r.Payload, r.Route, r.Hop))
	}
	return all
}
