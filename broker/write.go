package broker

import (
	"encoding/binary"
	"net"
	"syscall"
	"time"
)

// The types of MQTT packets, in the upper half of their first byte.
const (
	typeConnect    = 1
	typeConnack    = 2
	typePublish    = 3
	typeDisconnect = 14
)

const pubackBytes = 4 // of a PUBACK that says nothing but yes

// Write takes whole packets and never waits for the socket, because mochi
// writes while it holds locks that every publisher needs.
//
// Acknowledgements wait until the reader has worked off what it has; messages
// go out at once. QoS 0 messages that find outgoingBytesSoft waiting are
// dropped, QoS 1 and 2 messages wait for their window in mochi's own store.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	now, messages := false, 0
	for rest := p; len(rest) > 0; {
		packet, head := cutPacket(rest)
		rest = rest[len(packet):]
		if packet[0]>>4 != typePublish {
			c.answers.Add(-1)
		}
		switch packet[0] >> 4 {
		case typePublish:
			if !c.mayGo(packet, head) {
				continue
			}
			now = true
			messages++
		case typeConnack, typeDisconnect:
			now = true
		}
		c.out = append(c.out, packet...)
	}
	if messages > 0 {
		c.b.count.messagesOut.Add(messages)
	}
	if c.push(now); c.closed {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

// push decides whether what was added to out goes to the socket now, or with
// what comes before the reader waits; c.mu is held.
func (c *conn) push(now bool) {
	if len(c.out)+c.flushing > outgoingBytesHard {
		c.cut("it does not read what we answer")
		return
	}
	switch {
	case len(c.out) > 32<<10:
		c.kick()
	case now:
		c.soon()
	case c.blocked.Load():
		c.kick()
	}
}

// burstPause is the time between two writes to a socket while there are many
// messages for it.
const burstPause = time.Millisecond

// soon writes at once, or, if it has done so a moment ago, when burstPause has
// passed, with all that comes until then; c.mu is held.
func (c *conn) soon() {
	if c.due {
		return
	}
	now := time.Now()
	if wait := burstPause - now.Sub(c.sent); wait > 0 {
		c.due = true
		if c.later == nil {
			c.later = time.AfterFunc(wait, c.sendLater)
		} else {
			c.later.Reset(wait)
		}
		return
	}
	c.sent = now
	c.kick()
}

func (c *conn) sendLater() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = false
	c.sent = time.Now()
	c.kick()
}

// mayGo reports whether a message goes out now; c.mu is held.
func (c *conn) mayGo(packet []byte, head int) bool {
	if packet[0]&6 == 0 {
		if len(c.out)+c.flushing > outgoingBytesSoft {
			c.b.count.droppedSlow.Inc()
			return false
		}
		return true
	}
	topic := int(binary.BigEndian.Uint16(packet[head:]))
	id := binary.BigEndian.Uint16(packet[head+2+topic:])
	goes := c.window.admit(id, len(packet), packet[0]&dupFlag != 0)
	if goes && !c.releases && c.window.canLetGo() {
		c.releases = true
		c.b.conns.all.Go(c.letGo) // not from here: mochi holds the client's lock
	}
	return goes
}

// cutPacket returns the first packet of p, which mochi encoded, and the size
// of its fixed header.
func cutPacket(p []byte) (packet []byte, head int) {
	n, size := binary.Uvarint(p[1:]) // a variable byte integer of MQTT is one
	head = 1 + size
	return p[:head+int(n)], head
}

// kick writes what the socket takes without waiting and leaves the rest to a
// flusher; c.mu is held.
func (c *conn) kick() {
	if len(c.out) == 0 || c.flushing > 0 || c.closed {
		return
	}
	if c.raw != nil {
		var n int
		err := c.raw.Write(func(fd uintptr) bool {
			n, _ = syscall.Write(int(fd), c.out) // an error will come again in flush
			return true
		})
		if err == nil && n > 0 {
			c.b.count.bytesOut.Add(n)
			c.out = append(c.out[:0], c.out[n:]...)
		}
		if len(c.out) == 0 {
			c.shrink()
			return
		}
	}
	c.flushing = 1 // flush says how many
	c.b.conns.all.Go(c.flush)
}

// keepBytes is the memory for outgoing bytes that an idle connection keeps.
const keepBytes = 16 << 10

func (c *conn) shrink() {
	if cap(c.out) > keepBytes {
		c.out = nil
	}
	if cap(c.spare) > keepBytes {
		c.spare = nil
	}
}

// flush writes to the socket until nothing waits any more. A client that
// takes nothing for a while is cut.
func (c *conn) flush() {
	const step = 64 << 10
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > 0 && !c.closed {
		b := c.out
		c.out, c.flushing = c.spare[:0], len(b)
		for at := 0; at < len(b) && !c.closed; at += step {
			c.mu.Unlock()
			c.Conn.SetWriteDeadline(time.Now().Add(c.b.stall.stall))
			n, err := c.Conn.Write(b[at:min(at+step, len(b))])
			c.b.count.bytesOut.Add(n)
			c.mu.Lock()
			c.flushing -= n
			if err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					c.cut("it took nothing for " + c.b.stall.stall.String())
				}
				c.closed = true
				c.Conn.Close()
			}
			c.changed.Broadcast()
		}
		c.spare = b
	}
	c.flushing = 0
	c.shrink()
	c.changed.Broadcast()
}

// cut ends the connection of a client that is too slow; c.mu is held.
func (c *conn) cut(why string) {
	if c.closed {
		return
	}
	c.closed = true
	c.changed.Broadcast()
	c.Conn.Close()
	c.b.count.slow.Inc()
	if c.b.quiet.allow("slow " + c.remote.String()) {
		c.b.log.Warn("slow client cut", "remote", c.Conn.RemoteAddr().String(), "client", c.clientID(), "reason", why)
	}
}

// begin is called before mochi queues a message for this client. It waits
// while mochi's writer has fallen behind, which Write never lets it do for
// long: mochi would drop the message, of any QoS. Until mochi has stopped the
// client of a closed connection, its writer goes on.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending >= pendingMax {
		if !c.closed {
			c.changed.Wait()
			continue
		}
		if c.client.Closed() {
			break // the session keeps the message
		}
		c.mu.Unlock()
		time.Sleep(time.Millisecond)
		c.mu.Lock()
	}
	c.pending++
	c.begun++
}

// encoded is called when mochi's writer has come to a message.
func (c *conn) encoded(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.pending
	c.pending = max(0, c.pending-n)
	if was >= pendingMax || c.drains {
		c.changed.Broadcast()
	}
}

// drained waits until the messages begun so far have been encoded and little
// waits for the socket. Only the client's own reader may call it: it makes
// nobody else wait.
func (c *conn) drained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drains = true
	for mark := c.begun; !c.closed; {
		if c.begun-uint64(c.pending) >= mark && len(c.out)+c.flushing <= outgoingBytesSoft/2 {
			break
		}
		c.kick()
		c.changed.Wait()
	}
	c.drains = false
}
