package main

import (
	"net"
	"sync"

	"millrace.dev/millrace/bench/load"
)

const outboxBytesMax = 1 << 20 // that wait for a slow client; then those that publish to it wait, too

// An outbox is what a client is still to be sent. What is written while a
// system call is under way goes with the next.
type outbox struct {
	prefix string // of the topics that the client wants
	qos    byte

	mu     sync.Mutex
	change *sync.Cond // of what follows
	conn   net.Conn
	out    []byte
	id     uint16
	closed bool
}

func newOutbox(conn net.Conn) *outbox {
	o := &outbox{conn: conn}
	o.change = sync.NewCond(&o.mu)
	return o
}

func (o *outbox) publish(topic, payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id++; o.id == 0 {
		o.id = 1
	}
	if o.wait() {
		o.out = load.AppendPublish(o.out, string(topic), payload, o.qos, o.id)
		o.change.Broadcast()
	}
}

func (o *outbox) write(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wait() {
		o.out = append(o.out, p...)
		o.change.Broadcast()
	}
}

// wait waits for room; it returns false when the client is gone.
func (o *outbox) wait() bool {
	for len(o.out) >= outboxBytesMax && !o.closed {
		o.change.Wait()
	}
	return !o.closed
}

// run sends until the outbox or the connection is closed.
func (o *outbox) run() {
	var sending []byte
	for {
		o.mu.Lock()
		for len(o.out) == 0 && !o.closed {
			o.change.Wait()
		}
		if o.closed {
			o.mu.Unlock()
			return
		}
		sending, o.out = o.out, sending[:0]
		o.change.Broadcast()
		o.mu.Unlock()
		if _, err := o.conn.Write(sending); err != nil {
			o.close()
			return
		}
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.conn.Close()
	o.change.Broadcast()
}
