package broker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
)

// Limits of a link.
const (
	linkQoSMax     = 1                // QoS 2 would give no more: after a cut a message is sent again
	linkFlightMax  = 100              // messages on their way to the other broker; it may allow fewer
	linkReceiveMax = 256              // messages that the other broker may have on the way to us
	linkAnswerWait = 30 * time.Second // for an answer to a packet of ours; then the connection is cut
	linkUpWait     = 10 * time.Second // of Begin, for a connection
	linkRetryFirst = 500 * time.Millisecond
	linkRetryMost  = time.Minute
	linkSeconds    = 7 * 24 * 3600 // the other broker keeps messages for us while the link is down
	lastWords      = time.Second   // to read why the other side takes nothing any more
	linkReadBytes  = 32 << 10
	linkWriteBytes = 32 << 10 // messages that leave in one write
)

// LinkOptions is what a link is made of.
type LinkOptions struct {
	Config  LinkConfig
	Journal journal.Journal // takes what comes in
	// Route returns which pipelines want a topic of the other broker, as
	// Options.Route does for topics of this one.
	Route   func(topic []byte) (route uint32, keep journal.Durability)
	Metrics *metrics.Registry
	Log     *slog.Logger
}

// A Link is a connection to another broker that is made again whenever it is
// lost. Messages come in to the journal, and go out with Begin.
//
//	other broker ──▶ linkConn ──▶ paho ──▶ session.take ──▶ journal ──▶ session.acknowledge ─┐
//	     ▲  ▲                                                                                │
//	     │  └──────────────────────────── PUBACK, after Sync ◀───────────────────────────────┘
//	     └── linkConn ◀── Flight.Publish ◀── sink (PUBACK comes back to Flight.Settle)
//
// What comes in at QoS 1 is acknowledged when the journal has it, and the
// other broker keeps it for a client identifier that is set: nothing is lost
// while the link is down, but a message may come twice.
type Link struct {
	config  LinkConfig
	address string
	tls     *tls.Config // nil for mqtt://
	journal journal.Journal
	route   func(topic []byte) (uint32, journal.Durability)
	log     *slog.Logger
	count   *linkCounters
	show    func() // shows in the metrics whether the link is up
	wait    linkTimes

	subscribed bool // once, so that a session that lives on has our subscriptions; only Run uses it

	mu      sync.Mutex
	up      *session      // nil while the link is down
	changed chan struct{} // closed when up changes
	last    error         // why the link is down
}

// linkTimes are the waits of a link; tests have shorter ones.
type linkTimes struct{ first, most, up, answer time.Duration }

// linkCounters are what /metrics shows of a link.
type linkCounters struct {
	connects, in, out                          *metrics.Counter
	own, hops, oversized, topic, full, unasked *metrics.Counter
}

// NewLink checks the configuration and reads the certificates that it names.
func NewLink(o LinkOptions) (*Link, error) {
	c := o.Config
	if c.ClientID == "" {
		c.ClientID = "millrace-" + rand.Text()[:12]
	}
	l := &Link{
		config: c, journal: o.Journal, route: o.Route, log: o.Log.With("broker", c.Name),
		wait:    linkTimes{linkRetryFirst, linkRetryMost, linkUpWait, linkAnswerWait},
		changed: make(chan struct{}), last: errNotYet,
	}
	var err error
	if l.address, l.tls, err = c.target(); err != nil {
		return nil, fmt.Errorf("broker %s: %w", c.Name, err)
	}
	dropped := func(reason string) *metrics.Counter {
		return o.Metrics.Counter("millrace_link_dropped_total", "broker", c.Name, "reason", reason)
	}
	l.count = &linkCounters{
		connects: o.Metrics.Counter("millrace_link_connects_total", "broker", c.Name),
		in:       o.Metrics.Counter("millrace_link_messages_in_total", "broker", c.Name),
		out:      o.Metrics.Counter("millrace_link_messages_out_total", "broker", c.Name),
		own:      dropped("own"), hops: dropped("hops"), oversized: dropped("oversized"),
		topic: dropped("topic"), full: dropped("journal"), unasked: dropped("unasked"),
	}
	l.show = func() { o.Metrics.Gauge("millrace_link_up", l.isUp, "broker", c.Name) }
	return l, nil
}

// Run keeps the link up until ctx ends; it returns when everything it started
// has ended. It is called once.
func (l *Link) Run(ctx context.Context) {
	l.show()
	retry := retry{first: l.wait.first, most: l.wait.most}
	out := outage{log: l.log, address: l.address}
	for ctx.Err() == nil {
		s, err := l.connect(ctx)
		if err == nil {
			l.count.connects.Inc()
			out.ends()
			l.set(s, nil)
			err = s.serve(ctx)
			if s.useful() {
				retry.failures = 0
			}
		}
		l.set(nil, err)
		if ctx.Err() != nil {
			return
		}
		out.goesOn(err)
		select {
		case <-time.After(retry.next()):
		case <-ctx.Done():
		}
	}
}

// set notes that the link is up with s, or why it is down.
func (l *Link) set(s *session, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.last = s, why
	close(l.changed)
	l.changed = make(chan struct{})
}

// state returns the session, or nil and why there is none, and a channel that
// is closed when that changes.
func (l *Link) state() (*session, error, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.last, l.changed
}

func (l *Link) isUp() float64 {
	if s, _, _ := l.state(); s == nil {
		return 0
	}
	return 1
}

// connect dials, introduces us and subscribes.
func (l *Link) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, l.wait.answer)
	defer cancel()
	raw, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := newSession(l, raw)
	s.client = paho.NewClient(paho.ClientConfig{
		Conn: s.conn, ClientID: l.config.ClientID, Session: s, PacketTimeout: l.wait.answer,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){s.receive},
		OnClientError:     s.ended,
		OnServerDisconnect: func(d *paho.Disconnect) {
			s.ended(fmt.Errorf("it disconnected us: %s", reason(d.ReasonCode)))
		},
	})
	ack, err := s.client.Connect(ctx, l.hello())
	if err != nil {
		raw.Close()
		if ack != nil && ack.ReasonCode >= 0x80 {
			return nil, &mistake{fmt.Errorf("it refuses us: %s", reason(ack.ReasonCode))}
		}
		return nil, fmt.Errorf("no answer to CONNECT: %w", err)
	}
	if err := s.subscribe(ctx, ack.SessionPresent && l.subscribed); err != nil {
		s.close()
		return nil, err
	}
	l.subscribed = true
	return s, nil
}

func (l *Link) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{}
	if l.tls == nil {
		return d.DialContext(ctx, "tcp", l.address)
	}
	t := tls.Dialer{NetDialer: &d, Config: l.tls}
	return t.DialContext(ctx, "tcp", l.address)
}

// hello returns the CONNECT packet of the link. Only for what we subscribe to
// does the other broker keep a session; what we publish is kept by the sinks.
func (l *Link) hello() *paho.Connect {
	c := &l.config
	packet, receive, expiry := c.PacketBytesMax, uint16(linkReceiveMax), uint32(0)
	if c.keeps() {
		expiry = linkSeconds
	}
	hello := &paho.Connect{
		ClientID: c.ClientID, CleanStart: !c.keeps(), KeepAlive: uint16(c.KeepAlive / time.Second),
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, ReceiveMaximum: &receive, MaximumPacketSize: &packet, RequestProblemInfo: true},
	}
	if c.User != "" {
		hello.Username, hello.UsernameFlag = c.User, true
	}
	if c.Password != "" {
		hello.Password, hello.PasswordFlag = []byte(c.Password), true
	}
	return hello
}

// Begin begins a flight on the connection that stands. It waits 10 s for one;
// then the error says why there is none. ctx is that of the whole flight.
func (l *Link) Begin(ctx context.Context) (*Flight, error) {
	late := time.After(l.wait.up)
	for {
		s, why, changed := l.state()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s != nil {
			return &Flight{s: s, ctx: ctx}, nil
		}
		select {
		case <-changed:
		case <-late:
			return nil, fmt.Errorf("broker %s: the link is down: %w", l.config.Name, why)
		case <-ctx.Done():
		}
	}
}
