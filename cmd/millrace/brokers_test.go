package main

import (
	"fmt"
	"strings"
	"testing"
)

// cloud is a node that others send to.
const cloud = "pipelines: {p: {from: none, to: [{stdout: }]}}\n"

// site is a node with another broker.
func site(to *running, version, pipelines string) string {
	return fmt.Sprintf("brokers:\n  cloud: {url: mqtt://127.0.0.1:%s, client_id: site7, version: %s, user: me, password: hunter2}\npipelines:\n%s", to.broker, version, pipelines)
}

func TestPipelinesReadFromAndPublishToAnotherBroker(t *testing.T) {
	for _, version := range []string{"5", "3.1.1"} {
		c := start(t, cloud)
		s := start(t, site(c, version, `
  up:
    from: plant/{device}
    to:
      - {mqtt: cloud, topic: "site7/{topic}", fields: [temp]}
  mirror:
    from: shop/#
    decode: raw
    to:
      - {mqtt: cloud, topic: "site7/{topic}", format: value, fields: [payload]}
  down:
    from: {mqtt: cloud, topic: "orders/{device}"}
    to:
      - {topic: "local/{device}", fields: [n]}
`))
		s.waitFor("link is up")
		above, here := c.sub("mqttv5", "site7/#"), s.sub("mqttv311", "local/#")
		s.pub("mqttv5", "plant/m1", `{"temp":21.5}`)
		wait(t, above, `site7/plant/m1 {"time":`)
		wait(t, above, `"temp":21.5}`)
		s.pub("mqttv311", "shop/floor/door", "not JSON")
		wait(t, above, "site7/shop/floor/door not JSON")
		s.pub("mqttv5", "orders/m1", `{"n":1}`) // of this broker, not of the other
		c.pub("mqttv5", "orders/m2", `{"n":2}`)
		wait(t, here, "local/m2 ")
		if got := here.String(); strings.Contains(got, "local/m1") {
			t.Errorf("got %s, want nothing of this broker's topic", got)
		}
		s.metric(`millrace_link_up{broker="cloud"}`, "1")
		s.metric(`millrace_link_messages_in_total{broker="cloud"}`, "1")
		s.metric(`millrace_sink_rows_total{pipeline="up",sink="mqtt cloud topic site7/{topic}"}`, "1")
		if code := s.stop(); code != 0 {
			t.Errorf("got exit code %d", code)
		}
		if strings.Contains(s.err.String(), "hunter2") {
			t.Error("the log has the password")
		}
	}
}

func TestNodesThatSendToEachOtherStopAtTheHopLimit(t *testing.T) {
	a := start(t, cloud)
	b := start(t, fmt.Sprintf("brokers: {a: {url: mqtt://127.0.0.1:%s}}\npipelines: {back: {from: ping, to: [{mqtt: a, topic: pong}]}}\n", a.broker))
	a.rewrite(fmt.Sprintf("brokers: {b: {url: mqtt://127.0.0.1:%s}}\npipelines: {forth: {from: pong, to: [{mqtt: b, topic: ping}]}}\n", b.broker))
	a.waitFor("configuration reloaded")
	b.pub("mqttv5", "ping", `{"n":1}`)
	b.metric(`millrace_pipeline_messages_in_total{pipeline="back"}`, "5") // hops 0, 2, 4, 6, 8
	b.metric(`millrace_pipeline_dead_letters_total{pipeline="back"}`, "1")
	a.metric(`millrace_pipeline_messages_in_total{pipeline="forth"}`, "4")
}

func TestALinkChangesWithItsConfiguration(t *testing.T) {
	c := start(t, cloud)
	first := "  down: {from: {mqtt: cloud, topic: old/#}, to: [{topic: local}]}\n"
	s := start(t, site(c, "5", first))
	s.waitFor("link is up")
	here := s.sub("mqttv5", "local")
	s.rewrite(site(c, "5", "  down: {from: {mqtt: cloud, topic: new/#}, to: [{topic: local}]}\n  up: {from: x, to: [{mqtt: cloud, topic: y}]}\n"))
	s.metric(`millrace_link_connects_total{broker="cloud"}`, "2")
	c.pub("mqttv5", "new/a", `{"n":7}`)
	wait(t, here, `"n":7`)
	above := c.sub("mqttv5", "y")
	s.pub("mqttv5", "x", `{"n":8}`)
	wait(t, above, `"n":8`)
	s.rewrite("pipelines: {p: {from: x, to: [{topic: local}]}}\n")
	s.metric(`millrace_reloads_total{result="done"}`, "2")
	s.metric(`millrace_link_up{broker="cloud"}`, "0")
	s.pub("mqttv5", "x", `{"n":9}`)
	wait(t, here, `"n":9`)
}
