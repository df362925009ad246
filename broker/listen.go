package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

func (b *Broker) listen() error {
	for _, s := range b.config.Listen {
		address, err := listenAddress(s)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("broker: %w%s", err, listenHint(err, s))
		}
		b.listeners = append(b.listeners, l)
	}
	return nil
}

func listenHint(err error, listen string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "\n\thint: another program, perhaps another MQTT broker, listens there; stop it or change " + listen + " in broker.listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "\n\thint: this machine has no such address; leave the host out of " + listen + " for all its addresses"
	case errors.Is(err, syscall.EACCES):
		return "\n\thint: ports below 1024 need a permission; take another one in broker.listen"
	}
	return ""
}

// accept takes connections until l is closed. When the system has no more
// file descriptors it waits and goes on; mochi's own listeners would be deaf
// for ever.
func (b *Broker) accept(l net.Listener) {
	wait := time.Millisecond
	for {
		c, err := l.Accept()
		if err == nil {
			wait = time.Millisecond
			b.admit(c)
			continue
		}
		if b.closing.Err() != nil {
			return
		}
		b.count.acceptErrors.Inc()
		if b.quiet.allow("accept") {
			b.log.Error("no connection could be accepted", "listen", l.Addr().String(), "error", err)
		}
		select {
		case <-time.After(wait):
		case <-b.closing.Done():
			return
		}
		wait = min(2*wait, acceptWaitMax)
	}
}

// admit starts to serve a connection if there is room for it.
func (b *Broker) admit(nc net.Conn) {
	c := newConn(b, nc)
	refused := b.conns.enter(c)
	if refused == "" {
		go b.serve(c)
		return
	}
	switch refused {
	case refusedClients:
		b.count.refusedClients.Inc()
	case refusedAddress:
		b.count.refusedAddress.Inc()
	}
	nc.Close()
	if b.quiet.allow("refused " + c.remote.String()) {
		b.log.Warn("connection refused", "remote", nc.RemoteAddr().String(), "reason", refused)
	}
}

// serve lets mochi serve a connection and clears up after both.
func (b *Broker) serve(c *conn) {
	defer b.conns.leave(c)
	defer c.release()
	defer func() {
		if r := recover(); r != nil {
			b.recovered(c, r)
		}
	}()
	c.in.deadline = time.Now().Add(b.stall.connect)
	c.ready()
	err := b.server.EstablishConnection("mqtt", c)
	if err != nil && b.closing.Err() == nil {
		b.log.Debug("client gone", "remote", c.Conn.RemoteAddr().String(), "client", c.clientID(), "reason", err)
	}
}

// recovered ends the session of a client whose packet made mochi panic, as if
// it had disconnected.
func (b *Broker) recovered(c *conn, reason any) {
	b.count.panics.Inc()
	if b.quiet.allow("panic " + c.remote.String()) {
		b.log.Error("client cut: its packet broke the server's decoder", "remote", c.Conn.RemoteAddr().String(),
			"client", c.clientID(), "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
	}
	c.release()
	c.Close()
	cl := c.client
	if cl == nil {
		return
	}
	cl.Stop(packets.ErrMalformedPacket)
	b.sessions.RLock()
	defer b.sessions.RUnlock()
	p := &cl.Properties
	ends := p.ProtocolVersion == 5 && p.Props.SessionExpiryInterval == 0 || p.ProtocolVersion < 5 && p.Clean
	if now, ok := b.server.Clients.Get(cl.ID); ok && now == cl && ends {
		cl.ClearInflights()
		b.server.UnsubscribeClient(cl)
		b.server.Clients.Delete(cl.ID)
	}
}

const (
	refusedClients = "too many clients, see broker.max_clients"
	refusedAddress = "too many connections from this address, see broker.max_connections_per_address"
	refusedClosing = "the broker is closing"
)

// connections are those that are open.
type connections struct {
	all             sync.WaitGroup
	most, perSource int

	mu     sync.Mutex
	open   map[*conn]struct{}
	from   map[netip.Addr]int
	closed bool
}

func (s *connections) init(most, perSource int) {
	s.most, s.perSource = most, perSource
	s.open, s.from = map[*conn]struct{}{}, map[netip.Addr]int{}
}

// enter counts c in, or says why there is no room.
func (s *connections) enter(c *conn) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return refusedClosing
	case len(s.open) >= s.most:
		return refusedClients
	case s.from[c.remote] >= s.perSource:
		return refusedAddress
	}
	s.open[c] = struct{}{}
	s.from[c.remote]++
	s.all.Add(1)
	return ""
}

func (s *connections) leave(c *conn) {
	c.Close()
	if c.client != nil {
		c.b.note(c, c.client) // nobody waits for it any more
	}
	s.mu.Lock()
	delete(s.open, c)
	if s.from[c.remote]--; s.from[c.remote] == 0 {
		delete(s.from, c.remote)
	}
	s.mu.Unlock()
	s.all.Done()
}

func (s *connections) closeAll() {
	s.mu.Lock()
	s.closed = true
	open := make([]*conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}
