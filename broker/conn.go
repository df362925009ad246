package broker

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// connTimes are how long connections may take; tests shorten them.
type connTimes struct{ connect, stall, room time.Duration }

// A conn is the connection that mochi gets instead of the socket.
//
// One goroutine, the reader, calls Read and the hook's methods for what its
// client sends. Any goroutine may Write and Close.
type conn struct {
	net.Conn
	b      *Broker
	raw    syscall.RawConn // nil if the socket has none
	remote netip.Addr
	client *mqtt.Client // set in OnConnect
	who    *identity    // likewise, once it is known

	// For the reader only.
	in        incoming
	version   byte // of MQTT; 0 until the client is known
	keepAlive time.Duration
	aliases   map[uint16]string // topic aliases of the client
	topic     []byte            // scratch
	known     known
	taken     taken
	quota     int // mochi's: QoS 1 and 2 messages that the client may have on the way to us
	lastQoS   byte
	denied    bool // the client may not publish the message that mochi asks about
	holds     hold // the broker's sessions lock, if any

	subscribing atomic.Bool
	answers     atomic.Int32 // packets but PUBLISH that mochi has encoded and not written yet
	blocked     atomic.Bool  // the reader waits for the socket, and will not send what is written now

	mu       sync.Mutex
	changed  *sync.Cond // on mu: pending, out, closed
	closed   bool
	pending  int    // messages that mochi's writer for this client has not encoded yet
	begun    uint64 // messages that were ever pending
	drains   bool   // the reader waits in drained
	out      []byte // bytes that wait for the socket
	spare    []byte
	sent     time.Time             // when soon wrote last
	due      bool                  // later will write
	later    *time.Timer           // nil until there was a burst
	flushing int                   // bytes that the flusher is writing; it runs if there are any
	filters  packets.Subscriptions // of the SUBSCRIBE under way
	window   window
	releases bool      // somebody lets waiting messages go
	full     bool      // the session is, see room.go
	waiting  bool      // the reader waits for the journal or for another client
	progress time.Time // when the session became full, or the client last acknowledged since
	ids      ids
}

// hold is what the reader holds of Broker.sessions.
type hold uint8

const (
	holdsNothing hold = iota
	holdsRead
	holdsWrite
)

func newConn(b *Broker, nc net.Conn) *conn {
	c := &conn{Conn: nc, b: b}
	c.changed = sync.NewCond(&c.mu)
	c.window.max = 65535
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.remote = a.Addr().Unmap().WithZone("")
	}
	if s, ok := nc.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	return c
}

// connOf returns the connection under a client, or nil for our own.
func connOf(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

func (c *conn) clientID() string {
	if c.client == nil {
		return ""
	}
	return c.client.ID
}

// lockSessions makes the reader hold Broker.sessions; it may hold it already.
func (c *conn) lockSessions(h hold) {
	if c.holds != holdsNothing {
		return
	}
	c.holds = h
	if h == holdsWrite {
		c.b.sessions.Lock()
	} else {
		c.b.sessions.RLock()
	}
}

// release gives back what the reader holds.
func (c *conn) release() {
	switch c.holds {
	case holdsRead:
		c.b.sessions.RUnlock()
	case holdsWrite:
		c.b.sessions.Unlock()
	}
	c.holds = holdsNothing
}

// Close writes what the socket takes at once and closes it.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.kick()
		c.closed = true
		c.changed.Broadcast()
	}
	c.mu.Unlock()
	return c.Conn.Close()
}
