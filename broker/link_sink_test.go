package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace.dev/millrace/sinks"
	"millrace.dev/millrace/sinks/sinktest"
)

// A board is what a subscriber of mosquitto has got of x/#.
type board struct {
	*wire
	m      *mosquitto
	fences int
	rows   []sinktest.Row
}

// connect begins or goes on with the session of the subscriber.
func (b *board) connect() {
	b.wire = b.m.connect(hello{id: "board", v5: true, keep: true, expiry: 3600})
}

// read returns all that was published before.
func (b *board) read() []sinktest.Row {
	b.t.Helper()
	b.fences++
	fence := fmt.Sprint(b.fences)
	b.publish("x/fence", fence, 1, 1)
	for {
		p, err := b.wire.read()
		switch {
		case err != nil:
			b.t.Fatal(err)
		case p.kind != 3:
			continue
		}
		b.send(ack(0x40, p.id))
		if p.topic == "x/fence" {
			if p.payload == fence {
				return b.rows
			}
			continue
		}
		r, err := sinktest.ParseJSON([]byte(p.payload))
		if err != nil {
			b.t.Fatal(err)
		}
		b.rows = append(b.rows, r)
	}
}

func TestASinkToAnotherBrokerSurvives(t *testing.T) {
	for version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			sinktest.Run(t, sinktest.Harness{BadDevice: "a/b", Open: func(t *testing.T) sinktest.Place {
				b := &board{m: newMosquitto(t)}
				b.connect()
				b.subscribe("x/#", 1)
				c := linkConfig(b.m.address)
				c.Version = version
				l := link(t, c, func(_ *LinkOptions, l *Link) {
					if l != nil {
						l.wait.up = 20 * time.Millisecond
					}
				})
				l.waitUp()
				s, err := sinks.NewRemote(sinks.TopicConfig{Topic: "x/{device}", QoS: 1}, func(ctx context.Context) (sinks.Flight, error) { return l.Begin(ctx) })
				if err != nil {
					t.Fatal(err)
				}
				return sinktest.Place{Sink: s, Rows: b.read, Down: b.m.end, Up: func() {
					b.m.start()
					b.connect()
				}}
			}})
		})
	}
}
