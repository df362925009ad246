package node

import (
	"fmt"
	"slices"
	"testing"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline/topics"
)

func TestMessagesOfABrokerReachThePipelinesThatReadFromIt(t *testing.T) {
	all := pipesOf(t, []string{"a/#"}, []string{"a/#"}, []string{"a/+"}, []string{"#"})
	all[1].Config.From = config.From{Broker: "x"}
	all[2].Config.From = config.From{Broker: "x"}
	all[3].Config.From = config.From{Broker: "y"}
	table, err := topics.ParseFilter("a/limits")
	if err != nil {
		t.Fatal(err)
	}
	all[3].Filters = append(all[3].Filters, table) // of a lookup: from the embedded broker
	old := newRoutes(all, 1, "x", "y")
	next := newRoutes(all, 2, "x", "y", "z")
	for _, c := range []struct {
		source int
		topic  string
		want   []int32
	}{{0, "a/b", []int32{0}}, {1, "a/b", []int32{1, 2}}, {1, "a/b/c", []int32{1}}, {2, "a/b", []int32{3}}, {0, "b", nil}, {1, "b", nil}, {0, "a/limits", []int32{0, 3}}, {2, "a/limits", []int32{3}}, {3, "a/b", nil}} {
		topic := []byte(c.topic)
		for _, r := range []*routes{old, next} {
			route, _ := r.from(c.source, topic)
			if route == 0 { // it does not go to the journal
				if c.want != nil {
					t.Errorf("%d %s: got no route", c.source, c.topic)
				}
				continue
			}
			if got := r.pipelines(route, topic); !slices.Equal(got, c.want) {
				t.Errorf("%d %s: got %v, want %v", c.source, c.topic, got, c.want)
			}
			if got := next.pipelines(route, topic); !slices.Equal(got, c.want) { // it waited in the journal
				t.Errorf("%d %s: got %v of another edition, want %v", c.source, c.topic, got, c.want)
			}
		}
	}
}

func TestAFullTableAsksTheRouterOfTheBroker(t *testing.T) {
	all := pipesOf(t, []string{"a"}, []string{"a"}, []string{"a"})
	all[1].Config.From = config.From{Broker: "x"}
	all[2].Config.From = config.From{Broker: "x"}
	r := newRoutes(all, 0, "x")
	full := make([][]int32, routesMax)
	r.shared.Store(&full)
	route, _ := r.from(1, []byte("a"))
	if got := r.pipelines(route, []byte("a")); route&routeAsk == 0 || !slices.Equal(got, []int32{1, 2}) {
		t.Errorf("got route %x: %v", route, got)
	}
}

func TestANodeKnowsSoManyBrokersAndNumbersEachOnce(t *testing.T) {
	n := &Node{journal: journal.NewMemory(1 << 20)}
	for range 2 {
		for i := 1; i < sourcesMax; i++ {
			if got, err := n.source(fmt.Sprint(i)); got != i || err != nil {
				t.Errorf("got %d, %v, want %d", got, err, i)
			}
		}
	}
	if got, err := n.source("one more"); err == nil {
		t.Errorf("got %d, want an error", got)
	}
}
