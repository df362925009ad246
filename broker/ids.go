package broker

import (
	"maps"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// ids keeps packet identifiers of the two directions apart: a client's
// PUBLISH 7 has nothing to do with our PUBLISH 7 to it [MQTT-2.2.1-4], but
// mochi keeps both in one map. An identifier of the client that is taken by a
// message to it gets another number on the way into mochi.
type ids struct {
	inside map[uint16]uint16 // the client's → mochi's
	client map[uint16]uint16 // the opposite
	last   uint16
}

// The numbers that stand for identifiers of clients. Messages to clients get
// theirs from 1 upwards.
const (
	standInMin = 49152
	standInMax = 65535
)

// in returns the identifier that mochi gets for the client's.
func (m *ids) in(messages *mqtt.Inflight, id uint16) uint16 {
	if a, ok := m.inside[id]; ok {
		return a
	}
	if !isToClient(messages, id) {
		return id
	}
	if m.inside == nil {
		m.inside, m.client = map[uint16]uint16{}, map[uint16]uint16{}
	}
	for range standInMax - standInMin + 1 {
		if m.last--; m.last < standInMin {
			m.last = standInMax
		}
		if _, taken := m.client[m.last]; taken {
			continue
		}
		if _, taken := messages.Get(m.last); taken {
			continue
		}
		m.inside[id], m.client[m.last] = m.last, id
		return m.last
	}
	return id // all are taken: receiveMax does not let it come so far
}

// known returns the identifier that mochi got before.
func (m *ids) known(id uint16) uint16 {
	if a, ok := m.inside[id]; ok {
		return a
	}
	return id
}

// out returns the client's identifier for mochi's; done frees the number.
func (m *ids) out(id uint16, done bool) uint16 {
	original, ok := m.client[id]
	if !ok {
		return id
	}
	if done {
		delete(m.client, id)
		delete(m.inside, original)
	}
	return original
}

func isToClient(messages *mqtt.Inflight, id uint16) bool {
	pk, ok := messages.Get(id)
	return ok && (pk.FixedHeader.Type == packets.Publish || pk.FixedHeader.Type == packets.Pubrel)
}

func (m *ids) clone() ids {
	return ids{maps.Clone(m.inside), maps.Clone(m.client), m.last}
}
