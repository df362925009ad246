package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An authority signs certificates, as files in a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make(name, nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name+".pem") }

// make makes a certificate called name, and writes it and its key. The
// authority signs it, or it signs itself.
func (a *authority) make(name string, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(a.t, err)
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signKey := c, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, signer, &key.PublicKey, signKey)
	must(a.t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(a.t, err)
	must(a.t, os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(a.t, os.WriteFile(a.path(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	c, err = x509.ParseCertificate(der)
	must(a.t, err)
	return c, key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestALinkWithTLSKnowsTheOtherBrokerAndShowsWhoWeAre(t *testing.T) {
	ours, foreign := newAuthority(t, "ca"), newAuthority(t, "ca")
	ours.make("server", ours)
	ours.make("client", ours)
	foreign.make("client", foreign)
	m := newMosquitto(t, "cafile "+ours.path("ca"), "certfile "+ours.path("server"), "keyfile "+ours.path("server-key"), "require_certificate true", "use_identity_as_username true")
	config := func(version, ca, cert, key string) LinkConfig {
		c := linkConfig(m.address, "plant/#")
		c.URL, c.CA, c.Cert, c.Key, c.Version = "mqtts://"+m.address, ca, cert, key, version
		return c
	}
	for version := range versions {
		l := link(t, config(version, ours.path("ca"), ours.path("client"), ours.path("client-key")))
		l.deliver(0, 100)
		l.stop()
	}
	if !strings.Contains(m.log.String(), "u'client'") {
		t.Errorf("mosquitto does not know the certificate's name:\n%s", m.log)
	}
	for name, c := range map[string]struct {
		config LinkConfig
		want   string
	}{
		"the system's certificates":  {config(Version5, "", ours.path("client"), ours.path("client-key")), "certificate"},
		"another authority":          {config(Version5, foreign.path("ca"), ours.path("client"), ours.path("client-key")), "certificate signed by unknown authority"},
		"no certificate of ours":     {config(Version5, ours.path("ca"), "", ""), "certificate required"},
		"a foreign certificate":      {config(Version5, ours.path("ca"), foreign.path("client"), foreign.path("client-key")), "unknown certificate authority"},
		"MQTT 3.1.1, no certificate": {config(Version311, ours.path("ca"), "", ""), "certificate required"},
	} {
		l := link(t, c.config)
		until(t, name, func() bool { return strings.Contains(l.log.String(), "link is down") })
		if !strings.Contains(l.log.String(), c.want) {
			t.Errorf("%s: got %s, want %s", name, l.log, c.want)
		}
		l.stop()
	}
	empty := filepath.Join(t.TempDir(), "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	for want, c := range map[string]LinkConfig{
		"ca: open":                config(Version5, "nowhere", "", ""),
		"has no certificate in":   config(Version5, empty, "", ""),
		"cert and key: open":      config(Version5, "", "nowhere", "nowhere"),
		"cert and key: tls: priv": config(Version5, "", ours.path("client"), foreign.path("client-key")),
	} {
		if _, err := NewLink(LinkOptions{Config: c, Log: silent()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestLinksOfAGroupShareTheMessages(t *testing.T) {
	const n = 200
	m := newMosquitto(t)
	var all []*linked
	for _, version := range []string{Version5, Version311} {
		c := linkConfig(m.address, "$share/g/plant/#")
		c.Version, c.ClientID = version, "member-"+version
		l := link(t, c)
		l.waitUp()
		all = append(all, l)
	}
	m.publish(0, n)
	until(t, "all messages came", func() bool {
		return all[0].metric("millrace_link_messages_in_total")+all[1].metric("millrace_link_messages_in_total") >= n
	})
	got := newOrdered()
	for _, l := range all {
		some := int(l.metric("millrace_link_messages_in_total"))
		if some == 0 {
			t.Error("got nothing for a member")
		}
		for _, r := range l.next(l.journal.Read(0), some) {
			got.take(string(r.Topic), string(r.Payload))
		}
	}
	if got.count() != n || got.again > 0 {
		t.Errorf("got %d messages of %d, %d of them twice", got.count(), n, got.again)
	}
}
