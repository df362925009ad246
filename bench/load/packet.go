package load

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Packet types of MQTT 3.1.1, chapter 2.2.1, with the flags they must have.
const (
	TypeConnect   = 0x10
	TypeConnack   = 0x20
	TypePublish   = 0x30
	TypePuback    = 0x40
	TypeSubscribe = 0x82
	TypeSuback    = 0x90
	TypePingreq   = 0xc0
	TypePingresp  = 0xd0
)

// RemainingMax is the most that a packet's remaining length can be [MQTT-2.2.3].
const RemainingMax = 268_435_455

// handshakeMax is how long a broker may take for CONNACK and SUBACK.
const handshakeMax = 30 * time.Second

var errLength = errors.New("malformed remaining length")

// AppendLength appends a remaining length, section 2.2.3.
func AppendLength(dst []byte, n int) []byte {
	for n > 127 {
		dst = append(dst, byte(n)|128)
		n >>= 7
	}
	return append(dst, byte(n))
}

// Length reads the remaining length at the beginning of p; size 0 means that
// there is more to come, and -1 that it is not one.
func Length(p []byte) (n, size int) {
	for i := range min(len(p), 4) {
		n |= int(p[i]&127) << (7 * i)
		if p[i] < 128 {
			return n, i + 1
		}
	}
	if len(p) >= 4 {
		return 0, -1
	}
	return 0, 0
}

func appendText(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

func packet(header byte, body []byte) []byte {
	return append(AppendLength([]byte{header}, len(body)), body...)
}

// AppendPublish appends a PUBLISH; id is used for QoS 1 only.
func AppendPublish(dst []byte, topic string, payload []byte, qos byte, id uint16) []byte {
	n := 2 + len(topic) + len(payload)
	if qos > 0 {
		n += 2
	}
	dst = AppendLength(append(dst, TypePublish|qos<<1), n)
	dst = appendText(dst, topic)
	if qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, id)
	}
	return append(dst, payload...)
}

// connect is a CONNECT with a clean session and no keep-alive.
func connect(id string) []byte {
	body := append(appendText(nil, "MQTT"), 4, 2, 0, 0)
	return packet(TypeConnect, appendText(body, id))
}

func subscribe(filter string, qos byte) []byte {
	return packet(TypeSubscribe, append(appendText([]byte{0, 1}, filter), qos))
}

// A Conn is a connection that has seen its CONNACK.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// Dial connects to a broker as client id.
func Dial(addr, id string) (*Conn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{nc, bufio.NewReaderSize(nc, 256<<10)}
	if err := c.ask(connect(id), TypeConnack, 1); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect %s as %s: %w", addr, id, err)
	}
	return c, nil
}

// Subscribe waits for the SUBACK.
func (c *Conn) Subscribe(filter string, qos byte) error {
	if err := c.ask(subscribe(filter, qos), TypeSuback, 2); err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	return nil
}

// ask sends a packet and reads the answer, whose byte at code says whether
// all is well.
func (c *Conn) ask(p []byte, want byte, code int) error {
	c.SetDeadline(time.Now().Add(handshakeMax))
	defer c.SetDeadline(time.Time{})
	if _, err := c.Write(p); err != nil {
		return err
	}
	header, n, err := c.next()
	if err != nil {
		return err
	}
	body, err := c.r.Peek(n)
	if err != nil {
		return err
	}
	if header != want || n <= code || want == TypeConnack && body[code] != 0 || body[code] >= 128 {
		return fmt.Errorf("broker answers % x to a packet of type %#x", append([]byte{header}, body...), p[0])
	}
	_, err = c.r.Discard(n)
	return err
}

// next reads the header of a packet and how long the rest is.
func (c *Conn) next() (header byte, n int, err error) {
	if header, err = c.r.ReadByte(); err != nil {
		return 0, 0, err
	}
	for shift := 0; shift < 28; shift += 7 {
		b, err := c.r.ReadByte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, 0, err
		}
		n |= int(b&127) << shift
		if b < 128 {
			return header, n, nil
		}
	}
	return 0, 0, errLength
}
