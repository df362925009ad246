package broker

import (
	"context"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Why a client may not connect, as far as the answer to it depends on it.
const (
	refusedOwner = "its client identifier belongs to another user's session"
	refusedWaits = "too many wrong passwords from its address; it has to wait"
	refusedWill  = "it may not publish to the topic of its last will"
)

// identify finds out who a client is that wants to connect, and whether it
// may, with its last will. If not, the reason is logged and counted, and the
// code is the answer to the client; else it is packets.CodeSuccess. Checking
// a password takes some tenths of a second the first time.
func (b *Broker) identify(c *conn, cl *mqtt.Client, l login) (*identity, packets.Code) {
	why := b.access.refuses(b.closing, l)
	who := &identity{user: b.access.userOf(l), name: l.name, client: cl.ID, local: l.remote.IsLoopback()}
	if owner := b.ownerOf(cl.ID); why == "" && owner != nil && !owner.owns(who) {
		why = refusedOwner
	}
	if w := &cl.Properties.Will; why == "" && w.Flag == 1 && !b.access.mayPublish(who, []byte(w.TopicName)) {
		b.denied(c, who, actWill, w.TopicName)
		why = refusedWill
	}
	if why != "" {
		b.loginRefused(c, l, why)
		return nil, refusal(why, cl.Properties.ProtocolVersion)
	}
	if who.user != "" && b.access.quiet.allow("login "+who.user+" "+who.client) {
		b.log.Info("login", "remote", c.Conn.RemoteAddr().String(), "client", who.client, "user", who.user)
	}
	return who, packets.CodeSuccess
}

// ownerOf returns whose session has a client identifier; nil if there is none.
func (b *Broker) ownerOf(client string) *identity {
	if cl, ok := b.server.Clients.Get(client); ok {
		if c := connOf(cl); c != nil {
			return c.who
		}
	}
	return nil
}

// owns reports whether a session of who is other's, too.
func (who *identity) owns(other *identity) bool {
	return who.user == other.user && (who.user != "" || who.name == other.name)
}

// refusal returns what CONNACK says. mochi does not know all of MQTT 3's codes.
func refusal(why string, version byte) packets.Code {
	five, older := packets.ErrBadUsernameOrPassword, packets.Err3NotAuthorized
	switch why {
	case refusedOwner, refusedWill:
		five = packets.ErrNotAuthorized
	case refusedWaits, refusedBusy:
		five, older = packets.ErrConnectionRateExceeded, packets.Err3ServerUnavailable
	}
	if version < 5 {
		return older
	}
	return five
}

// loginRefused counts and logs, with the command that would let the client in.
func (b *Broker) loginRefused(c *conn, l login, why string) {
	b.count.loginsRefused.Inc()
	if !b.quiet.allow("login " + c.remote.String()) {
		return
	}
	user := l.name
	if l.identity != "" {
		user = l.identity
	}
	attrs := []any{"remote", c.Conn.RemoteAddr().String(), "client", c.clientID(), "user", user, "reason", why}
	switch {
	case why == refusedOwner || why == refusedWill || why == refusedWaits || why == refusedBusy:
	case b.access.command != "":
		attrs = append(attrs, "allow", b.access.command+" "+showName(user))
	default:
		attrs = append(attrs, "allow", "name a file in broker.users")
	}
	b.log.Warn("login refused", attrs...)
}

// showName returns a user name if it is safe to paste into a shell.
func showName(name string) string {
	isPlain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r)
	}
	if checkName(name) != nil || name[0] == '-' || strings.TrimFunc(name, isPlain) != "" {
		return "<name>"
	}
	return name
}

// denied counts and logs what a client may not do: publish to a topic,
// subscribe to a filter, or leave a will. What comes again within some seconds
// is only counted.
func (b *Broker) denied(c *conn, who *identity, what action, topic string) {
	b.count.denied[what].Inc()
	if b.access.quiet.allow(string(what) + " " + who.user + " " + who.client) {
		b.log.Warn("access denied", "action", string(what), "topic", topic, "remote", c.Conn.RemoteAddr().String(), "client", who.client, "user", who.user)
	}
}

// userOf returns the user that a login which is not refused has shown to be.
// A name that nobody has checked does not count.
func (a *access) userOf(l login) string {
	switch {
	case l.identity != "":
		return l.identity
	case l.given && a.users.path != "":
		return l.name
	}
	return ""
}

const refusedBusy = "too many logins at once"

// refuses says why a client may not connect; "" if it may.
func (a *access) refuses(ctx context.Context, l login) string {
	switch {
	case l.identity != "":
		return "" // the certificate has been checked
	case l.given && a.users.path != "":
		return a.checks(ctx, l)
	case a.anonymous == AnonymousAlways, a.anonymous == AnonymousLoopback && l.remote.IsLoopback():
		return ""
	case l.given:
		return "there is no file of users"
	case a.anonymous == AnonymousLoopback:
		return "a client from another machine has to give a user name"
	}
	return "it gave no user name"
}

// checks says what is wrong with a name and a password; "" for nothing.
func (a *access) checks(ctx context.Context, l login) string {
	if a.backoff.wait(l.remote, a.now()) > 0 {
		return refusedWaits
	}
	right, isNew, err := a.check(ctx, l)
	switch {
	case err != nil:
		return refusedBusy
	case right:
		return ""
	case isNew:
		a.backoff.failed(l.remote, a.now())
	}
	return "wrong user name or password"
}
