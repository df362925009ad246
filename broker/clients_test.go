package broker

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// mosquitto returns a command of the mosquitto clients (apt packages, see scripts/test-deps).
func (s *served) mosquitto(ctx context.Context, name, version string, args ...string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(s.address)
	return exec.CommandContext(ctx, name, append([]string{"-h", host, "-p", port, "-V", version}, args...)...)
}

func TestMosquittoClientsAreServed(t *testing.T) {
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run(version+" QoS "+qos, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				s := start(t)
				var out bytes.Buffer
				sub := s.mosquitto(ctx, "mosquitto_sub", version, "-t", "plant/#", "-v", "-q", qos, "-C", "4")
				sub.Stdout, sub.Stderr = &out, &out
				if err := sub.Start(); err != nil {
					t.Fatal(err)
				}
				until(t, "it has subscribed", func() bool { return s.interest.any("plant/x") })
				pub := s.mosquitto(ctx, "mosquitto_pub", version, "-t", "plant/m1/temp", "-q", qos, "-l")
				pub.Stdin = strings.NewReader("one\ntwo\nthree\n")
				if b, err := pub.CombinedOutput(); err != nil {
					t.Fatalf("mosquitto_pub: %v: %s", err, b)
				}
				if err := s.Publish([]byte("plant/alert"), []byte("hot"), 1, false, 1); err != nil {
					t.Fatal(err)
				}
				if err := sub.Wait(); err != nil {
					t.Fatalf("mosquitto_sub: %v: %s", err, &out)
				}
				if got, want := out.String(), "plant/m1/temp one\nplant/m1/temp two\nplant/m1/temp three\nplant/alert hot\n"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				checkTexts(t, texts(s.records(s.journal.Read(0), 4)),
					[]string{"plant/m1/temp one 7 0", "plant/m1/temp two 7 0", "plant/m1/temp three 7 0", "plant/alert hot 7 1"})
			})
		}
	}
}

func TestMosquittoIsToldThatItsPasswordIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := AddUser(file, "u", "right"); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(o *Options, _ *Broker) { o.Config.Users, o.Config.Anonymous = file, AnonymousNever })
	for _, version := range []string{"mqttv311", "mqttv5"} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if b, err := s.mosquitto(ctx, "mosquitto_pub", version, "-t", "plant/x", "-m", "x", "-u", "u", "-P", "wrong").CombinedOutput(); err == nil {
			t.Errorf("%s: the wrong password does: %s", version, b)
		}
		if b, err := s.mosquitto(ctx, "mosquitto_pub", version, "-t", "plant/x", "-m", "x", "-u", "u", "-P", "right").CombinedOutput(); err != nil {
			t.Errorf("%s: the right password does not: %v: %s", version, err, b)
		}
	}
}

func TestOurClientPublishes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := AddUser(file, "u", "right"); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(o *Options, _ *Broker) { o.Config.Users, o.Config.Anonymous = file, AnonymousNever })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Dial(ctx, ClientConfig{Address: s.address, ClientID: "c", User: "u", Password: "right"})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for qos := range byte(3) {
		if err := c.Publish(ctx, "plant/x", fmt.Append(nil, "QoS ", qos), qos); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("plant/x QoS %d 7 0", qos))
	}
	checkTexts(t, texts(s.records(s.journal.Read(0), 3)), want)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Publish(ctx, "plant/x", nil, 0); err == nil {
		t.Error("a closed client publishes")
	}
	for _, bad := range []ClientConfig{
		{Address: s.address, ClientID: "c", User: "u", Password: "wrong"},
		{Address: s.address, ClientID: "c"},
		{Address: "127.0.0.1:1"},
	} {
		if c, err := Dial(ctx, bad); err == nil {
			c.Close()
			t.Errorf("%+v: connected", bad)
		} else if !strings.HasPrefix(err.Error(), "broker: ") {
			t.Errorf("got %q", err)
		}
	}
	c, err = Dial(ctx, ClientConfig{Address: s.address, ClientID: "c", User: "u", Password: "right"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	until(t, "the client notices that the broker is gone", func() bool { return c.Publish(ctx, "plant/x", nil, 0) != nil })
	c.Close()
}

func TestPahoSubscribesAtEveryQoS(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	c := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: "paho", PacketTimeout: patience,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			got <- fmt.Sprintf("%s %s %d", r.Packet.Topic, r.Packet.Payload, r.Packet.QoS)
			return true, nil
		}}})
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: "paho", CleanStart: true, KeepAlive: 30}); err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(&paho.Disconnect{})
	if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: "q0/#", QoS: 0}, {Topic: "q1/#", QoS: 1}, {Topic: "q2/#", QoS: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"q0/a", "q1/a", "q2/a"} {
		if _, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: 2, Payload: []byte("hello")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"q0/a hello 0", "q1/a hello 1", "q2/a hello 2"} {
		select {
		case m := <-got:
			if m != want {
				t.Errorf("got %q, want %q", m, want)
			}
		case <-time.After(patience):
			t.Fatalf("%s does not come", want)
		}
	}
}
