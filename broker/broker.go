package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
)

// Options is what a broker is made of.
type Options struct {
	Config  Config
	Journal journal.Journal // takes the messages that pipelines want
	// Route returns which pipelines want a topic: a number to keep with the
	// message, 0 for nobody, and the strongest durability that they ask for.
	// It is called by many goroutines at the same time, for most messages not
	// at all, and must not keep topic.
	Route func(topic []byte) (route uint32, keep journal.Durability)
	// Edition returns another number whenever Route may answer something
	// else; until then its answers are remembered. Nil if it never does.
	Edition func() uint64
	Metrics *metrics.Registry
	Log     *slog.Logger
}

// A Broker serves MQTT clients. It lives through New, Serve and, if Serve was
// never called, Close.
type Broker struct {
	config   Config
	journal  journal.Journal
	route    func(topic []byte) (uint32, journal.Durability)
	edition  func() uint64
	seed     maphash.Seed // of the tables of known topics
	log      *slog.Logger
	count    *counters
	access   *access
	quiet    *quiet
	interest *interest
	server   *mqtt.Server
	self     *mqtt.Client // who Publish is, for mochi
	sessions sync.RWMutex // held to write while a session changes hands, to read while messages go to sessions

	listeners []net.Listener
	conns     connections
	full      full
	stall     connTimes
	plain     bool // everything goes through mochi; for tests
	serving   atomic.Bool
	closing   context.Context // done when nothing more is taken in
	close     context.CancelFunc
}

// New checks the configuration, reads the file of users and opens the ports.
func New(o Options) (*Broker, error) {
	if err := o.Config.check(); err != nil {
		return nil, err
	}
	b := &Broker{
		config: o.Config, journal: o.Journal, route: o.Route, edition: o.Edition, seed: maphash.MakeSeed(), log: o.Log,
		count: newCounters(o.Metrics), quiet: newQuiet(), interest: newInterest(),
		stall: connTimes{connect: connectWait, stall: stallWait, room: roomWait},
	}
	if b.edition == nil {
		b.edition = func() uint64 { return 0 }
	}
	b.closing, b.close = context.WithCancel(context.Background())
	b.conns.init(o.Config.ClientsMax, o.Config.ConnectionsPerAddressMax)
	var err error
	if b.access, err = newAccess(o.Config, o.Log); err != nil {
		return nil, err
	}
	if err := b.listen(); err != nil {
		b.Close()
		return nil, err
	}
	b.server = mqtt.New(mochiOptions(o.Config, o.Log))
	b.self = b.server.NewClient(nil, "", "", true)
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		b.Close()
		return nil, fmt.Errorf("broker: %w", err)
	}
	o.Metrics.Gauge("millrace_broker_clients", func() float64 {
		return float64(atomic.LoadInt64(&b.server.Info.ClientsConnected))
	})
	o.Metrics.Gauge("millrace_broker_retained_messages", func() float64 {
		return float64(atomic.LoadInt64(&b.server.Info.Retained))
	})
	return b, nil
}

func mochiOptions(c Config, log *slog.Logger) *mqtt.Options {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClients = int64(c.ClientsMax)
	caps.MaximumMessageExpiryInterval = 0 // else retained messages vanish after a day
	caps.MaximumClientWritesPending = 2 * pendingMax
	caps.MaximumSessionExpiryInterval = sessionSeconds
	caps.MaximumPacketSize = c.PacketBytesMax
	caps.ReceiveMaximum = receiveMax
	caps.MaximumInflight = 65535 // ours is sessionMessages, see hook.OnACLCheck
	caps.TopicAliasMaximum = aliasesMax
	caps.Compatibilities.NoInheritedPropertiesOnAck = true
	return &mqtt.Options{
		Capabilities:             caps,
		ClientNetReadBufferSize:  512, // conn buffers
		ClientNetWriteBufferSize: 8 << 10,
		SysTopicResendInterval:   sysSeconds,
		Logger:                   slog.New(onlyErrors{log.Handler()}),
	}
}

// Addrs returns the addresses that the broker listens on.
func (b *Broker) Addrs() []net.Addr {
	var all []net.Addr
	for _, l := range b.listeners {
		all = append(all, l.Addr())
	}
	return all
}

// Serve takes clients until ctx ends. Then it tells them goodbye, and returns
// when everything it started has ended. It is called once.
func (b *Broker) Serve(ctx context.Context) error {
	if b.serving.Swap(true) {
		panic("BUG: broker: Serve was called again")
	}
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	var accepting sync.WaitGroup
	for _, l := range b.listeners {
		accepting.Go(func() { b.accept(l) })
	}
	select {
	case <-ctx.Done():
	case <-b.closing.Done():
	}
	b.Close()
	accepting.Wait()
	b.goodbye()
	b.conns.closeAll()
	b.conns.all.Wait()
	return b.server.Close()
}

// goodbye tells MQTT 5 clients why they are disconnected [MQTT-3.14.2-1].
func (b *Broker) goodbye() {
	for _, cl := range b.server.Clients.GetAll() {
		if !cl.Closed() && cl.Properties.ProtocolVersion == 5 {
			b.server.DisconnectClient(cl, packets.ErrServerShuttingDown)
		}
	}
}

// Close closes the ports and makes Serve return; it may be called at any time
// and again.
func (b *Broker) Close() error {
	b.close()
	var errs []error
	for _, l := range b.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
