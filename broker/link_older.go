package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The types of packets that a link has to do with, beside those above.
const (
	typePuback    = 4
	typeSubscribe = 8
	typeSuback    = 9
	typePingreq   = 12
	typePingresp  = 13
)

// older translates between the MQTT 5 that paho speaks and the MQTT 3.1.1 of
// an older broker, for the packets that a link uses. Properties are left out
// on the way down; on the way up there are none.
//
//	paho ── CONNECT v5, PUBLISH with properties ──▶ down ──▶ CONNECT v4, PUBLISH ──▶ older broker
//	     ◀── CONNACK, SUBACK with reason codes ──── up  ◀── CONNACK, SUBACK ────────
type older struct{}

var (
	errPacketShort = errors.New("malformed packet: it ends too early")
	errPacketLong  = errors.New("malformed packet: it goes on after its end")
)

// A cut takes a packet's body apart. After a mistake all that follows is empty.
type cut struct {
	rest []byte
	err  error
}

func (c *cut) bytes(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.err = nil, errPacketShort
		return make([]byte, max(0, min(n, 10))) // numbers in it are 0
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

// text takes a text with its length before it, and returns both.
func (c *cut) text() []byte {
	if len(c.rest) < 2 {
		return c.bytes(2)
	}
	return c.bytes(2 + int(binary.BigEndian.Uint16(c.rest)))
}

// properties takes the properties of MQTT 5 [MQTT-2.2.2].
func (c *cut) properties() {
	n, k := binary.Uvarint(c.rest)
	if k <= 0 || k > 4 || n > uint64(len(c.rest)) {
		c.rest, c.err = nil, errPacketShort
		return
	}
	c.bytes(k + int(n))
}

func (c *cut) end() error {
	if c.err == nil && len(c.rest) > 0 {
		return errPacketLong
	}
	return c.err
}

// down appends to dst what whole packets of MQTT 5 are in MQTT 3.1.1.
func (o older) down(dst, packets []byte) ([]byte, error) {
	for len(packets) > 0 {
		n, k := binary.Uvarint(packets[1:])
		if k <= 0 || n > uint64(len(packets)-1-k) {
			return dst, errPacketShort
		}
		end := 1 + k + int(n)
		body, err := o.downOne(packets[0], packets[1+k:end])
		if err != nil {
			return dst, err
		}
		dst = appendPacket(dst, packets[0], body)
		packets = packets[end:]
	}
	return dst, nil
}

// downOne returns the body of a packet in MQTT 3.1.1.
func (older) downOne(first byte, body []byte) ([]byte, error) {
	c := cut{rest: body}
	var out []byte
	switch first >> 4 {
	case typeConnect:
		head := append(out, c.bytes(10)...) // name, version, flags, keep alive
		head[6] = 4                         // the version [MQTT-3.1.2-2 of 3.1.1]
		c.properties()
		out = append(head, c.rest...) // a link has no will, so no more properties
	case typePublish:
		out = append(out, c.text()...)
		if first&qosFlags != 0 {
			out = append(out, c.bytes(2)...)
		}
		c.properties()
		out = append(out, c.rest...)
	case typePuback:
		out = c.bytes(2)
	case typeSubscribe:
		out = append(out, c.bytes(2)...)
		c.properties()
		for len(c.rest) > 0 && c.err == nil {
			out = append(out, c.text()...)
			out = append(out, c.bytes(1)[0]&3)
		}
	case typePingreq, typeDisconnect:
	default:
		return nil, fmt.Errorf("packet of type %d has no form in MQTT 3.1.1", first>>4)
	}
	return out, c.err
}

// refusals are the reason codes of MQTT 5 for the return codes of a CONNACK.
var refusals = [...]byte{0, 0x84, 0x85, 0x88, 0x86, 0x87}

// up returns a whole packet of MQTT 5 for one of MQTT 3.1.1. Packets that a
// link has not asked for are an error.
func (older) up(first byte, body []byte) ([]byte, error) {
	c := cut{rest: body}
	var out []byte
	switch first >> 4 {
	case typeConnack:
		b := c.bytes(2)
		reason := byte(0x80)
		if int(b[1]) < len(refusals) {
			reason = refusals[b[1]]
		}
		out = append(out, b[0], reason, 0)
	case typePublish:
		out = append(out, c.text()...)
		switch first & qosFlags >> 1 {
		case 0:
		case 1:
			out = append(out, c.bytes(2)...)
		default:
			return nil, fmt.Errorf("a message with QoS %d, the most we asked for is %d", first&qosFlags>>1, linkQoSMax)
		}
		out = append(append(out, 0), c.rest...)
		c.rest = nil
	case typePuback:
		out = c.bytes(2)
	case typeSuback:
		out = append(append(out, c.bytes(2)...), 0)
		out = append(out, c.rest...)
		c.rest = nil
	case typePingresp:
	default:
		return nil, fmt.Errorf("an unexpected packet of type %d", first>>4)
	}
	return appendPacket(nil, first, out), c.end()
}
