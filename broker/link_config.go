package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// The versions of MQTT that a link speaks.
const (
	Version5   = "5"
	Version311 = "3.1.1"
)

// LinkConfig says where another broker is, who we are there and what we want
// from it.
type LinkConfig struct {
	Name           string // for logs and metrics
	URL            string // mqtt://host:port or mqtts://host:port; the port is 1883 or 8883 unless said
	User, Password string // "" for none
	ClientID       string // "" for a random one; then nothing is kept for us while the link is down
	CA             string // file of certificates to trust, as PEM; those of the system if ""
	Cert, Key      string // files that say who we are, as PEM; "" for none
	Version        string // Version5 or Version311
	KeepAlive      time.Duration
	PacketBytesMax uint32 // larger messages are not taken
	Subscriptions  []Subscription
}

// A Subscription is what a link wants from the other broker. A shared one has
// a filter that begins with $share/group/.
type Subscription struct {
	Filter string
	QoS    byte // 0 or 1
}

// isShared reports whether others get a part of the messages [MQTT-4.8.2].
func (s Subscription) isShared() bool { return strings.HasPrefix(s.Filter, "$share/") }

// keeps reports whether the other broker is to keep messages for us.
func (c *LinkConfig) keeps() bool {
	for _, s := range c.Subscriptions {
		if s.QoS > 0 {
			return true
		}
	}
	return false
}

// target returns the host:port to connect to and how it is encrypted, if it is.
func (c *LinkConfig) target() (address string, t *tls.Config, err error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "", nil, errors.New("its url is none") // which may hold a password
	}
	port := map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme]
	if port == "" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return "", nil, errors.New("its url is not mqtt://host:port or mqtts://host:port")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if c.Version != Version5 && c.Version != Version311 {
		return "", nil, fmt.Errorf("version %q is not 5 or 3.1.1", c.Version)
	}
	address = net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "mqtt" {
		return address, nil, nil
	}
	t, err = c.secure(u.Hostname())
	return address, t, err
}

func (c *LinkConfig) secure(host string) (*tls.Config, error) {
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("cert and key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// A retry says how long to wait after each failure in a row: anywhere below a
// ceiling that doubles each time ("full jitter", so that a fleet of nodes does
// not come back as one).
type retry struct {
	first, most time.Duration
	failures    int
}

func (r *retry) next() time.Duration {
	ceiling := r.most
	if r.failures < 20 { // beyond, it is the most long since
		ceiling = min(r.first<<r.failures, r.most)
	}
	r.failures++
	return rand.N(ceiling + 1)
}

var errNotYet = errors.New("it was not up yet")

// reason tells a reason code of MQTT 5 in words [MQTT-2.4].
func reason(code byte) string {
	words := map[byte]string{
		0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "an error of its own",
		0x84: "it does not speak this version of MQTT", 0x85: "it does not like our client identifier",
		0x86: "bad user name or password", 0x87: "not authorized", 0x88: "it is unavailable", 0x89: "it is busy",
		0x8a: "we are banned", 0x8b: "it shuts down", 0x8c: "bad authentication method", 0x8d: "keep alive timeout",
		0x8e: "another client has our client identifier", 0x8f: "it does not like a filter", 0x90: "it does not like the topic",
		0x91: "packet identifier in use", 0x93: "we sent more than it allows at once", 0x94: "bad topic alias",
		0x95: "packet too large", 0x96: "we send too often", 0x97: "quota exceeded", 0x98: "an administrator did it",
		0x99: "it does not like the format of the payload", 0x9a: "it has no retained messages", 0x9b: "it does not offer this QoS",
		0x9c: "use another server", 0x9d: "the server moved", 0x9e: "it has no shared subscriptions",
		0x9f: "we connect too often", 0xa0: "we were connected long enough", 0xa1: "it has no subscription identifiers",
		0xa2: "it has no wildcards",
	}[code]
	if words == "" {
		words = "no reason that we know"
	}
	return fmt.Sprintf("%s (0x%02x)", words, code)
}
