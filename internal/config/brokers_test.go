package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestOtherBrokersAndTheirFiltersHaveLimits(t *testing.T) {
	brokers := func(n int) string {
		var b strings.Builder
		b.WriteString(small + "brokers:\n")
		for i := range n {
			fmt.Fprintf(&b, "  b%d: {url: mqtt://h%d}\n", i, i)
		}
		return b.String()
	}
	filters := func(n int) string {
		var b strings.Builder
		b.WriteString("brokers: {b: {url: mqtt://h, client_id: c}}\npipelines: {p: {to: [{stdout: }], from: {mqtt: b, topic: [")
		for i := range n {
			fmt.Fprintf(&b, "t%d,", i)
		}
		return b.String() + "]}}}\n"
	}
	for name, src := range map[string]string{"brokers": brokers(brokersMax), "filters": filters(subscriptionsMax)} {
		if _, err := Parse("f", []byte(src)); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for want, src := range map[string]string{"more than 31 brokers": brokers(brokersMax + 1), "want 257 filters from b, the most is 256": filters(subscriptionsMax + 1)} {
		if p := only(t, src); !strings.Contains(p.Msg, want) {
			t.Errorf("got %v, want %s", p, want)
		}
	}
}

func TestWhatIsCoveredIsNotAskedForTwice(t *testing.T) {
	f, err := Parse("f", []byte(`
brokers: {b: {url: mqtt://h, client_id: c}, other: {url: mqtt://h, client_id: d}, idle: {url: mqtt://h}}
pipelines:
  narrow: {from: {mqtt: b, topic: "plant/{line}/temp"}, to: [{stdout: }]}
  wide: {from: {mqtt: b, topic: plant/#, qos: 0}, to: [{mqtt: other, topic: x}, {mqtt: other, topic: y, qos: 0}]}
  same: {from: {mqtt: b, topic: "plant/+/temp"}, to: [{stdout: }]}
  shared: {from: {mqtt: b, topic: ["$share/g/office/{room}", "$share/g/hall"]}, to: [{stdout: }]}
  again: {from: {mqtt: b, topic: "$share/g/office/+"}, to: [{stdout: }]}
  local: {from: plant/#, to: [{stdout: }]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Subscription{{"plant/#", 1}, {"$share/g/office/+", 1}, {"$share/g/hall", 1}}
	if got := f.Subscriptions("b"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := f.Subscriptions("other"); got != nil || !f.Uses("b") || !f.Uses("other") || f.Uses("idle") {
		t.Errorf("got %v; %v %v %v", got, f.Uses("b"), f.Uses("other"), f.Uses("idle"))
	}
	to := f.Pipelines[1].To
	if to[0].Topic.QoS != 1 || to[1].Topic.QoS != 0 {
		t.Errorf("got QoS %d and %d, want 1 unless said", to[0].Topic.QoS, to[1].Topic.QoS)
	}
}
