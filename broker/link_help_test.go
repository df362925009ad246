package broker

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
)

// A linked is a link under test, with what it writes to.
type linked struct {
	*Link
	t       testing.TB
	journal *journal.Memory
	metrics *metrics.Registry
	log     *syncBuffer
	stop    func()
}

func linkConfig(address string, filters ...string) LinkConfig {
	c := LinkConfig{Name: "other", URL: "mqtt://" + address, Version: Version5, KeepAlive: 30 * time.Second, PacketBytesMax: 64 << 10, ClientID: "site7"}
	for _, f := range filters {
		c.Subscriptions = append(c.Subscriptions, Subscription{f, 1})
	}
	return c
}

// link runs a link until the test ends.
func link(t testing.TB, c LinkConfig, change ...func(*LinkOptions, *Link)) *linked {
	t.Helper()
	l := &linked{t: t, journal: journal.NewMemory(64 << 20), metrics: metrics.New(), log: &syncBuffer{}}
	o := LinkOptions{Config: c, Journal: l.journal, Metrics: l.metrics, Log: slog.New(slog.NewTextHandler(l.log, nil)),
		Route: wantsPlant}
	for _, f := range change {
		f(&o, nil)
	}
	var err error
	if l.Link, err = NewLink(o); err != nil {
		t.Fatal(err)
	}
	l.Link.wait.first, l.Link.wait.most = time.Millisecond, 20*time.Millisecond
	for _, f := range change {
		f(nil, l.Link)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { l.Run(ctx) })
	l.stop = func() {
		cancel()
		run.Wait()
	}
	t.Cleanup(l.stop)
	return l
}

func (l *linked) metric(name string, labels ...string) uint64 {
	return l.metrics.Counter(name, append([]string{"broker", "other"}, labels...)...).Get()
}

func (l *linked) waitUp() {
	l.t.Helper()
	until(l.t, "the link is up", func() bool { s, _, _ := l.state(); return s != nil })
}

// next returns the next n messages of the journal.
func (l *linked) next(r journal.Reader, n int) []journal.Record {
	l.t.Helper()
	return (&served{t: l.t}).records(r, n)
}

// deliver publishes messages from..to of plant/0 … plant/4, each a number, and
// comes again with what was not acknowledged, as a sink does.
func (l *linked) deliver(from, to int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for from < to && ctx.Err() == nil {
		f, err := l.Begin(ctx)
		if err != nil {
			continue
		}
		for i := from; i < min(to, from+1000); i++ {
			if err := f.Publish(topicOf(i), []byte(strconv.Itoa(i)), 1, false, 1); err != nil {
				l.t.Fatal(err)
			}
		}
		done, err := f.Settle()
		if err == nil && done == 0 {
			l.t.Fatal("nothing is done, without an error")
		}
		from += done
	}
	if from < to {
		l.t.Fatalf("messages from %d on were not delivered: %s", from, l.log)
	}
}

func topicOf(i int) []byte { return fmt.Appendf(nil, "plant/%d", i%5) }

// An ordered receiver notes numbers, and that the first of each comes in order.
type ordered struct {
	mu    sync.Mutex
	seen  map[int]bool
	last  map[string]int
	wrong []string
	again int
}

func newOrdered() *ordered { return &ordered{seen: map[int]bool{}, last: map[string]int{}} }

func (o *ordered) take(topic, payload string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := strconv.Atoi(payload)
	last, ok := o.last[topic]
	switch {
	case err != nil || string(topicOf(n)) != topic:
		o.wrong = append(o.wrong, fmt.Sprintf("%s %s", topic, payload))
	case o.seen[n]:
		o.again++
	case ok && n < last:
		o.wrong = append(o.wrong, fmt.Sprintf("%s: %d for the first time after %d", topic, n, last))
	default:
		o.last[topic] = n
	}
	o.seen[n] = true
}

func (o *ordered) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

func (o *ordered) check(t *testing.T, n int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.seen) != n || len(o.wrong) > 0 {
		t.Errorf("got %d messages of %d; wrong: %.10q", len(o.seen), n, o.wrong)
	}
	t.Logf("%d messages, %d of them again", len(o.seen), o.again)
}

// A mosquitto is the broker of that name, on a free port.
type mosquitto struct {
	t       testing.TB
	address string
	dir     string
	cmd     *exec.Cmd
	log     *syncBuffer
}

// newMosquitto starts mosquitto until the test ends. It keeps sessions and
// queues over a restart in peace. more is added to its configuration.
func newMosquitto(t testing.TB, more ...string) *mosquitto {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mosquitto{t: t, address: l.Addr().String(), dir: t.TempDir(), log: &syncBuffer{}}
	l.Close()
	_, port, _ := net.SplitHostPort(m.address)
	lines := append([]string{"per_listener_settings false", "allow_anonymous true", "persistence true", "persistence_location " + m.dir + "/",
		"max_queued_messages 0", "set_tcp_nodelay true", "log_type all", "listener " + port + " 127.0.0.1"}, more...)
	if os.Geteuid() == 0 {
		lines = append([]string{"user root"}, lines...)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	t.Cleanup(m.end)
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // where Debian has it
	}
	m.cmd = exec.Command(path, "-c", filepath.Join(m.dir, "conf"))
	m.cmd.Stderr = m.log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatalf("%v (scripts/test-deps installs it)", err)
	}
	until(m.t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", m.address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (m *mosquitto) end() {
	m.cmd.Process.Signal(syscall.SIGTERM)
	m.cmd.Wait()
}

func (m *mosquitto) restart() {
	m.t.Helper()
	m.end()
	m.start()
}

// connect returns a client of mosquitto.
func (m *mosquitto) connect(h hello) *wire {
	m.t.Helper()
	w, _ := (&served{t: m.t, address: m.address}).connect(h)
	return w
}

// A cutter stands between a client and a server, and cuts all connections
// after some bytes from the client. Every other cut is gentle: the server
// still gets what was under way, which a hard one takes from it.
type cutter struct {
	net.Listener

	mu    sync.Mutex
	rand  *rand.Rand
	cuts  int
	left  int               // bytes until the next cut
	most  int               // bytes between two cuts
	conns map[net.Conn]bool // those to the server are true
}

func newCutter(t testing.TB, to string, most int) *cutter {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, rand: rand.New(rand.NewPCG(seed, 0)), left: most, most: most, conns: map[net.Conn]bool{}}
	var run sync.WaitGroup
	run.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			c.note(client, server)
			run.Go(func() { c.up(client, server.(*net.TCPConn)) })
			run.Go(func() { c.down(server, client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut(true)
		run.Wait()
	})
	return c
}

func (c *cutter) note(client, server net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[client], c.conns[server] = false, true
}

// up passes on what the client says, until it is cut.
func (c *cutter) up(client net.Conn, server *net.TCPConn) {
	defer server.CloseWrite()
	defer client.Close()
	buf := make([]byte, 4096)
	for {
		n, err := client.Read(buf)
		part, cut := c.spend(n)
		server.Write(buf[:part])
		if cut {
			c.cut(c.count()%2 == 0)
		}
		if err != nil || cut {
			return
		}
	}
}

// down passes on what the server says, even to nobody, until it has ended.
func (c *cutter) down(server, client net.Conn) {
	defer server.Close()
	defer client.Close()
	buf := make([]byte, 4096)
	for {
		n, err := server.Read(buf)
		client.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// spend returns how many of n bytes may pass, and whether then all is cut.
func (c *cutter) spend(n int) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left -= n; c.left > 0 {
		return n, false
	}
	part := max(0, n+c.left)
	c.left = 1 + c.rand.IntN(c.most)
	c.cuts++
	return part, true
}

func (c *cutter) cut(hard bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, server := range c.conns {
		if hard || !server {
			conn.Close()
		}
	}
	clear(c.conns)
}

// count returns how often all was cut.
func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// A peer is a broker that answers what the test tells it to.
type peer struct {
	net.Listener
	t testing.TB
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &peer{l, t}
}

// accept returns the next client, and the CONNECT that it sent.
func (p *peer) accept() (*wire, packet) {
	p.t.Helper()
	p.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := p.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	w := &wire{Conn: c, t: p.t, r: bufio.NewReaderSize(c, 1024)}
	hello := w.expect(1)
	w.v5 = hello.body[6] == 5
	return w, hello
}

// welcome answers CONNECT, with properties, and SUBSCRIBE if there is one.
func (w *wire) welcome(properties []byte, subscribes bool) {
	w.t.Helper()
	body := []byte{0, 0}
	if w.v5 {
		body = append(append(body, byte(len(properties))), properties...)
	}
	w.send(frame(0x20, body))
	if !subscribes {
		return
	}
	p := w.request(8)
	granted := append([]byte{}, p.body[:2]...)
	if w.v5 {
		granted = append(granted, 0)
	}
	w.send(frame(0x90, append(granted, 1)))
}

// request returns the next packet but for pings, which are answered.
func (w *wire) request(kind byte) packet {
	w.t.Helper()
	for {
		p, err := w.read()
		switch {
		case err != nil:
			w.t.Fatalf("got %v, want a packet of kind %d", err, kind)
		case p.kind == 12:
			w.send([]byte{0xd0, 0})
		case p.kind != kind:
			w.t.Fatalf("got a packet of kind %d (% x), want %d", p.kind, p.body, kind)
		default:
			return p
		}
	}
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
