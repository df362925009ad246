package broker

import (
	"hash/maphash"

	"millrace.dev/millrace/internal/journal"
)

// knownMax is how many topics of a connection are remembered. A sensor has
// one; a gateway with more than this finds some of them out again and again.
const knownMax = 64

// Known is what has been found out about the topics that a connection
// publishes to. It belongs to the reader.
type known struct{ topics []knownTopic }

// A knownTopic is valid while neither subscriptions nor pipelines nor access
// rules change.
type knownTopic struct {
	name     []byte // empty: nothing is known here
	route    uint32
	keep     journal.Durability // of a message to it, if there is a route
	wanted   bool               // by an MQTT client
	denied   bool               // the client may not publish to it
	rules    uint64             // the edition of access rules that this is about
	interest uint64             // the state of subscriptions that this is about
	edition  uint64             // and that of pipelines
}

// of returns what there is to know about a topic, or nil if it is not valid.
// The answer stays right until of is called again.
func (k *known) of(b *Broker, who *identity, topic []byte) *knownTopic {
	t := k.place(b, topic)
	same := string(t.name) == string(topic) && len(topic) > 0
	interest, edition, rules := b.interest.state.Load(), b.edition(), b.access.edition() // before what they are about
	if same && t.interest == interest && t.edition == edition && t.rules == rules {
		return t
	}
	if !same {
		if !validTopic(text(topic)) {
			return nil
		}
		t.name = append(t.name[:0], topic...)
	}
	t.interest, t.edition, t.rules = interest, edition, rules
	t.denied = !b.access.mayPublish(who, topic)
	t.route, t.keep = b.route(topic)
	t.wanted = b.interest.any(text(topic))
	return t
}

// place returns where a topic is remembered, alone or instead of another. The
// table begins with one place.
func (k *known) place(b *Broker, topic []byte) *knownTopic {
	if len(k.topics) == 0 {
		k.topics = make([]knownTopic, 1)
	}
	if len(k.topics) == 1 {
		if t := &k.topics[0]; len(t.name) == 0 || string(t.name) == string(topic) {
			return t
		}
		k.topics = make([]knownTopic, knownMax)
	}
	return &k.topics[maphash.Bytes(b.seed, topic)%knownMax]
}
