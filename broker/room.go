package broker

import (
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"millrace.dev/millrace/internal/journal"
)

// A session of a client that is connected may hold more than sessionMessages
// for a moment: who publishes next waits until the client has acknowledged
// some. Nobody waits for a client that is away, nor for one whose own reader
// waits: it cannot read acknowledgements, and might be waiting for us.

// full are the connected clients whose sessions have come to hold
// sessionMessages and not gone down to sessionRoom since.
type full struct {
	n atomic.Int32 // mostly there are none

	mu    sync.Mutex
	conns map[string]*conn // by client
}

// mayQueue reports whether one more message may go to the client's session,
// and notes when those that follow should wait.
func (b *Broker) mayQueue(c *conn, cl *mqtt.Client) bool {
	n := cl.State.Inflight.Len()
	if n < sessionMessages {
		return true
	}
	return n < sessionMessagesHard && b.note(c, cl)
}

// note sees whether the session is still full, and reports whether anybody
// may wait for it, which is while its client is connected.
func (b *Broker) note(c *conn, cl *mqtt.Client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := c.closed || cl.Closed()
	least := sessionMessages
	if c.full {
		least = sessionRoom
	}
	full := !gone && cl.State.Inflight.Len() >= least
	if full == c.full {
		return !gone
	}
	c.full = full
	c.progress = time.Now()
	b.full.set(cl.ID, c, full)
	c.changed.Broadcast()
	return !gone
}

// set enters or strikes out a client.
func (f *full) set(client string, c *conn, is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case is:
		if f.conns == nil {
			f.conns = map[string]*conn{}
		}
		f.conns[client] = c
	case f.conns[client] == c:
		delete(f.conns, client)
	}
	f.n.Store(int32(len(f.conns)))
}

// fullThatWant returns the connections of full sessions that want a topic.
func (b *Broker) fullThatWant(topic string) []*conn {
	b.full.mu.Lock()
	defer b.full.mu.Unlock()
	var all []*conn
	b.interest.each(topic, func(client string) {
		if c := b.full.conns[client]; c != nil {
			all = append(all, c)
		}
	})
	return all
}

// makeRoom waits until no connected client that wants the topic has a full
// session, roomWait at most. from is the connection whose reader calls, or
// nil; it does not hold the sessions. The error wraps journal.ErrFull.
func (b *Broker) makeRoom(topic string, from *conn) error {
	if b.full.n.Load() == 0 {
		return nil
	}
	all := b.fullThatWant(topic)
	if len(all) == 0 {
		return nil
	}
	if from != nil {
		from.waits(true)
		defer from.waits(false)
	}
	end := time.Now().Add(b.stall.room)
	for _, c := range all {
		if c != from && !c.awaitRoom(end) {
			return sessionFull{c.clientID()}
		}
	}
	return nil
}

// A sessionFull is an error that is worth another try, like a full journal.
type sessionFull struct{ client string }

// Error says whose session it is.
func (s sessionFull) Error() string {
	return "client " + s.client + " does not acknowledge what it gets, and its session is full"
}

// Is makes it a journal.ErrFull.
func (s sessionFull) Is(target error) bool { return target == journal.ErrFull }

// awaitRoom waits until the client's session is not full or there is no sense
// in waiting, and returns false at the end of the time. A client that has
// acknowledged nothing for long is cut.
func (c *conn) awaitRoom(end time.Time) bool {
	wake := time.AfterFunc(time.Until(end), func() {
		c.mu.Lock()
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	defer wake.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.full && !c.closed && !c.waiting && c.b.closing.Err() == nil {
		now := time.Now()
		if now.Sub(c.progress) >= c.b.stall.stall {
			c.cut("it acknowledged nothing for " + c.b.stall.stall.String())
			return true
		}
		if !now.Before(end) {
			return false
		}
		c.changed.Wait()
	}
	return true
}

// waits notes whether the connection's own reader waits for something, so that
// nobody waits for it.
func (c *conn) waits(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = is
	c.changed.Broadcast()
}

// roomMade is called when a client has acknowledged a message, which is gone
// from its session.
func (c *conn) roomMade() {
	c.mu.Lock()
	full := c.full
	if full {
		c.progress = time.Now()
	}
	c.mu.Unlock()
	if full {
		c.b.note(c, c.client)
	}
}
