package broker

import (
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"millrace.dev/millrace/pipeline/topics"
)

// OnPacketRead sees every packet that mochi has decoded and may change it. An
// error ends the connection.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c.version == 0 {
		return pk, nil
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return h.readPublish(c, pk)
	case packets.Puback, packets.Pubcomp:
		if pk.FixedHeader.Type == packets.Pubcomp {
			c.mayReceive(1)
		}
		c.acknowledged(pk.PacketID)
	case packets.Pubrec:
		if pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
			c.acknowledged(pk.PacketID)
		}
	case packets.Pubrel:
		c.mu.Lock()
		pk.PacketID = c.ids.known(pk.PacketID)
		c.mu.Unlock()
	case packets.Subscribe, packets.Unsubscribe:
		if len(pk.Filters)+cl.State.Subscriptions.Len() > subscriptionsMax && pk.FixedHeader.Type == packets.Subscribe {
			return pk, h.disconnect(c, packets.ErrQuotaExceeded)
		}
		for _, f := range pk.Filters {
			if len(f.Filter) > topics.BytesMax || strings.Count(f.Filter, "/") >= topics.LevelsMax {
				return pk, h.disconnect(c, packets.ErrTopicFilterInvalid)
			}
		}
		pk.PacketID = c.inside(pk.PacketID)
	}
	return pk, nil
}

func (h *hook) readPublish(c *conn, pk packets.Packet) (packets.Packet, error) {
	if pk.Properties.TopicAliasFlag {
		name, ok := c.alias(pk.Properties.TopicAlias, pk.TopicName)
		if !ok {
			return pk, h.disconnect(c, packets.ErrTopicAliasInvalid)
		}
		pk.TopicName, pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = name, 0, false
	}
	qos := pk.FixedHeader.Qos
	c.lastQoS = qos
	if !validTopic(pk.TopicName) || ours(pk.TopicName) && qos > 0 { // to $SYS mochi would not answer at all
		h.b.count.badTopic.Inc()
		return pk, h.disconnect(c, packets.ErrTopicNameInvalid)
	}
	if qos > 0 && pk.PacketID > 0 {
		pk.PacketID = c.inside(pk.PacketID)
	}
	return pk, nil
}

// disconnect tells an MQTT 5 client why and returns what ends the connection.
func (h *hook) disconnect(c *conn, why packets.Code) error {
	if c.version == 5 {
		h.b.server.DisconnectClient(c.client, why)
	}
	if h.b.quiet.allow("disconnected " + c.remote.String()) {
		h.b.log.Warn("client disconnected", "remote", c.Conn.RemoteAddr().String(), "client", c.client.ID, "reason", why.Reason)
	}
	return packets.ErrRejectPacket
}

func (c *conn) inside(id uint16) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids.in(c.client.State.Inflight, id)
}

// alias learns or looks up a topic alias of the client [MQTT-3.3.2-12].
func (c *conn) alias(alias uint16, name string) (string, bool) {
	if alias == 0 || alias > aliasesMax {
		return "", false
	}
	if name == "" {
		name, ok := c.aliases[alias]
		return name, ok
	}
	if c.aliases == nil {
		c.aliases = map[uint16]string{}
	}
	c.aliases[alias] = name
	return name, true
}

// validTopic is topics.ValidTopic, which allocates, for the topics that come
// all the time.
func validTopic(topic string) bool {
	if len(topic) == 0 || len(topic) > topics.BytesMax {
		return false
	}
	levels := 1
	for i := range len(topic) {
		switch b := topic[i]; {
		case b == '/':
			levels++
		case b == '+', b == '#':
			return false
		case b < ' ', b > '~':
			return topics.ValidTopic([]byte(topic)) == nil
		}
	}
	return levels <= topics.LevelsMax
}

// acknowledged makes room for the next messages to the client.
func (c *conn) acknowledged(id uint16) {
	c.mu.Lock()
	c.window.done(id)
	start := !c.releases && c.window.canLetGo()
	if start {
		c.releases = true
	}
	c.mu.Unlock()
	if start {
		c.letGo()
	}
}

// letGo sends waiting messages as long as there is room for them. Who calls
// it has set c.releases.
func (c *conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.releases = false }()
	for {
		next, ok := c.window.next()
		if !ok {
			return
		}
		c.mu.Unlock()
		pk, ok := c.client.State.Inflight.Get(next.id)
		ok = ok && pk.FixedHeader.Type == packets.Publish // else it has expired
		if ok {
			pk.FixedHeader.Dup = next.again // [MQTT-3.3.1-1]
			ok = c.client.WritePacket(pk) == nil
		}
		c.mu.Lock()
		if !ok {
			c.window.done(next.id)
		}
	}
}

// OnPacketEncode may change a packet before it is written; any goroutine
// calls it.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	if c == nil {
		return pk
	}
	if pk.FixedHeader.Type != packets.Publish {
		c.answers.Add(1) // Write will see it
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if !c.isLetGo(pk.PacketID) {
			c.encoded(1)
		}
		if pk.Mods.MaxSize > 0 && pk.FixedHeader.Qos > 0 && uint64(len(pk.Payload)+len(pk.TopicName)+9) > uint64(pk.Mods.MaxSize) {
			cl.State.Inflight.Delete(pk.PacketID) // as if it had been delivered [MQTT-3.1.2-25]
		}
	case packets.Connack:
		if pk.ProtocolVersion == 5 && pk.ReasonCode == 0 {
			pk.Properties.TopicAliasMaximum = aliasesMax
			pk.Properties.MaximumPacketSize = h.b.config.PacketBytesMax
		}
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp, packets.Suback, packets.Unsuback:
		c.follow(&pk)
		c.encodeAck(&pk)
	}
	return pk
}

// follow keeps quota equal to mochi's, which cannot be asked for: a PUBREC or
// PUBREL of ours that says yes takes one away, a PUBCOMP gives one back.
func (c *conn) follow(pk *packets.Packet) {
	if pk.ReasonCode != packets.CodeSuccess.Code {
		return
	}
	switch pk.FixedHeader.Type {
	case packets.Pubrec, packets.Pubrel:
		c.mayReceive(-1)
	case packets.Pubcomp:
		c.mayReceive(1)
	}
}

// mayReceive changes the quota of a client.
func (c *conn) mayReceive(more int) {
	c.quota = max(0, min(c.quota+more, quotaOf(c.version)))
}

// quotaOf returns how many QoS 1 and 2 messages a client may have on the way
// to us. Before MQTT 5 it knows of no Receive Maximum, so they are not counted.
func quotaOf(version byte) int {
	if version < 5 {
		return 65535
	}
	return receiveMax
}

func (c *conn) isLetGo(id uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.window.isLetGo(id)
}

// encodeAck gives an acknowledgement the client's own packet identifier and,
// where mochi errs, the right type and reason. The reader calls it.
func (c *conn) encodeAck(pk *packets.Packet) {
	if pk.FixedHeader.Type == packets.Puback && c.lastQoS == 2 && pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
		pk.FixedHeader.Type = packets.Pubrec
	}
	if pk.FixedHeader.Type == packets.Pubrec && pk.ReasonCode == packets.ErrPacketIdentifierInUse.Code {
		pk.ReasonCode, pk.Properties.ReasonString = 0, "" // a repeated PUBLISH is no mistake
	}
	if pk.FixedHeader.Type == packets.Pubrel {
		return // its identifier is ours
	}
	done := pk.FixedHeader.Type != packets.Pubrec || pk.ReasonCode >= packets.ErrUnspecifiedError.Code
	c.mu.Lock()
	defer c.mu.Unlock()
	pk.PacketID = c.ids.out(pk.PacketID, done)
}
