package broker

import (
	"encoding/binary"
	"slices"

	"github.com/mochi-mqtt/server/v2/packets"

	"millrace.dev/millrace/internal/journal"
)

// Most messages of sensors are QoS 0 or 1, for pipelines and for nobody else.
// They need nothing of what mochi does, and its way costs twenty times what
// the journal costs: two copies, structs of 800 bytes handed from hook to hook
// and through a map. So conn takes them out of what it has read. All that is
// unusual, and all that is wrong, goes to mochi: take says yes only when it is
// sure.

// takenMax is how many messages are taken before the journal gets them.
const takenMax = 64

// Taken are messages of the buffer that the journal does not have yet. Before
// anything else happens to the connection, settle gives them to it.
type taken struct {
	records []journal.Record // topics and payloads are views of the buffer
	marks   []mark           // of each record
	acks    []byte           // PUBACK packets, in the order of the messages
	count   int
}

// A mark is what else there is to know about a record.
type mark struct {
	acks int // bytes of acks for messages before it
	qos  byte
}

// mayTake reports whether a packet with that first byte might be taken:
// PUBLISH with QoS 0, or 1 and perhaps DUP, that is not to be retained.
func (c *conn) mayTake(first byte) bool {
	const qos0, qos1 = typePublish << 4, typePublish<<4 | 1<<1
	return c.version != 0 && !c.b.plain && (first == qos0 || first&^dupFlag == qos1)
}

// take takes a PUBLISH that no MQTT client wants and reports whether it did.
// packet is a whole one, for which mayTake.
func (c *conn) take(packet []byte) bool {
	topic, id, payload, ok := cutPublish(packet, c.version == 5)
	if !ok || topic[0] == '$' {
		return false
	}
	known := c.known.of(c.b, c.who, topic)
	if known == nil || known.wanted || known.denied {
		return false
	}
	qos := packet[0] & qosFlags >> 1
	if qos > 0 && !c.mayAcknowledge(id) {
		return false
	}
	t := &c.taken
	t.count++
	if known.route != 0 {
		t.records = append(t.records, journal.Record{Arrived: c.in.arrived, Route: known.route, Keep: known.keep, Topic: topic, Payload: payload})
		t.marks = append(t.marks, mark{len(t.acks), qos})
	}
	if qos > 0 {
		t.acks = append(t.acks, typePuback<<4, 2, byte(id>>8), byte(id))
	}
	if t.count == takenMax {
		c.settle()
	}
	return true
}

// cutPublish returns what a PUBLISH without properties says; id is 0 at QoS 0.
// It is not ok if there are properties, which ask for more than we do here, or
// if something is wrong.
func cutPublish(packet []byte, v5 bool) (topic []byte, id uint16, payload []byte, ok bool) {
	_, k := binary.Uvarint(packet[1:])
	rest := packet[1+k:]
	if len(rest) < 2 {
		return nil, 0, nil, false
	}
	n := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; n == 0 || n > len(rest) {
		return nil, 0, nil, false
	}
	topic, rest = rest[:n], rest[n:]
	if packet[0]&qosFlags > 0 {
		if len(rest) < 2 {
			return nil, 0, nil, false
		}
		if id = binary.BigEndian.Uint16(rest); id == 0 { // [MQTT-2.2.1-3]
			return nil, 0, nil, false
		}
		rest = rest[2:]
	}
	if v5 {
		if len(rest) == 0 || rest[0] != 0 {
			return nil, 0, nil, false
		}
		rest = rest[1:]
	}
	return topic, id, rest, true
}

// mayAcknowledge reports whether mochi would answer a QoS 1 message with a
// plain PUBACK, and we may: the client's Receive Maximum is kept, its
// identifier is not that of a QoS 2 message under way, and no answer of
// mochi's is still to be written, which ours would overtake.
func (c *conn) mayAcknowledge(id uint16) bool {
	if c.quota <= 0 || c.answers.Load() > 0 {
		return false
	}
	if most := c.client.Properties.Props.MaximumPacketSize; most > 0 && most < pubackBytes {
		return false
	}
	messages := c.client.State.Inflight
	if messages.Len() == 0 {
		return true
	}
	c.mu.Lock()
	id = c.ids.known(id)
	c.mu.Unlock()
	pk, ok := messages.Get(id)
	return !ok || pk.FixedHeader.Type == packets.Publish || pk.FixedHeader.Type == packets.Pubrel // ours, not the client's
}

// settle gives the journal what has been taken, waits until it is as durable
// as the journal makes it, and acknowledges it. A QoS 1 message that the
// journal does not take ends the connection, with no acknowledgement for it or
// those behind it: the client will come back and send them again.
func (c *conn) settle() {
	t := &c.taken
	if t.count == 0 {
		return
	}
	c.b.count.messagesIn.Add(t.count)
	acks := len(t.acks)
	fail := func(i int, err error) {
		c.topic = append(c.topic[:0], t.records[i].Topic...)
		c.b.lost(c, err)
		if t.marks[i].qos > 0 {
			acks = min(acks, t.marks[i].acks)
		}
	}
	for i := 0; i < len(t.records); {
		n, err := c.b.append(c, t.records[i:])
		if i += n; err != nil {
			fail(i, err)
			i++
		}
	}
	if acks > 0 && slices.ContainsFunc(t.records, isDurable) {
		if err := c.b.journal.Sync(c.b.closing, c.b.journal.Last()); err != nil {
			for i := range t.records {
				if t.marks[i].qos > 0 {
					fail(i, err)
				}
			}
		}
	}
	c.acknowledge(t.acks[:acks])
	if acks < len(t.acks) {
		c.Close()
	}
	clear(t.records)
	*t = taken{records: t.records[:0], marks: t.marks[:0], acks: t.acks[:0]}
}

// isDurable reports whether a message is acknowledged only when it is on disk.
func isDurable(r journal.Record) bool { return r.Keep == journal.Durable }

// acknowledge puts acknowledgements with what waits for the socket.
func (c *conn) acknowledge(acks []byte) {
	if len(acks) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.out = append(c.out, acks...)
		c.push(false)
	}
}
