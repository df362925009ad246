package broker

import (
	"cmp"
	"slices"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// OnSessionEstablish is called before a client takes over the session that
// its identifier may have. While it does, no message goes to any session:
// mochi copies what waits, and what came after the copy would be lost.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	c := connOf(cl)
	c.lockSessions(holdsWrite)
	old, ok := h.b.server.Clients.Get(cl.ID)
	if !ok || pk.Connect.Clean {
		return
	}
	h.b.forgetDenied(old, c.who)
	inOrder(old.State.Inflight)
	if o := connOf(old); o != nil {
		o.mu.Lock()
		kept := o.ids
		o.mu.Unlock()
		c.mu.Lock()
		c.ids = kept.clone()
		c.mu.Unlock()
	}
}

// OnSessionEstablished is called when the session is the client's.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	h.b.endDenied(cl, c.who)
	setQuotas(cl)
	c.quota = quotaOf(c.version)
	c.release()
}

// OnDisconnect is called before mochi asks whether the session has been taken
// over and, if not, ends it: it must not be taken over in between. serve
// gives the lock back.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	if c := connOf(cl); c != nil {
		c.lockSessions(holdsRead)
	}
}

// OnClientExpired ends a session whose client did not come back; mochi leaves
// its subscriptions to the next client of that name.
func (h *hook) OnClientExpired(cl *mqtt.Client) {
	cl.ClearInflights()
	h.b.server.UnsubscribeClient(cl)
}

// setQuotas switches mochi's window to the client off, which stops for ever
// when it was full once; ours is in window.
func setQuotas(cl *mqtt.Client) {
	cl.State.Inflight.ResetSendQuota(0)
	if cl.Properties.ProtocolVersion < 5 {
		cl.State.Inflight.ResetReceiveQuota(int32(quotaOf(cl.Properties.ProtocolVersion)))
	}
}

// inOrder makes mochi send the messages of a session in the order in which
// they came, which is that of their second and, within it, of their packet
// identifiers. mochi sorts by Created, modulo 65,536 seconds, and by nothing
// else.
func inOrder(messages *mqtt.Inflight) {
	all := messages.GetAll(false)
	slices.SortStableFunc(all, func(a, b packets.Packet) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.PacketID, b.PacketID))
	})
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].Created == all[from].Created {
			to++
		}
		unwrap(all[from:to])
		from = to
	}
	now := time.Now().Unix()
	base := now &^ 0xffff
	if now-base <= int64(len(all)) {
		base -= 0x10000 // so that what comes from now on is younger
	}
	for i := range all {
		all[i].Created = base + int64(i)
		messages.Set(all[i])
	}
}

// unwrap rotates messages, sorted by packet identifier, so that they begin
// after the widest gap: identifiers go up and begin again at 1.
func unwrap(sorted []packets.Packet) {
	first, widest := 0, int(sorted[0].PacketID)+65535-int(sorted[len(sorted)-1].PacketID)
	for i := 1; i < len(sorted); i++ {
		if gap := int(sorted[i].PacketID) - int(sorted[i-1].PacketID); gap > widest {
			first, widest = i, gap
		}
	}
	rotated := slices.Concat(sorted[first:], sorted[:first])
	copy(sorted, rotated)
}
