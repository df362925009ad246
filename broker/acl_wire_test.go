package broker

import (
	"bufio"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
)

// startWith serves a broker with rules. Each user's password is its name, and
// nobody comes in without one.
func startWith(t *testing.T, rules *Access, users ...string) *served {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users.txt")
	for _, u := range users {
		if err := AddUser(file, u, u); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, func(o *Options, _ *Broker) {
		o.Config.Users, o.Config.Anonymous, o.Config.Access = file, AnonymousNever, rules
	})
}

// as says hello as a user.
func as(user, id string, v5 bool) hello { return hello{id: id, user: user, password: user, v5: v5} }

// told returns the topics that arrive until a message on topic end does.
func (w *wire) told(end string) []string {
	w.t.Helper()
	var got []string
	for {
		p := w.expect(3)
		if p.topic == end {
			return got
		}
		got = append(got, p.topic+" "+p.payload)
	}
}

// granted subscribes and returns the reason code.
func (w *wire) granted(filter string) byte {
	w.t.Helper()
	w.send(subscribeBytes(w.v5, 9, filter, 1))
	p := w.expect(9)
	return p.body[len(p.body)-1]
}

func (s *served) deniedTimes(a action) uint64 {
	return s.metric("millrace_broker_denied_total", "action", string(a))
}

func TestWhatMayNotBePublishedReachesNobody(t *testing.T) {
	rules := &Access{
		Everyone: Rights{Publish: []string{"plant/%u/#"}},
		Users:    map[string]Rights{"board": {Subscribe: []string{"#"}}},
	}
	for _, v5 := range []bool{false, true} {
		s := startWith(t, rules, "m1", "board")
		r := s.journal.Read(0)
		board, _ := s.connect(as("board", "b", v5))
		board.subscribe("#", 0)
		w, _ := s.connect(as("m1", "c", v5))
		publish := func(topic string, qos byte, kind, want byte) {
			t.Helper()
			w.publish(topic, "x", qos, 7)
			if qos == 0 {
				return
			}
			got := byte(0)
			p := w.expect(kind)
			if len(p.body) > 2 {
				got = p.body[2]
			}
			if p.id != 7 || got != want {
				t.Errorf("v5 %v, %s at QoS %d: got reason 0x%02x for %d, want 0x%02x for 7", v5, topic, qos, got, p.id, want)
			}
		}
		no := byte(0)
		if v5 {
			no = 0x87
		}
		for range 2 { // the second time by what is known of the topic
			publish("plant/m2/a", 0, 0, 0)
			publish("plant/m2/a", 1, 4, no)
			publish("plant/m1/a", 1, 4, 0)
			publish("other", 1, 4, no)
		}
		publish("plant/m2/a", 2, 5, no)
		if !v5 {
			w.send(ack(0x62, 7))
			w.expect(7)
		}
		publish("plant/m1/b", 1, 4, 0)
		w.ping()
		checkTexts(t, board.told("plant/m1/b"), []string{"plant/m1/a x", "plant/m1/a x"})
		checkTexts(t, texts(s.records(r, 3)), []string{"plant/m1/a x 7 0", "plant/m1/a x 7 0", "plant/m1/b x 7 0"})
		if got := s.deniedTimes(actPublish); got != 7 {
			t.Errorf("%d were counted, want 7", got)
		}
		if log := s.log.String(); strings.Count(log, "access denied") != 1 || !strings.Contains(log, "action=publish topic=plant/m2/a") || !strings.Contains(log, "client=c user=m1") {
			t.Errorf("one line should tell of it:\n%s", log)
		}
	}
}

func TestWhatMayNotBeReadIsNotDelivered(t *testing.T) {
	rules := &Access{
		Everyone: Rights{Publish: []string{"#"}},
		Users:    map[string]Rights{"board": {Subscribe: []string{"#", "commands/%c/#"}, Deny: []string{"hr/#"}}, "m1": {Subscribe: []string{"commands/%c/+"}}},
	}
	for _, v5 := range []bool{false, true} {
		s := startWith(t, rules, "m1", "board", "all")
		no := byte(0x80)
		if v5 {
			no = 0x87
		}
		all, _ := s.connect(as("all", "all", v5))
		keep := func(topic string) {
			all.send(frame(0x31, append(text16(nil, topic), map[bool]string{true: "\x00kept", false: "kept"}[v5]...)))
		}
		keep("hr/pay")
		keep("plant/x")
		all.ping()
		board, _ := s.connect(as("board", "board", v5))
		board.send(subscribeBytes(v5, 1, "#", 1))
		board.expect(9)
		if p := board.expect(3); p.topic != "plant/x" {
			t.Errorf("got the retained message of %s", p.topic)
		}
		m1, _ := s.connect(as("m1", "c1", v5))
		for filter, want := range map[string]byte{"commands/c1/+": 1, "commands/c1/go": 1, "$share/g/commands/c1/+": 1, "commands/+/go": no, "#": no, "hr/pay": no} {
			if got := m1.granted(filter); got != want {
				t.Errorf("v5 %v: %s: got 0x%02x, want 0x%02x", v5, filter, got, want)
			}
		}
		for _, topic := range []string{"hr/pay", "a", "hr", "end"} {
			all.publish(topic, "1", 1, 5)
			all.expect(4)
		}
		checkTexts(t, board.told("end"), []string{"a 1"})
		if got := s.deniedTimes(actDeliver); got != 3 {
			t.Errorf("%d deliveries were counted, want 3: two, and a retained one", got)
		}
		if got := s.deniedTimes(actSubscribe); got != 3 {
			t.Errorf("%d subscriptions were counted, want 3", got)
		}
	}
}

func TestAWillThatMayNotBePublishedIsRefusedOrNotSent(t *testing.T) {
	rules := func(deny ...string) *Access {
		return &Access{Everyone: Rights{Publish: []string{"wills/%u/#"}, Deny: deny}, Users: map[string]Rights{"board": {Both: []string{"#"}}}}
	}
	for _, v5 := range []bool{false, true} {
		s := startWith(t, rules(), "m1", "board")
		s.route = func([]byte) (uint32, journal.Durability) { return 7, journal.Relaxed }
		r := s.journal.Read(0)
		board, _ := s.connect(as("board", "b", v5))
		board.subscribe("#", 0)
		h := as("m1", "c", v5)
		h.will, h.last = "wills/other", "gone"
		w := s.plug()
		w.v5 = v5
		w.send(h.bytes())
		want := byte(5)
		if v5 {
			want = 0x87
		}
		if p := w.expect(2); p.body[1] != want {
			t.Errorf("v5 %v: got 0x%02x, want 0x%02x", v5, p.body[1], want)
		}
		if got := s.deniedTimes(actWill); got != 1 {
			t.Errorf("%d wills were counted, want 1", got)
		}
		h.will = "wills/m1/a"
		w, _ = s.connect(h)
		w.Close()
		if p := board.expect(3); p.topic != "wills/m1/a" {
			t.Errorf("got %s", p.topic)
		}
		w, _ = s.connect(h)
		if err := s.SetAccess(rules("wills/m1/a")); err != nil {
			t.Fatal(err)
		}
		w.Close()
		until(t, "the will is refused", func() bool { return s.deniedTimes(actWill) == 2 })
		board.publish("end", "", 0, 0)
		checkTexts(t, board.told("end"), nil)
		checkTexts(t, texts(s.records(r, 2)), []string{"wills/m1/a gone 7 0", "end  7 0"})
	}
}

func TestChangedRulesEndSubscriptionsAndNoConnection(t *testing.T) {
	rules := func(subscribe ...string) *Access {
		return &Access{Everyone: Rights{Publish: []string{"#"}, Subscribe: subscribe}}
	}
	s := startWith(t, rules("#"), "m1", "m2", "all")
	all, _ := s.connect(as("all", "all", true))
	here, _ := s.connect(as("m1", "here", true))
	here.subscribe("a/#", 1)
	here.subscribe("b/#", 1)
	h := as("m2", "away", true)
	h.expiry, h.keep = 3600, true
	away, _ := s.connect(h)
	away.subscribe("#", 1)
	away.subscribe("b/+", 1)
	away.Close()
	until(t, "the client is away", func() bool { cl, ok := s.server.Clients.Get("away"); return ok && cl.Closed() })
	say := func(topic string) {
		t.Helper()
		all.publish(topic, "1", 1, 5)
		all.expect(4)
	}
	say("a/x")
	say("b/x")
	if err := s.SetAccess(rules("b/+")); err != nil {
		t.Fatal(err)
	}
	say("a/y")
	say("b/y")
	got := []string{here.expect(3).topic, here.expect(3).topic}
	checkTexts(t, got, []string{"a/x", "b/x"}) // before the change
	here.ping()                                // and nothing since: b/# was more than b/+
	back, p := s.connect(h)
	if p.body[0] != 1 {
		t.Error("the session is gone")
	}
	checkTexts(t, []string{back.expect(3).topic, back.expect(3).topic}, []string{"b/x", "b/y"})
	back.ping()
	if err := s.SetAccess(rules("b/+")); err != nil { // the same
		t.Fatal(err)
	}
	if log := s.log.String(); strings.Count(log, "access rules changed") != 1 || !strings.Contains(log, "subscriptions_ended=3") || strings.Count(log, "subscription ended") != 3 {
		t.Errorf("the log does not tell:\n%s", log)
	}
	if err := s.SetAccess(rules("b/#/c")); err == nil {
		t.Error("rules that are none were taken")
	}
}

// A foreign connection says that it comes from elsewhere.
type foreign struct {
	net.Conn
	remote netip.AddrPort
}

func (f foreign) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(f.remote) }

// plugFrom opens a connection from an address.
func (s *served) plugFrom(remote string) *wire {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	nc, err := l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.admit(foreign{nc, netip.MustParseAddrPort(remote)})
	return &wire{Conn: c, t: s.t, r: bufio.NewReaderSize(c, 1024)}
}

// A client of the same machine without a user may read everything; one from
// elsewhere that takes its session over may not.
func TestASessionIsBoundByTheRightsOfWhoTakesItOver(t *testing.T) {
	s := start(t, func(o *Options, _ *Broker) {
		o.Config.Anonymous = AnonymousAlways
		o.Config.Access = &Access{Everyone: Rights{Subscribe: []string{"public/#"}}}
	})
	h := hello{id: "c", keep: true}
	w, _ := s.connect(h)
	w.subscribe("#", 1)
	w.subscribe("public/a", 1)
	w.Close()
	until(t, "the client is away", func() bool { cl, ok := s.server.Clients.Get("c"); return ok && cl.Closed() })
	say := func(topic string) {
		t.Helper()
		if err := s.Publish([]byte(topic), []byte("1"), 1, false, 0); err != nil {
			t.Fatal(err)
		}
	}
	say("secret")
	say("public/a")
	w = s.plugFrom("192.168.1.7:1234")
	w.send(h.bytes())
	w.expect(2)
	if p := w.expect(3); p.topic != "public/a" {
		t.Errorf("got %s", p.topic)
	}
	say("secret")
	say("public/b")
	w.ping()
	if got := w.granted("#"); got != 0x80 {
		t.Errorf("got 0x%02x, want 0x80", got)
	}
}

// What only pipelines want does not go through mochi; the rules hold for it,
// too, and so do new ones.
func TestRulesHoldForWhatOnlyPipelinesWant(t *testing.T) {
	may := func(filter string) *Access { return &Access{Everyone: Rights{Publish: []string{filter}}} }
	for _, v5 := range []bool{false, true} {
		s := startWith(t, may("plant/a"), "m1")
		r := s.journal.Read(0)
		w, _ := s.connect(as("m1", "c", v5))
		say := func(payload string) {
			for _, topic := range []string{"plant/a", "plant/b", "plant/a"} {
				w.publish(topic, payload, 0, 0)
				w.publish(topic, payload, 1, 3)
				w.expect(4)
			}
		}
		say("1")
		if err := s.SetAccess(may("plant/b")); err != nil {
			t.Fatal(err)
		}
		say("2")
		w.ping()
		a, b := "plant/a 1 7 0", "plant/b 2 7 0"
		checkTexts(t, texts(s.records(r, 6)), []string{a, a, a, a, b, b})
		if got := s.deniedTimes(actPublish); got != 6 {
			t.Errorf("%d were counted, want 6", got)
		}
	}
}
