package oracle

import (
	"fmt"
	"time"
)

const (
	step       = 100 * time.Millisecond // event time between two messages of a device
	perSession = 50                     // messages before a device is silent
	silence    = 10 * time.Second       // of event time, which ends a session
	window     = time.Second
)

// epoch is the event time of message 0, in ms since 1970.
const epoch = int64(1_700_000_000_000)

// at returns the event time of a device's message, in ms. Numbers count from 1.
func at(n int) int64 {
	pauses := int64(n/perSession) * silence.Milliseconds()
	return epoch + int64(n)*step.Milliseconds() + pauses
}

// value returns what the device's message says.
func value(n int) int { return n * 7919 % 1000 }

// reading returns the payload of a device's message.
func reading(n int) []byte {
	return fmt.Appendf(nil, `{"seq":%d,"ts":%d,"v":%d}`, n, at(n), value(n))
}

// farewell returns a payload so late that all windows before it have ended.
func farewell(n int) []byte {
	return fmt.Appendf(nil, `{"seq":%d,"ts":%d,"v":0}`, n, at(n)+time.Hour.Milliseconds())
}

// A Count is what a window has to say.
type Count struct{ N, Sum, First, Last int }

func (c *Count) add(n int) {
	if c.N == 0 {
		c.First = n
	}
	c.N++
	c.Sum += value(n)
	c.Last = n
}

// Windows returns the tumbling windows of a device's first n messages, by the
// start of each in µs.
func Windows(n int) map[int64]Count {
	all := map[int64]Count{}
	for i := 1; i <= n; i++ {
		start := at(i) / window.Milliseconds() * window.Milliseconds()
		c := all[start*1000]
		c.add(i)
		all[start*1000] = c
	}
	return all
}

// Sessions returns the session windows of a device's first n messages, by the
// time of the first message of each in µs.
func Sessions(n int) map[int64]Count {
	all := map[int64]Count{}
	var c Count
	for i := 1; i <= n; i++ {
		c.add(i)
		if i == n || at(i+1)-at(i) >= silence.Milliseconds() {
			all[at(c.First)*1000] = c
			c = Count{}
		}
	}
	return all
}

// rate returns what rate-of-change makes of a message: the change per second
// since the one before, if there is one.
func rate(n int) (perSecond float64, ok bool) {
	if n == 1 {
		return 0, false
	}
	seconds := float64((at(n)-at(n-1))*1000) * 1e-6
	return float64(value(n)-value(n-1)) / seconds, true
}
