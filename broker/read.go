package broker

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	readBytesMin = 4 << 10  // the buffer of a connection at first
	readBytesMax = 32 << 10 // and at most; it doubles when a read fills it
	headBytesMax = 5        // of a fixed header
)

// The bits of a PUBLISH packet's first byte.
const (
	retainFlag = 1
	qosFlags   = 6
	dupFlag    = 8
)

var (
	errOversized = errors.New("packet too large")
	errNoPacket  = errors.New("not an MQTT packet")
)

// incoming is what has been read from the socket and not been given to mochi.
//
//	buf │ given │ r  here  w │ free │
//
// left counts the bytes of the packet at r that mochi still has to get; 0 if
// a packet begins at r.
type incoming struct {
	buf      []byte
	r, w     int
	left     int
	deadline time.Time // what mochi wants; zero for none
	applied  time.Time // what the socket knows
	renew    bool      // a message was taken here, which mochi does not know
	read     time.Time // when the reader last came back from the socket, or from waiting for the journal
	arrived  int64     // µs since 1970; when the socket gave what is here
}

// Read gives mochi the client's packets, one after another, but for those
// that take has taken. It checks how large each is before mochi sees it.
func (c *conn) Read(p []byte) (int, error) {
	for c.in.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	return c.pass(p)
}

// next reads more, or takes the packet at r, or makes it mochi's.
func (c *conn) next() error {
	in := &c.in
	size, err := packetSize(in.buf[in.r:in.w])
	whole := size > 0 && in.w-in.r >= size
	takes := size > 0 && size <= readBytesMax && size <= int(c.b.config.PacketBytesMax) && c.mayTake(in.buf[in.r])
	if takes && whole && c.take(in.buf[in.r:in.r+size]) {
		in.r += size
		in.renew = true
		return nil
	}
	c.settle()
	switch {
	case err != nil:
		return err
	case size == 0: // the header is not here yet
		return c.fill()
	}
	if err := c.allowed(size); err != nil {
		return err
	}
	if takes && !whole {
		return c.fillTo(size)
	}
	in.left = size
	return nil
}

// pass gives mochi bytes of the packet that is its.
func (c *conn) pass(p []byte) (int, error) {
	in := &c.in
	if in.r < in.w {
		n := copy(p, in.buf[in.r:min(in.w, in.r+in.left)])
		in.r += n
		in.left -= n
		return n, nil
	}
	n, err := c.receive(p[:min(len(p), in.left)])
	in.left -= n
	return n, err
}

// receive reads from the socket.
func (c *conn) receive(p []byte) (int, error) {
	c.ready()
	n, err := c.Conn.Read(p)
	c.blocked.Store(false)
	c.in.read = time.Now()
	c.in.arrived = c.in.read.UnixMicro()
	c.b.count.bytesIn.Add(n)
	return n, err
}

// packetSize returns how many bytes the packet at the beginning of b has, and
// 0 if that is not known yet.
func packetSize(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	if b[1] < 0x80 {
		return 2 + int(b[1]), nil
	}
	n, k := binary.Uvarint(b[1:min(len(b), headBytesMax)])
	switch {
	case k > 0:
		return 1 + k + int(n), nil
	case len(b) >= headBytesMax:
		return 0, errNoPacket // [MQTT-1.5.5-1]
	}
	return 0, nil
}

// allowed refuses packets that are too large: we tell the client why and
// read on for a little, so that it gets to hear it.
func (c *conn) allowed(size int) error {
	most := int(c.b.config.PacketBytesMax)
	if c.version == 0 {
		most = min(most, connectBytesMax)
	}
	if size <= most {
		return nil
	}
	c.b.count.oversized.Inc()
	if c.b.quiet.allow("oversized " + c.remote.String()) {
		c.b.log.Warn("client disconnected: its packet is too large, see broker.max_packet",
			"remote", c.Conn.RemoteAddr().String(), "client", c.clientID(), "bytes", size, "most", most)
	}
	if c.version == 5 {
		c.b.server.DisconnectClient(c.client, packets.ErrPacketTooLarge)
		c.mu.Lock()
		c.kick()
		c.mu.Unlock()
	}
	return errOversized
}

// fill reads more into the buffer, in which there is room for it.
func (c *conn) fill() error { return c.fillTo(c.in.w - c.in.r + 1) }

// fillTo reads until size bytes are in the buffer.
func (c *conn) fillTo(size int) error {
	in := &c.in
	for in.w-in.r < size {
		if in.r > 0 {
			in.w = copy(in.buf, in.buf[in.r:in.w])
			in.r = 0
		}
		if in.w == len(in.buf) {
			in.grow(max(readBytesMin, 2*len(in.buf), size))
		}
		n, err := c.receive(in.buf[in.w:])
		in.w += n
		if in.w == len(in.buf) && in.w < readBytesMax {
			in.grow(2 * in.w)
		}
		if n == 0 && err != nil {
			return err
		}
	}
	return nil
}

func (in *incoming) grow(size int) {
	b := make([]byte, min(size, readBytesMax))
	copy(b, in.buf[:in.w])
	in.buf = b
}

// ready sends what waits and sets the deadline, before the socket is read.
func (c *conn) ready() {
	c.mu.Lock()
	c.blocked.Store(true)
	c.kick()
	c.mu.Unlock()
	in := &c.in
	if in.renew {
		in.renew = false
		if c.keepAlive > 0 {
			in.deadline = in.read.Add(c.keepAlive * 3 / 2) // [MQTT-3.1.2-22]
		}
	}
	if in.deadline.IsZero() != in.applied.IsZero() || in.deadline.Sub(in.applied).Abs() > min(time.Second, c.keepAlive/4) {
		in.applied = in.deadline
		c.Conn.SetReadDeadline(in.deadline)
	}
}

// SetDeadline is for reads; writes have their own. The reader calls it.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.deadline = t
	return nil
}

var _ net.Conn = (*conn)(nil)
