package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"millrace.dev/millrace/internal/journal"
)

// versions are what a link speaks, and what mosquitto's log says of it.
var versions = map[string]string{Version5: "(p5,", Version311: "(p2,"}

// watch counts what comes on plant/# of mosquitto, until it ends.
func (m *mosquitto) watch(o *ordered) {
	m.t.Helper()
	w := m.connect(hello{id: "watcher", keep: true, v5: true, expiry: 3600})
	w.send(subscribeBytes(true, 1, "plant/#", 1))
	var run sync.WaitGroup
	run.Go(func() {
		for {
			p, err := w.read()
			if err != nil {
				return
			}
			if p.kind == 3 {
				o.take(p.topic, p.payload)
				w.Write(ack(0x40, p.id))
			}
		}
	})
	m.t.Cleanup(func() {
		w.Close()
		run.Wait()
	})
}

func TestNothingIsLostOnTheWayOutAndOrderIsKept(t *testing.T) {
	const n = 20_000
	for version, mark := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m, got := newMosquitto(t), newOrdered()
			m.watch(got)
			way := newCutter(t, m.address, 60_000)
			c := linkConfig(way.Addr().String())
			c.Version = version
			l := link(t, c)
			l.deliver(0, n/2)
			m.restart()
			m.watch(got)
			l.deliver(n/2, n)
			until(t, "all messages arrive", func() bool { return got.count() >= n })
			got.check(t, n)
			if way.count() < 5 {
				t.Errorf("got %d cuts, want some", way.count())
			}
			if !strings.Contains(m.log.String(), "as site7 "+mark) {
				t.Errorf("mosquitto has not seen version %s", version)
			}
			t.Logf("%d cuts", way.count())
		})
	}
}

func TestNothingIsLostOnTheWayInAndOrderIsKept(t *testing.T) {
	const n = 10_000
	for version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m, got := newMosquitto(t), newOrdered()
			way := newCutter(t, m.address, 3_000)
			c := linkConfig(way.Addr().String(), "plant/#")
			c.Version = version
			l := link(t, c)
			l.waitUp()
			m.publish(0, n/2)
			m.restart()
			m.publish(n/2, n)
			r := l.journal.Read(0)
			for got.count() < n {
				rec := l.next(r, 1)[0]
				if rec.Route != 7 || rec.Keep != journal.Relaxed || rec.Hop != 0 {
					t.Fatalf("got %+v", rec)
				}
				got.take(string(rec.Topic), string(rec.Payload))
				r.Release(rec.Offset)
			}
			got.check(t, n)
			if way.count() < 5 {
				t.Errorf("got %d cuts, want some", way.count())
			}
			t.Logf("%d cuts", way.count())
		})
	}
}

// publish publishes the numbers from..to at QoS 1, and returns when mosquitto
// has acknowledged them.
func (m *mosquitto) publish(from, to int) {
	m.t.Helper()
	w := m.connect(hello{id: "publisher"})
	defer w.Close()
	const window = 20
	for i := from; i < to; i++ {
		if i-from >= window {
			w.expect(4)
		}
		w.publish(string(topicOf(i)), fmt.Sprint(i), 1, uint16(1+i%window))
	}
	for range min(window, to-from) {
		w.expect(4)
	}
}

// Messages of 20 bytes to mosquitto at QoS 1, and from it.
func BenchmarkLink(b *testing.B) {
	for version := range versions {
		b.Run("out/"+version, func(b *testing.B) {
			c := linkConfig(newMosquitto(b).address)
			c.Version = version
			l := link(b, c)
			l.waitUp()
			b.ResetTimer()
			l.deliver(0, b.N)
		})
		b.Run("in/"+version, func(b *testing.B) {
			m := newMosquitto(b)
			c := linkConfig(m.address, "plant/#")
			c.Version = version
			l := link(b, c)
			l.waitUp()
			b.ResetTimer()
			m.publish(0, b.N)
			until(b, "all came", func() bool { return l.metric("millrace_link_messages_in_total") >= uint64(b.N) })
		})
	}
}
