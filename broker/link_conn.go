package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A linkConn is the socket of a link, under paho. Packets leave it whole, all
// that were written between Lock and Unlock at once; paho locks a connection
// that can be locked around each packet. They come in whole and of limited
// size. With older it speaks MQTT 3.1.1 to the other side and MQTT 5 to paho.
type linkConn struct {
	net.Conn
	older     *older
	frameMax  int                 // bytes of a packet that comes in
	oversized func(packet []byte) // gets the beginning of a larger message

	r     *bufio.Reader
	frame []byte // memory of in
	in    []byte // what Read hands out next

	mu   sync.Mutex
	out  []byte // packets that wait for Unlock
	sent []byte // memory of what older makes of them
	err  error  // why nothing can be written any more
}

func newLinkConn(c net.Conn, frameMax int, oversized func([]byte)) *linkConn {
	return &linkConn{Conn: c, frameMax: frameMax, oversized: oversized, r: bufio.NewReaderSize(c, linkReadBytes)}
}

// Lock begins a packet.
func (c *linkConn) Lock() { c.mu.Lock() }

// Unlock sends what was written since Lock. If that goes wrong, what the other
// side has said may still be read for lastWords: it may be why. Then whoever
// reads hears of the end.
func (c *linkConn) Unlock() {
	defer c.mu.Unlock()
	if len(c.out) == 0 || c.err != nil {
		return
	}
	out := c.out
	c.out = c.out[:0]
	if c.older != nil {
		c.sent, c.err = c.older.down(c.sent[:0], out)
		out = c.sent
	}
	if c.err == nil {
		c.Conn.SetWriteDeadline(time.Now().Add(stallWait))
		_, c.err = c.Conn.Write(out)
	}
	if c.err != nil {
		c.Conn.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// Write takes a part of a packet, or packets, between Lock and Unlock.
func (c *linkConn) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

// send sends whole packets.
func (c *linkConn) send(packets []byte) {
	c.Lock()
	defer c.Unlock()
	c.Write(packets)
}

// broken returns why nothing can be written any more, or nil.
func (c *linkConn) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Read hands out what came in, at most one packet at a time.
func (c *linkConn) Read(p []byte) (int, error) {
	for len(c.in) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

var errLength = errors.New("malformed packet: its length has more than four bytes") // [MQTT-1.5.5-1]

// next reads one packet.
func (c *linkConn) next() error {
	first, err := c.r.ReadByte()
	if err != nil {
		return err
	}
	c.frame = append(c.frame[:0], first)
	length := 0
	for shift := 0; ; shift += 7 {
		b, err := c.r.ReadByte()
		if err != nil {
			return noEnd(err)
		}
		if shift == 21 && b >= 0x80 {
			return errLength
		}
		c.frame = append(c.frame, b)
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	if length > c.frameMax {
		return c.skip(length)
	}
	head := len(c.frame)
	c.frame = append(c.frame, make([]byte, length)...)
	if _, err := io.ReadFull(c.r, c.frame[head:]); err != nil {
		return noEnd(err)
	}
	if c.older == nil {
		c.in = c.frame
		return nil
	}
	c.in, err = c.older.up(c.frame[0], c.frame[head:])
	return err
}

// skip reads over a packet that is too large. A message is told of, so that
// it can be acknowledged and does not come again; MQTT 3.1.1 has no way to
// tell the other side our limit.
func (c *linkConn) skip(length int) error {
	if c.frame[0]>>4 != typePublish {
		return fmt.Errorf("a packet of %d bytes, the most is %d", length, c.frameMax)
	}
	beginning, _ := c.r.Peek(min(length, c.r.Size()))
	c.oversized(append(c.frame[:1], beginning...))
	_, err := io.CopyN(io.Discard, c.r, int64(length))
	return noEnd(err)
}

// noEnd returns err for a connection that ends within a packet.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendPacket appends a packet: its first byte, its length and its body.
func appendPacket(dst []byte, first byte, body []byte) []byte {
	dst = binary.AppendUvarint(append(dst, first), uint64(len(body))) // [MQTT-1.5.5]
	return append(dst, body...)
}
