package broker

import (
	"fmt"
	"reflect"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// SetAccess changes what clients may publish to and subscribe to. They stay
// connected. Subscriptions of theirs, and of sessions whose client is away,
// that are no longer allowed end; so do the messages that wait for who is away
// and may not read them any more. Nil allows everything.
func (b *Broker) SetAccess(access *Access) error {
	if err := access.check(); err != nil {
		return err
	}
	if !b.access.set(access) {
		return nil
	}
	ended := 0
	b.sessions.Lock()
	for _, cl := range b.server.Clients.GetAll() {
		if c := connOf(cl); c != nil && c.who != nil {
			ended += b.endDenied(cl, c.who)
			if cl.Closed() {
				b.forgetDenied(cl, c.who)
			}
		}
	}
	b.sessions.Unlock()
	b.log.Info("access rules changed", "on", access != nil, "subscriptions_ended", ended)
	return nil
}

// set makes access the rules; false says that they have been so before.
func (a *access) set(access *Access) bool {
	old := a.rules.Load()
	if reflect.DeepEqual(old.access, access) {
		return false
	}
	a.rules.Store(&rules{edition: old.edition + 1, access: access})
	return true
}

// endDenied ends the subscriptions of a session that who may not have, and
// returns how many.
func (b *Broker) endDenied(cl *mqtt.Client, who *identity) int {
	ended := 0
	for filter := range cl.State.Subscriptions.GetAll() {
		if b.access.maySubscribe(who, filter) {
			continue
		}
		b.server.Topics.Unsubscribe(filter, cl.ID)
		cl.State.Subscriptions.Delete(filter)
		b.interest.remove(cl.ID, filter)
		ended++
		if b.access.quiet.allow(fmt.Sprint("ended ", cl.ID, " ", filter)) {
			b.log.Warn("subscription ended: it is not allowed any more", "filter", filter, "client", cl.ID, "user", who.user)
		}
	}
	return ended
}

// forgetDenied drops the messages that wait in a session and that who may not read.
func (b *Broker) forgetDenied(cl *mqtt.Client, who *identity) {
	for _, pk := range cl.State.Inflight.GetAll(false) {
		if pk.FixedHeader.Type == packets.Publish && !b.access.mayRead(who, pk.TopicName) {
			cl.State.Inflight.Delete(pk.PacketID)
			b.count.denied[actDeliver].Inc()
		}
	}
}
