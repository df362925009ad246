package broker

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Who may connect without a user's name.
const (
	AnonymousLoopback = "loopback" // clients of the same machine
	AnonymousAlways   = "always"   // everybody
	AnonymousNever    = "never"    // nobody
)

// HopsMax is how many pipelines a message may go through, one after another,
// by being published to topics that pipelines read.
const HopsMax = 8

// Limits that nobody has needed to change.
const (
	connectBytesMax     = 64 << 10         // a packet before the client is known
	connectWait         = 10 * time.Second // from the connection to CONNECT, and for a password to be checked
	stallWait           = 20 * time.Second // a client that takes nothing from us for so long is cut
	clientIDBytesMax    = 256
	subscriptionsMax    = 1000                    // of a client
	sessionMessages     = 1000                    // QoS 1 and 2 messages that wait for a client or its acknowledgement; above, who publishes to a connected one waits
	sessionRoom         = sessionMessages * 3 / 4 // down to this they wait
	roomWait            = 5 * time.Second         // for that, at most
	sessionMessagesHard = 2 * sessionMessages     // above, messages to a connected client are dropped too
	sessionSeconds      = 7 * 24 * 3600           // a client that does not come back is forgotten
	outgoingBytesSoft   = 1 << 20                 // bytes that wait for a socket; above, QoS 0 messages are dropped
	outgoingBytesHard   = 4 << 20                 // above, the connection is cut
	unackedBytesMax     = 512 << 10               // QoS 1 and 2 messages on their way to a client
	pendingMax          = 64                      // messages that a client's writer has not encoded yet
	receiveMax          = 256                     // QoS 1 and 2 messages a client may have on the way to us
	aliasesMax          = 64                      // topic aliases of a client
	keepAliveMax        = 43690                   // s; mochi computes 1.5 times that in 16 bits
	sysSeconds          = 60                      // between two rounds of $SYS messages
	publishWait         = 5 * time.Second         // for room in the journal, in Publish
	acceptWaitMax       = time.Second             // between two tries while the system refuses to accept
)

// Config is what users can change.
type Config struct {
	Listen                   []string // mqtt://host:port; host empty for all addresses, port 0 for a free one
	Anonymous                string   // AnonymousLoopback, AnonymousAlways or AnonymousNever
	Users                    string   // file of users that AddUser keeps; "" for none. A change is noticed by itself
	UserCommand              string   // the command line that adds a user, but for the name; shown when a login is refused
	Access                   *Access  // what clients may publish to and subscribe to; nil: everything
	PacketBytesMax           uint32   // a client that sends a larger MQTT packet is disconnected
	ClientsMax               int      // connections at once
	ConnectionsPerAddressMax int      // of them from one IP address
}

// Defaults returns a configuration that listens nowhere yet.
func Defaults() Config {
	return Config{
		Anonymous: AnonymousLoopback, PacketBytesMax: 256 << 10,
		ClientsMax: 1000, ConnectionsPerAddressMax: 1000,
	}
}

func (c *Config) check() error {
	switch c.Anonymous {
	case AnonymousLoopback, AnonymousAlways, AnonymousNever:
	default:
		return fmt.Errorf("broker: anonymous is %q, not loopback, always or never", c.Anonymous)
	}
	switch {
	case len(c.Listen) == 0:
		return fmt.Errorf("broker: no address to listen on")
	case c.PacketBytesMax < 1024 || c.PacketBytesMax > 268435455:
		return fmt.Errorf("broker: a packet of at most %d bytes is outside 1024 to 268435455", c.PacketBytesMax)
	case c.ClientsMax < 1 || c.ConnectionsPerAddressMax < 1:
		return fmt.Errorf("broker: at most %d clients, %d from one address: nobody could connect", c.ClientsMax, c.ConnectionsPerAddressMax)
	}
	return c.Access.check()
}

// listenAddress returns the host:port of mqtt://host:port.
func listenAddress(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("broker: listen %q: %w", s, err)
	}
	if u.Scheme != "mqtt" || u.Port() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", fmt.Errorf("broker: listen %q is not mqtt://host:port", s)
	}
	return net.JoinHostPort(u.Hostname(), u.Port()), nil
}
