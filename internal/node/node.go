// Package node builds everything from a configuration and runs it.
//
//	broker ──▶ journal ──▶ dispatcher ──▶ runner of a pipeline ──▶ outlet ──▶ deliveries to sinks
//	  ▲                                                                             │
//	  └───────────────────────── topic sinks publish back ◀─────────────────────────┘
//
// A Node lives through New (checks and opens), Run (blocks) and, inside Run,
// a drain when its context ends: nothing more comes in, what is inside is
// processed and delivered, then everything is closed.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/broker"
	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

// DrainTimeout is how long a node that stops waits for its sinks.
const DrainTimeout = 10 * time.Second

// Options is what a node needs beside its file.
type Options struct {
	Stdout  io.Writer // for stdout sinks
	Log     *slog.Logger
	Version string
}

// A Node is a running configuration.
type Node struct {
	opts       Options
	file       *config.File
	log        *slog.Logger
	metrics    *metrics.Registry
	journal    journal.Journal
	runtime    *functions.Runtime
	broker     *broker.Broker
	dispatcher *dispatcher
	rebirths   *rebirths
	others     []string      // names of the other brokers since the start; the first is source 1
	linked     int           // links opened since the start
	needed     uint64        // the first message that is processed again
	ending     chan struct{} // closed when a drain has had its time
	http       net.Listener
	ready      chan struct{}
	asked      chan struct{} // holds a call of Reload

	routes atomic.Pointer[routes]
	now    atomic.Pointer[running]

	ctx     context.Context // of the stages' work: it ends with the node
	serve   context.Context // of Run: when it ends, all that Run has started ends
	servers sync.WaitGroup
	pipes   sync.WaitGroup

	mu      sync.Mutex
	tallies map[string]bool // pipelines that run or have run
}

// New checks f, opens the ports and sinks, and returns a node that Run starts.
func New(ctx context.Context, f *config.File, o Options) (*Node, error) {
	n := &Node{opts: o, file: f, log: o.Log, metrics: metrics.New(), ready: make(chan struct{}), ending: make(chan struct{}), asked: make(chan struct{}, 1), ctx: context.WithoutCancel(ctx)}
	if err := n.open(ctx); err != nil {
		n.close(context.WithoutCancel(ctx))
		return nil, err
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	f := n.file
	if n.runtime, err = NewRuntime(ctx, f, n.log); err != nil {
		return err
	}
	pipes, err := Compile(ctx, f, n.runtime)
	if err != nil {
		return err
	}
	if err := n.openJournal(f); err != nil {
		return err
	}
	n.dispatcher = newDispatcher(nil, nil, nil)
	if n.broker, err = broker.New(broker.Options{
		Config: brokerConfig(f), Journal: n.journal, Metrics: n.metrics, Log: n.log,
		Route:   func(topic []byte) (uint32, journal.Durability) { return n.routes.Load().from(0, topic) },
		Edition: func() uint64 { return uint64(n.now.Load().edition) },
	}); err != nil {
		return err
	}
	n.rebirths = newRebirths(n.broker, n.log)
	next, err := n.build(f, pipes, nil)
	if err != nil {
		closePipelines(n.ctx, pipes)
		return err
	}
	from, err := n.recover(next)
	if err != nil {
		return err
	}
	n.dispatcher.reader = n.journal.Read(from)
	if n.dispatcher.clock, err = newDistrust(n.journal); err != nil {
		return err
	}
	n.needed = from
	n.install(next)
	if f.HTTP.Listen == "" {
		return nil
	}
	if n.http, err = net.Listen("tcp", f.HTTP.Listen); err != nil {
		return fmt.Errorf("http: %w\n\thint: set http.listen to a free address in %s, or to \"\" for none", err, f.Path)
	}
	return nil
}

// NewRuntime returns the functions' runtime as f wants it.
func NewRuntime(ctx context.Context, f *config.File, log *slog.Logger) (*functions.Runtime, error) {
	cache := f.Functions.Cache
	if cache != "" {
		cache = f.Join(cache)
	} else if dir, err := os.UserCacheDir(); err == nil {
		cache = filepath.Join(dir, "millrace", "functions")
	}
	return functions.NewRuntime(ctx, functions.Options{
		CacheDir: cache, MemoryMax: uint32(f.Functions.Memory), StepsMax: f.Functions.Steps, Log: log,
	})
}

func brokerConfig(f *config.File) broker.Config {
	c := broker.Defaults()
	c.Listen, c.Anonymous = f.Broker.Listen, f.Broker.Anonymous
	if f.Broker.Users != "" {
		c.Users = f.Join(f.Broker.Users)
		c.UserCommand = "millrace user add -file " + c.Users
	}
	c.Access = brokerAccess(f.Broker.Access)
	c.PacketBytesMax, c.ClientsMax = uint32(f.Broker.MaxPacket), f.Broker.MaxClients
	c.ConnectionsPerAddressMax = f.Broker.MaxConnectionsPerAddress
	return c
}

func brokerAccess(a *config.Access) *broker.Access {
	if a == nil {
		return nil
	}
	to := &broker.Access{Everyone: broker.Rights(a.Everyone), Anonymous: (*broker.Rights)(a.Anonymous), Users: map[string]broker.Rights{}}
	for _, u := range a.Users {
		to.Users[u.User] = broker.Rights(u.Rights)
	}
	return to
}

// refused counts and logs what a sink set aside for good.
func (n *Node) refused(name string) func([]pipeline.DeadLetter) {
	letters := n.metrics.Counter("millrace_pipeline_dead_letters_total", "pipeline", name)
	return func(dead []pipeline.DeadLetter) {
		letters.Add(len(dead))
		n.log.Warn("dead letters", "pipeline", name, "count", len(dead), "stage", dead[0].Stage, "reason", dead[0].Reason)
	}
}

// Addrs returns the addresses that the broker listens on.
func (n *Node) Addrs() []net.Addr { return n.broker.Addrs() }

// HTTPAddr returns the address of /healthz and /metrics, or nil.
func (n *Node) HTTPAddr() net.Addr {
	if n.http == nil {
		return nil
	}
	return n.http.Addr()
}

// Run serves until ctx ends and then drains; stop ends it at once. It returns
// when everything it started has ended.
func (n *Node) Run(ctx, stop context.Context) error {
	defer n.close(context.WithoutCancel(ctx))
	var end context.CancelFunc
	n.serve, end = context.WithCancel(stop)
	defer end()
	fatal := make(chan error, 5)
	start := func(g *sync.WaitGroup, f func() error) {
		g.Go(func() {
			if err := f(); err != nil && n.serve.Err() == nil {
				fatal <- err
			}
		})
	}
	now := n.now.Load()
	if err := beginKeepers(n.serve, now.runners, 0); err != nil {
		endKeepers(now.runners)
		return err
	}
	held := false
	if n.file.Clock.Wait > 0 {
		var err error
		if held, err = n.dispatcher.clock.begin(n.needed); err != nil {
			return err
		}
	}
	n.begin(now)
	n.join(now)
	n.deliver(now)
	n.servers.Go(func() { n.rebirths.run(n.serve) })
	n.servers.Go(func() { n.watch(ctx) })
	start(&n.servers, n.watchJournal)
	ticks := &ticker{journal: n.journal, d: n.dispatcher, runners: func() []*runner { return n.now.Load().runners }}
	n.servers.Go(func() { ticks.run(n.serve) })
	start(&n.pipes, func() error { return n.dispatch(ctx, held) })
	start(&n.servers, func() error { return n.broker.Serve(n.serve) })
	if n.http != nil {
		start(&n.servers, func() error { return n.serveHTTP(n.serve, n.http) })
	}
	if s := n.file.Simulate; s != nil {
		start(&n.servers, func() error { return n.simulate(ctx, s) })
	}
	n.log.Info("ready", "version", n.opts.Version, "broker", fmt.Sprint(n.Addrs()), "pipelines", len(n.file.Pipelines))
	var err error
	select {
	case err = <-fatal:
	case <-ctx.Done():
	case <-stop.Done():
	}
	err = errors.Join(err, n.drain(stop))
	end()
	n.servers.Wait()
	return err
}

// dispatch hands messages to pipelines, if they are held back once the clock
// can be trusted.
func (n *Node) dispatch(ctx context.Context, held bool) error {
	if d := n.dispatcher.clock; held {
		n.log.Warn("the clock is not set; messages wait for it", "at_most", n.file.Clock.Wait)
		if err := d.wait(ctx, n.file.Clock.Wait); err != nil {
			n.dispatcher.end()
			return err
		}
		n.log.Info("messages do not wait for the clock any more", "clock_is_set", d.isSet())
	}
	return n.dispatcher.run(n.serve)
}

// drain takes nothing more in and lets what is inside out.
func (n *Node) drain(stop context.Context) error {
	start := time.Now()
	n.journal.Seal()
	limit := time.AfterFunc(DrainTimeout, func() { close(n.ending) })
	defer limit.Stop()
	n.pipes.Wait()
	ctx, cancel := context.WithTimeout(stop, DrainTimeout)
	defer cancel()
	err := errors.Join(n.now.Load().sinks.drain(ctx), n.journal.Close())
	n.log.Info("drained", "after", time.Since(start).Round(time.Millisecond))
	return err
}

// close frees what open opened; it may be called after a part of it.
func (n *Node) close(ctx context.Context) {
	if n.broker != nil {
		n.broker.Close()
	}
	if n.http != nil {
		n.http.Close()
	}
	if n.journal != nil {
		n.journal.Close()
	}
	if now := n.now.Load(); now != nil {
		now.trees(func(t *Tree) { t.Pipeline.Close(ctx) })
	}
	if n.runtime != nil {
		n.runtime.Close(ctx)
	}
}
