package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline/topics"
)

// What OnPublish answers: mochi acknowledges the message and does no more, or
// not even that.
var (
	acknowledgeOnly error = packets.CodeSuccessIgnore
	answerNothing   error = packets.ErrRejectPacket
)

// OnPublish is called for a valid message of a client before it is
// acknowledged and handed to subscribers. If nobody subscribes, mochi is
// spared looking for them.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil {
		return pk, nil // from Publish
	}
	b := h.b
	b.count.messagesIn.Inc()
	if c.denied {
		return pk, acknowledgeOnly
	}
	c.topic = append(c.topic[:0], pk.TopicName...)
	hop := hopsOf(pk.Properties.User)
	if hop > HopsMax {
		b.count.hopsRefused.Inc()
		return pk, acknowledgeOnly
	}
	known := c.known.of(b, c.who, c.topic)
	r := journal.Record{Arrived: c.in.arrived, Route: known.route, Keep: known.keep, Hop: uint8(hop), Topic: c.topic, Payload: pk.Payload}
	if err := b.ingest(c, r, pk.FixedHeader.Qos); err != nil {
		b.lost(c, err)
		if pk.FixedHeader.Qos > 0 {
			c.Close() // it will come back and send again what was not acknowledged
			return pk, answerNothing
		}
	}
	if !pk.FixedHeader.Retain && !known.wanted {
		return pk, acknowledgeOnly
	}
	b.count.fanouts.Inc()
	if pk.FixedHeader.Qos > 0 {
		b.makeRoom(pk.TopicName, c) // or it is dropped, and counted, for who is full
	}
	c.lockSessions(holdsRead)
	return pk, nil
}

// OnPacketProcessed is called when mochi has done all that a packet asks for.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	c := connOf(cl)
	if c == nil {
		return
	}
	if c.holds == holdsRead {
		c.release()
	}
	switch pk.FixedHeader.Type {
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		c.roomMade()
	}
}

// ingest gives a message to the journal if pipelines want it. While the
// journal is full it waits, so that the client that publishes has to wait. A
// QoS 1 or 2 message is as durable as the journal makes it when ingest returns.
// c is the connection whose reader calls, or nil.
func (b *Broker) ingest(c *conn, r journal.Record, qos byte) error {
	if r.Route == 0 {
		return nil
	}
	one := [1]journal.Record{r}
	if _, err := b.append(c, one[:]); err != nil || qos == 0 || !isDurable(r) {
		return err
	}
	return b.journal.Sync(b.closing, b.journal.Last())
}

// append gives messages to the journal, until it has waited for room once. It
// returns how many went in, and why the one behind them never will. c is as
// for ingest.
func (b *Broker) append(c *conn, records []journal.Record) (n int, err error) {
	for n < len(records) && err == nil {
		if _, err = b.journal.TryAppend(records[n]); err == nil {
			n++
		}
	}
	b.count.ingested.Add(n)
	if err == journal.ErrFull {
		if _, err = b.waitAppend(c, records[n]); err == nil {
			b.count.ingested.Inc()
			n++
		}
	}
	return n, err
}

// waitAppend appends a message when there is room.
func (b *Broker) waitAppend(c *conn, r journal.Record) (uint64, error) {
	if c != nil {
		c.waits(true)
		defer c.waits(false)
		defer func() { c.in.read = time.Now() }() // it could not show meanwhile that it lives
	}
	return b.journal.Append(b.closing, r)
}

// lost counts and tells that the journal did not take a client's message.
func (b *Broker) lost(c *conn, err error) {
	b.count.droppedJournal.Inc()
	if b.closing.Err() == nil && !errors.Is(err, journal.ErrClosed) && b.quiet.allow("journal "+c.remote.String()) {
		b.log.Error("message not taken", "remote", c.Conn.RemoteAddr().String(), "client", c.clientID(), "topic", string(c.topic), "error", err)
	}
}

// nowhere is the topic of a last will that is not to be sent: mochi sends it.
const nowhere = "$nowhere"

// OnWill is called before the last will of a client is published, or noted
// to be published later.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	c := connOf(cl)
	if c != nil && !h.b.access.mayPublish(c.who, []byte(will.TopicName)) { // not any more
		h.b.denied(c, c.who, actWill, will.TopicName)
		return mqtt.Will{TopicName: nowhere}, nil
	}
	if c != nil && will.WillDelayInterval == 0 {
		c.lockSessions(holdsRead)
	}
	return will, nil
}

// OnWillSent is called when subscribers have got a last will, by the reader
// or, if it was delayed, by mochi's timer.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	c := connOf(cl)
	if c != nil && pk.Connect.WillProperties.WillDelayInterval == 0 {
		c.release()
	}
	if pk.TopicName == nowhere {
		return
	}
	r := journal.Record{Arrived: time.Now().UnixMicro(), Topic: []byte(pk.TopicName), Payload: pk.Payload}
	r.Route, r.Keep = h.b.route(r.Topic)
	if err := h.b.ingest(nil, r, 0); err != nil && c != nil {
		h.b.lost(c, err)
	}
}

// Publish sends a message of ours to the MQTT clients that subscribe and back
// to the pipelines that want its topic. hop is how many pipelines it has been
// through, at most HopsMax. Any number of goroutines may publish; topic and
// payload are free again when Publish returns. If the journal stays full for
// 5 s, or the session of a connected client does, nothing is published and the
// error wraps journal.ErrFull. Once the journal is closed clients still get the
// message; where a pipeline wanted it, the error wraps journal.ErrClosed.
func (b *Broker) Publish(topic, payload []byte, qos byte, retain bool, hop uint8) error {
	return b.PublishWith(topic, payload, qos, retain, hop, nil)
}

// PublishWith is Publish with properties for clients that speak MQTT 5; nil
// for none. They are the caller's again when it returns.
func (b *Broker) PublishWith(topic, payload []byte, qos byte, retain bool, hop uint8, with *topics.Properties) error {
	name := string(topic)
	switch {
	case hop > HopsMax:
		b.count.hopsRefused.Inc()
		return fmt.Errorf("broker: publish to %s: the message has been through %d pipelines, the most is %d\n\thint: a pipeline's results reach its own input", name, hop, HopsMax)
	case qos > 2:
		return fmt.Errorf("broker: publish to %s: there is no QoS %d", name, qos)
	case !validTopic(name):
		return fmt.Errorf("broker: publish to %q: %w", name, topics.ValidTopic(topic))
	case ours(name):
		return fmt.Errorf("broker: publish to %s: topics with $ are the broker's own", name)
	}
	wanted := b.interest.any(name)
	if wanted && qos > 0 {
		if err := b.makeRoom(name, nil); err != nil {
			return fmt.Errorf("broker: publish to %s: %w", name, err)
		}
	}
	b.count.published.Inc()
	var closed error // no pipeline takes anything more: clients still get what a drain brings
	if route, keep := b.route(topic); route != 0 {
		err := b.feedBack(journal.Record{Arrived: time.Now().UnixMicro(), Route: route, Keep: keep, Hop: hop, Topic: topic, Payload: payload})
		switch {
		case errors.Is(err, journal.ErrClosed):
			closed = fmt.Errorf("broker: publish to %s: %w", name, err)
		case err != nil:
			return fmt.Errorf("broker: publish to %s: %w", name, err)
		}
	}
	if !retain && !wanted {
		return closed
	}
	b.count.fanouts.Inc()
	b.sessions.RLock()
	defer b.sessions.RUnlock()
	err := b.server.InjectPacket(b.self, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: retain},
		TopicName:   name,
		Payload:     payload,     // mochi copies it for each subscriber
		PacketID:    uint16(qos), // not 0, if qos is not
		Properties:  propertiesOf(with),
	})
	if err != nil {
		return fmt.Errorf("broker: publish to %s: %w", name, err)
	}
	return closed
}

// propertiesOf returns properties as mochi has them.
func propertiesOf(p *topics.Properties) packets.Properties {
	if p == nil {
		return packets.Properties{}
	}
	to := packets.Properties{ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, MessageExpiryInterval: p.Expiry}
	for _, u := range p.User {
		to.User = append(to.User, packets.UserProperty{Key: u.Name, Val: u.Value})
	}
	return to
}

// feedBack appends a message of ours. It does not wait for ever for room: the
// pipeline that would make room may be the one that waits for us.
func (b *Broker) feedBack(r journal.Record) error {
	_, err := b.journal.TryAppend(r)
	if err == journal.ErrFull {
		ctx, cancel := context.WithTimeoutCause(b.closing, publishWait, journal.ErrFull)
		defer cancel()
		if _, err = b.journal.Append(ctx, r); err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		b.count.ingested.Inc()
	}
	return err
}

// text returns the bytes as a string that is valid as long as they stay.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
