package broker

import (
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/mochi-mqtt/server/v2/packets"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline/topics"
)

// User properties of the messages that a link sends, to know them again.
const (
	hopsProperty   = "millrace-hops"   // how many pipelines the message has been through, of any node
	originProperty = "millrace-origin" // the client identifier of the link that sent it
)

// An arrival is a message that came in at QoS 1 and is to be acknowledged.
type arrival struct {
	commit journal.Commit // that the journal has it in; 0 if it is not there and need not be
	id     uint16
}

// receive takes a message from the other broker. While the journal is full it
// waits, and with it the other broker, whose acknowledgements stay away.
func (s *session) receive(p paho.PublishReceived) (bool, error) {
	m := p.Packet
	s.link.count.in.Inc()
	commit, done := s.take(m)
	if !done || m.QoS == 0 {
		return true, nil
	}
	select {
	case s.acks <- arrival{commit, m.PacketID}:
	case <-s.lost.Done():
	}
	return true, nil
}

// take gives a message to the journal if a pipeline wants it. It reports
// false for a message that the other broker is to send again.
func (s *session) take(m *paho.Publish) (commit journal.Commit, done bool) {
	l := s.link
	hop, ours := s.past(m)
	topic := []byte(m.Topic)
	switch {
	case ours:
		l.count.own.Inc()
		return 0, true
	case hop > HopsMax:
		l.count.hops.Inc()
		return 0, true
	case topics.ValidTopic(topic) != nil:
		l.count.topic.Inc()
		return 0, true
	}
	route, keep := l.route(topic)
	if route == 0 { // of a subscription from before, which the other broker remembers
		l.count.unasked.Inc()
		return 0, true
	}
	_, err := l.journal.Append(s.lost, journal.Record{
		Arrived: time.Now().UnixMicro(), Route: route, Keep: keep, Hop: uint8(hop), Topic: topic, Payload: m.Payload,
	})
	switch {
	case err == nil:
		s.mu.Lock()
		s.moved = true
		s.mu.Unlock()
		return l.journal.Last(), true
	case errors.Is(err, journal.ErrTooLarge):
		l.count.oversized.Inc()
		return 0, true
	case m.QoS == 0:
		l.count.full.Inc()
	}
	return 0, false
}

// past tells from a message's properties how many pipelines it has been
// through, and whether it is one that this link has sent.
func (s *session) past(m *paho.Publish) (hop int, ours bool) {
	if m.Properties == nil {
		return 0, false
	}
	for _, p := range m.Properties.User {
		switch p.Key {
		case hopsProperty:
			hop = max(hop, hops(p.Value))
		case originProperty:
			ours = ours || p.Value == s.link.config.ClientID
		}
	}
	return hop, ours
}

// hops reads the value of hopsProperty; it is 0 if it is no number up to 255.
func hops(value string) int {
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil {
		return 0
	}
	return int(n)
}

// hopsOf tells from the user properties of a client's message how many
// pipelines of other nodes it has been through.
func hopsOf(user []packets.UserProperty) int {
	hop := 0
	for _, p := range user {
		if p.Key == hopsProperty {
			hop = max(hop, hops(p.Val))
		}
	}
	return hop
}

// acknowledge acknowledges messages, many at once, when the journal has made
// them as durable as it does [MQTT-4.6.0-2]: in the order they came.
func (s *session) acknowledge() {
	var out []byte
	for {
		var a arrival
		select {
		case a = <-s.acks:
		case <-s.lost.Done():
			return
		}
		last := journal.Commit(0)
		out = out[:0]
		for more := true; more; {
			last = max(last, a.commit)
			out = appendPuback(out, a.id)
			select {
			case a = <-s.acks:
			default:
				more = false
			}
		}
		if last > 0 {
			if err := s.link.journal.Sync(s.lost, last); err != nil {
				s.conn.Close() // they will come again
				return
			}
		}
		s.conn.send(out)
	}
}

// appendPuback appends the acknowledgement of a message; it is the same in
// MQTT 5 and 3.1.1.
func appendPuback(dst []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, typePuback<<4, 2), id)
}

// tooLarge acknowledges and counts a message that is too large to take, else
// it would come again for ever. packet is its beginning, without the length.
func (s *session) tooLarge(packet []byte) {
	s.link.count.oversized.Inc()
	c := cut{rest: packet[1:]}
	c.text()
	id := c.bytes(2)
	if packet[0]&qosFlags != 0 && c.err == nil {
		select {
		case s.acks <- arrival{0, binary.BigEndian.Uint16(id)}:
		case <-s.lost.Done():
		}
	}
}
