package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

func TestPacketsGoDownToMQTT311WithoutTheirProperties(t *testing.T) {
	expiry := uint32(10)
	user := []packets.User{{Key: "k", Value: "v"}}
	for _, c := range []struct {
		name string
		p    interface {
			WriteTo(io.Writer) (int64, error)
		}
		want []byte
	}{
		{"connect", &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, CleanStart: true, KeepAlive: 30, ClientID: "c",
			UsernameFlag: true, Username: "u", PasswordFlag: true, Password: []byte("p"), Properties: &packets.Properties{SessionExpiryInterval: &expiry}},
			append([]byte{0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0, 30}, 0, 1, 'c', 0, 1, 'u', 0, 1, 'p')},
		{"publish 0", &packets.Publish{Topic: "a/b", Payload: []byte("xy"), Retain: true, Properties: &packets.Properties{User: user}},
			[]byte{0x31, 7, 0, 3, 'a', '/', 'b', 'x', 'y'}},
		{"publish 1", &packets.Publish{Topic: "a", QoS: 1, PacketID: 258, Properties: &packets.Properties{User: user}},
			[]byte{0x32, 5, 0, 1, 'a', 1, 2}},
		{"puback", &packets.Puback{PacketID: 3, ReasonCode: 0x87, Properties: &packets.Properties{}}, []byte{0x40, 2, 0, 3}},
		{"subscribe", &packets.Subscribe{PacketID: 7, Properties: &packets.Properties{User: user}, Subscriptions: []packets.SubOptions{
			{Topic: "a/#", QoS: 1, NoLocal: true, RetainHandling: 1}, {Topic: "b", QoS: 0}}},
			[]byte{0x82, 12, 0, 7, 0, 3, 'a', '/', '#', 1, 0, 1, 'b', 0}},
		{"pingreq", packets.NewControlPacket(packets.PINGREQ), []byte{0xc0, 0}},
		{"disconnect", &packets.Disconnect{ReasonCode: 4, Properties: &packets.Properties{SessionExpiryInterval: &expiry}}, []byte{0xe0, 0}},
	} {
		var b bytes.Buffer
		if _, err := c.p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		got, err := older{}.down(nil, b.Bytes())
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: got % x, %v, want % x", c.name, got, err, c.want)
		}
		two, err := older{}.down(nil, append(b.Bytes(), b.Bytes()...))
		if err != nil || !bytes.Equal(two, append(c.want, c.want...)) {
			t.Errorf("%s twice: got % x, %v", c.name, two, err)
		}
		for n := 1; n < b.Len(); n++ { // cut short
			if got, err := (older{}).down(nil, b.Bytes()[:n]); err == nil {
				t.Errorf("%s: got % x for %d of %d bytes", c.name, got, n, b.Len())
			}
		}
	}
	for _, first := range []byte{0x50, 0x62, 0x70, 0xa2, 0xf0} {
		if got, err := (older{}).down(nil, []byte{first, 2, 0, 1}); err == nil {
			t.Errorf("%x: got % x, want an error", first, got)
		}
	}
}

func TestPacketsComeUpFromMQTT311(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []byte
	}{
		{"connack", []byte{0x20, 2, 1, 0}, []byte{0x20, 3, 1, 0, 0}},
		{"not authorized", []byte{0x20, 2, 0, 5}, []byte{0x20, 3, 0, 0x87, 0}},
		{"an unknown refusal", []byte{0x20, 2, 0, 77}, []byte{0x20, 3, 0, 0x80, 0}},
		{"publish 0", []byte{0x31, 5, 0, 1, 'a', 'x', 'y'}, []byte{0x31, 6, 0, 1, 'a', 0, 'x', 'y'}},
		{"publish 1", []byte{0x3a, 5, 0, 1, 'a', 1, 2}, []byte{0x3a, 6, 0, 1, 'a', 1, 2, 0}},
		{"puback", []byte{0x40, 2, 1, 2}, []byte{0x40, 2, 1, 2}},
		{"suback", []byte{0x90, 4, 0, 1, 1, 0x80}, []byte{0x90, 5, 0, 1, 0, 1, 0x80}},
		{"pingresp", []byte{0xd0, 0}, []byte{0xd0, 0}},
	} {
		got, err := older{}.up(c.in[0], c.in[2:])
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: got % x, %v, want % x", c.name, got, err, c.want)
		}
		if _, err := packets.ReadPacket(bytes.NewReader(got)); err != nil {
			t.Errorf("%s: paho cannot read it: %v", c.name, err)
		}
	}
	for name, in := range map[string][]byte{
		"a message with QoS 2": {0x34, 0, 1, 'a', 1, 2}, "QoS 3": {0x36, 0, 1, 'a', 1, 2},
		"a topic that ends early": {0x30, 0, 9, 'a'}, "no packet identifier": {0x32, 0, 1, 'a', 1}, "no topic": {0x30, 0},
		"a short connack": {0x20, 1}, "a long connack": {0x20, 0, 0, 0}, "a long puback": {0x40, 0, 1, 0}, "a short suback": {0x90, 1},
		"a subscribe": {0x82, 0, 1, 0, 1, 'a', 0}, "pubrec": {0x50, 0, 1}, "auth": {0xf0}, "nothing": {0x00},
		"a pingresp with a body": {0xd0, 1},
	} {
		if got, err := (older{}).up(in[0], in[1:]); err == nil {
			t.Errorf("%s: got % x, want an error", name, got)
		}
	}
}

// pipeOf returns a connection from which comes what the other side sends.
func pipeOf(t *testing.T, v311 bool, frameMax int, send []byte) (*linkConn, *[]string) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close() })
	go func() {
		b.SetDeadline(time.Now().Add(patience))
		b.Write(send)
		b.Close()
	}()
	var large []string
	c := newLinkConn(a, frameMax, func(p []byte) { large = append(large, string(p)) })
	if v311 {
		c.older = &older{}
	}
	return c, &large
}

func TestAPacketThatIsTooLargeIsSkippedIfItIsAMessage(t *testing.T) {
	const most = 100
	body := func(n int) []byte { return append([]byte{0, 1, 'a', 0, 9}, bytes.Repeat([]byte{0}, n-5)...) }
	stream := append(frame(0x32, body(most)), frame(0x32, body(most+1))...)
	stream = append(stream, frame(0x32, body(100_000))...)
	stream = append(stream, 0x40, 2, 0, 1)
	for _, v311 := range []bool{false, true} {
		c, large := pipeOf(t, v311, most, stream)
		got, err := io.ReadAll(c)
		want := append(frame(0x32, body(most)), 0x40, 2, 0, 1)
		if v311 {
			want = append(frame(0x32, body(most+1)), 0x40, 2, 0, 1) // with no properties
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got % x, %v, want % x", got, err, want)
		}
		if len(*large) != 2 || !strings.HasPrefix((*large)[1], "\x32\x00\x01a\x00\x09") {
			t.Errorf("got %.20q, want two large messages", *large)
		}
	}
	for name, c := range map[string]struct {
		send []byte
		want string
	}{
		"a large suback":           {frame(0x90, make([]byte, most+1)), "a packet of 101 bytes, the most is 100"},
		"a length without an end":  {[]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, "more than four bytes"},
		"an end within a length":   {[]byte{0x30, 0xff}, "unexpected EOF"},
		"an end after the length":  {[]byte{0x30, 5}, "unexpected EOF"},
		"an end within a packet":   {[]byte{0x30, 5, 0, 1}, "unexpected EOF"},
		"an end in a large packet": {append([]byte{0x30}, 0xff, 0x7f, 0, 1, 'a'), "unexpected EOF"},
	} {
		conn, _ := pipeOf(t, false, most, c.send)
		if got, err := io.ReadAll(conn); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got % x, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestAConnectionThatTakesNothingIsClosed(t *testing.T) {
	a, b := net.Pipe()
	c := newLinkConn(a, 100, nil)
	b.Close()
	c.send([]byte{0xc0, 0})
	if c.broken() == nil {
		t.Error("got no error of a write to nobody")
	}
	if _, err := c.Write(nil); err == nil {
		t.Error("got no error after an error")
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("got no error of a read")
	}
}

// FuzzLinkConn gives what another broker may send to the socket of a link and
// to paho. Neither may panic or take what is larger than allowed.
func FuzzLinkConn(f *testing.F) {
	for _, b := range [][]byte{{0x20, 3, 0, 0, 0}, {0x20, 2, 0, 0}, {0x90, 4, 0, 1, 0, 1}, {0xd0, 0}, {0x40, 4, 0, 1, 0x87, 0}, {0xe0, 2, 0x8b, 0},
		frame(0x32, binary.BigEndian.AppendUint16([]byte{0, 1, 'a'}, 7)), append([]byte{0x30, 10}, "\x00\x01a\x05\x26\x00\x00\x00\x00x"...)} {
		f.Add(b, true)
		f.Add(append(b, b...), false)
	}
	f.Fuzz(func(t *testing.T, sent []byte, v311 bool) {
		const most = 1000
		c := newLinkConn(nil, most, func([]byte) {})
		c.r.Reset(bytes.NewReader(sent))
		if v311 {
			c.older = &older{}
		}
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			if m, ok := p.Content.(*packets.Publish); ok && len(m.Topic)+len(m.Payload) > most+1 {
				t.Errorf("got a message of %d bytes", len(m.Topic)+len(m.Payload))
			}
			_ = fmt.Sprint(p.Type)
		}
	})
}
