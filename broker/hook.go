package broker

import (
	"strings"
	"time"
	"unsafe"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"millrace.dev/millrace/pipeline/topics"
)

// hook is where mochi asks and tells us. mochi calls it in the reader of the
// client it is about, unless a method says otherwise. There is one hook,
// because each one more costs a copy of every packet.
type hook struct {
	mqtt.HookBase
	b *Broker
}

// ID implements mqtt.Hook.
func (h *hook) ID() string { return "millrace" }

// Provides implements mqtt.Hook.
func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck,
		mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired,
		mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketProcessed,
		mqtt.OnPublish, mqtt.OnPublishDropped, mqtt.OnRetainPublished,
		mqtt.OnSubscribe, mqtt.OnSubscribed, mqtt.OnUnsubscribed,
		mqtt.OnWill, mqtt.OnWillSent:
		return true
	}
	return false
}

// OnConnect checks what mochi does not and sets its switches.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connOf(cl)
	c.client = cl
	if len(cl.ID) > clientIDBytesMax {
		return h.refuse(cl, packets.ErrClientIdentifierNotValid)
	}
	if cl.State.Keepalive > keepAliveMax {
		cl.State.Keepalive, cl.State.ServerKeepalive = keepAliveMax, true
	}
	c.keepAlive = time.Duration(cl.State.Keepalive) * time.Second
	props := &cl.Properties.Props
	if props.ReceiveMaximum > 0 {
		c.window.max = int(pk.Properties.ReceiveMaximum)
	}
	props.ReceiveMaximum = 0
	props.TopicAliasMaximum = 0 // mochi would use aliases of a connection on the next one
	cl.State.TopicAliases.Outbound = mqtt.NewOutboundTopicAliases(0)
	setQuotas(cl)
	l := login{remote: c.remote, given: pk.Connect.UsernameFlag, name: string(pk.Connect.Username), password: pk.Connect.Password}
	who, code := h.b.identify(c, cl, l)
	if code != packets.CodeSuccess {
		return h.refuse(cl, code)
	}
	c.who = who
	w := &cl.Properties.Will
	if w.Flag == 1 {
		if ours(w.TopicName) || topics.ValidTopic([]byte(w.TopicName)) != nil {
			return h.refuse(cl, packets.ErrTopicNameInvalid)
		}
		if cl.Properties.ProtocolVersion == 5 {
			w.WillDelayInterval = min(w.WillDelayInterval, props.SessionExpiryInterval) // [MQTT-3.1.3-9]
		}
	}
	return nil
}

func (h *hook) refuse(cl *mqtt.Client, code packets.Code) error {
	h.b.server.SendConnack(cl, code, false, nil)
	return code
}

// OnConnectAuthenticate lets in whom OnConnect has not refused.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	connOf(cl).version = cl.Properties.ProtocolVersion
	return true
}

// OnACLCheck says whether a client may publish to a topic or subscribe to a
// filter. Any goroutine calls it before each message to a client, too.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c := connOf(cl)
	switch {
	case write && ours(topic):
		return false
	case write:
		return h.mayPublish(c, topic)
	case c == nil:
		return true
	case c.subscribing.Load() && c.isFilter(topic):
		return h.maySubscribe(c, topic)
	case !h.b.access.mayRead(c.who, topic):
		h.b.count.denied[actDeliver].Inc()
		return false
	}
	if !h.b.mayQueue(c, cl) {
		h.b.count.droppedSession.Inc()
		return false
	}
	c.begin()
	return true
}

// mayPublish asks the rules. To MQTT 3.1.1 mochi cannot say no but by cutting
// the client, so OnPublish drops its message.
func (h *hook) mayPublish(c *conn, topic string) bool {
	c.denied = !h.b.access.mayPublish(c.who, []byte(topic))
	if c.denied {
		h.b.denied(c, c.who, actPublish, topic)
	}
	return !c.denied || c.version < 5
}

func (h *hook) maySubscribe(c *conn, filter string) bool {
	if h.b.access.maySubscribe(c.who, filter) {
		return true
	}
	h.b.denied(c, c.who, actSubscribe, filter)
	return false
}

// ours reports whether only the broker may publish to a topic.
func ours(topic string) bool { return strings.HasPrefix(topic, "$") }

// OnPublishDropped is called, by any goroutine, when mochi has no room for a
// message to a client.
func (h *hook) OnPublishDropped(cl *mqtt.Client, _ packets.Packet) {
	h.b.count.droppedSlow.Inc()
	if c := connOf(cl); c != nil {
		c.encoded(1)
	}
}

// OnRetainPublished is called after each retained message to a subscriber,
// who may have subscribed to more than its socket takes at once.
func (h *hook) OnRetainPublished(cl *mqtt.Client, _ packets.Packet) {
	if c := connOf(cl); c != nil {
		c.drained()
	}
}

// OnSubscribe is called before the filters of a SUBSCRIBE are looked at.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	connOf(cl).subscribe(pk.Filters)
	return pk
}

// OnSubscribed is called when the granted filters are in place.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	for i, s := range pk.Filters {
		if codes[i] <= 2 {
			h.b.interest.add(cl.ID, s.Filter)
		}
	}
	connOf(cl).subscribe(nil)
}

func (c *conn) subscribe(filters packets.Subscriptions) {
	c.mu.Lock()
	c.filters = filters
	c.mu.Unlock()
	c.subscribing.Store(filters != nil)
}

// isFilter reports whether OnACLCheck is asked about a filter of the
// SUBSCRIBE under way, and not about a message whose topic may read the same:
// mochi hands the very string of the packet on.
func (c *conn) isFilter(s string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.filters {
		if f := c.filters[i].Filter; len(f) == len(s) && unsafe.StringData(f) == unsafe.StringData(s) {
			return true
		}
	}
	return false
}

// OnUnsubscribed is called, by any goroutine, when filters are gone.
func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	for _, s := range pk.Filters {
		if _, still := cl.State.Subscriptions.Get(s.Filter); !still {
			h.b.interest.remove(cl.ID, s.Filter)
		}
	}
}
