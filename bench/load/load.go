package load

import (
	"fmt"
	"strconv"
	"time"
)

// The limits of a load; what is sent is kept in memory.
const (
	PublishersMax = 1000
	MessagesMax   = 20_000_000
	BatchMax      = 1000
)

// A Config says what is sent. Each publisher is one device.
type Config struct {
	Publishers int
	Messages   int // of all publishers; rounded down to the same number for each
	QoS        byte
	Batch      int           // messages in a write
	Step       time.Duration // event time between two readings of a device, whole ms
	Start      time.Time     // event time of the first reading, rounded down to a second

	// Results returns how many results the broker's subscriber will get once
	// this payload has been dealt with. It is called in the order of sending.
	Results func(device int, payload []byte) int
}

// A Load is packets ready to be sent.
type Load struct {
	Messages int // to be sent
	Results  int // to be seen
	Bytes    int // of all payloads
	QoS      byte
	scripts  []script
}

// A script is what one publisher sends.
type script struct {
	data   []byte
	writes []write
}

// A write is packets that are sent together: data from the end of the write
// before up to end.
type write struct {
	end, messages, results int
	pings                  int // PINGREQ at the end
}

// pingEvery is how many writes at QoS 0 are followed by a PINGREQ; its answer
// says that the broker has read them all.
const pingEvery = 8

// Topic returns the topic that device publishes to.
func Topic(device int) string { return "plant/d" + strconv.Itoa(device) + "/reading" }

func (c *Config) check() error {
	for _, limit := range []struct {
		name         string
		got, low, up int
	}{
		{"publishers", c.Publishers, 1, PublishersMax},
		{"messages", c.Messages, 2 * c.Publishers, MessagesMax},
		{"batch", c.Batch, 1, BatchMax},
		{"qos", int(c.QoS), 0, 1},
		{"step in ms", int(c.Step.Milliseconds()), 1, windowMS},
	} {
		if limit.got < limit.low || limit.got > limit.up {
			return fmt.Errorf("%s is %d, not from %d to %d", limit.name, limit.got, limit.low, limit.up)
		}
	}
	return nil
}

// New builds all that c asks for.
func New(c Config) (*Load, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	each := c.Messages / c.Publishers
	l := &Load{Messages: each * c.Publishers, QoS: c.QoS}
	for device := range c.Publishers {
		l.scripts = append(l.scripts, l.script(&c, device, each))
	}
	return l, nil
}

func (l *Load) script(c *Config, device, messages int) script {
	topic := Topic(device)
	from := newSource(device, c.Start.Unix()*1000, c.Step.Milliseconds(), messages)
	s := script{data: make([]byte, 0, messages*(len(topic)+112))}
	var payload []byte
	var w write
	id := uint16(0)
	for n := range messages {
		payload = from.next(payload[:0])
		l.Bytes += len(payload)
		if id++; id == 0 {
			id = 1
		}
		s.data = AppendPublish(s.data, topic, payload, c.QoS, id)
		w.messages++
		if c.Results != nil {
			results := c.Results(device, payload)
			w.results += results
			l.Results += results
		}
		if w.messages == c.Batch || n == messages-1 {
			if c.QoS == 0 && (len(s.writes)%pingEvery == pingEvery-1 || n == messages-1) {
				s.data = append(s.data, TypePingreq, 0)
				w.pings = 1
			}
			w.end = len(s.data)
			s.writes = append(s.writes, w)
			w = write{}
		}
	}
	return s
}

// Payloads returns messages readings of each of n devices, by turns, as a
// broker would see them from publishers of one speed.
func Payloads(devices, messages int, start time.Time, step time.Duration) [][]byte {
	var sources []*source
	for device := range devices {
		sources = append(sources, newSource(device, start.Unix()*1000, step.Milliseconds(), messages))
	}
	all := make([][]byte, 0, devices*messages)
	for range messages {
		for _, s := range sources {
			all = append(all, s.next(nil))
		}
	}
	return all
}
