package broker

import "encoding/binary"

// Most messages of sensors are QoS 0 for pipelines and for nobody else. They
// need nothing of what mochi does, and its way costs twenty times what the
// journal costs: two copies, a struct of 800 bytes handed from hook to hook.
// So conn takes them out of what it has read. All that is unusual, and all
// that is wrong, goes to mochi: take says yes only when it is sure.

// mayTake reports whether a packet with that first byte might be taken.
func (c *conn) mayTake(first byte) bool {
	return c.version != 0 && !c.b.plain && first&^dupFlag == typePublish<<4 && first&dupFlag == 0
}

// take ingests a QoS 0 PUBLISH that no MQTT client wants and reports whether
// it did. packet is a whole one.
func (c *conn) take(packet []byte) bool {
	_, k := binary.Uvarint(packet[1:])
	rest := packet[1+k:]
	if len(rest) < 2 {
		return false
	}
	n := int(binary.BigEndian.Uint16(rest))
	rest = rest[2:]
	if n > len(rest) {
		return false
	}
	topic, payload := rest[:n], rest[n:]
	if c.version == 5 { // properties ask for more than we do here
		if len(payload) == 0 || payload[0] != 0 {
			return false
		}
		payload = payload[1:]
	}
	name := text(topic)
	if !validTopic(name) || topic[0] == '$' || c.b.interest.any(name) {
		return false
	}
	c.b.count.messagesIn.Inc()
	if err := c.b.ingest(topic, payload, 0, 0); err != nil {
		c.topic = append(c.topic[:0], topic...)
		c.b.lost(c, err)
	}
	return true
}
