package node

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace.dev/millrace/internal/journal"
)

const (
	clockLook = 100 * time.Millisecond
	clockName = "system"
	// stepMin is the least step of the clock that is worth a correction.
	stepMin = int64(1e6) // µs
)

// A correction puts arrival times right that a clock stamped before it was
// set. Corrections are kept in the journal, so that a replay makes the same of
// the messages.
type correction struct {
	Boot string // of the system, where it tells
	Base int64  // µs: what the clock showed when the system had been up for no time
	From uint64 // the first message that is held back
	To   uint64 // the last one that may have a wrong stamp; 0 while messages are held back
	Sure uint64 // the last one that has
	At   int64  // µs: the time by the right clock when To came
	Step int64  // µs that are added to wrong stamps
}

// apply corrects the arrival times of messages. Those of the moment of the
// step may be of either clock: of the one that is nearer.
func (c *correction) apply(recs []journal.Record) {
	for k := range recs {
		r := &recs[k]
		if r.Offset < c.From || r.Offset > c.To {
			continue
		}
		if r.Offset <= c.Sure || abs(r.Arrived+c.Step-c.At) < abs(r.Arrived-c.At) {
			r.Arrived += c.Step
		}
	}
}

func abs(v int64) int64 { return max(v, -v) }

// A distrust holds messages back while the clock is not set.
type distrust struct {
	journal journal.Journal
	isSet   func() bool
	now     func() time.Time
	up      func() time.Duration // since the system was booted, sleep included
	boot    string
	all     []correction // whose messages may be processed again

	begun time.Duration // when the wait began
	next  uint64        // the next message as of the last look
	last  int64         // the base then
}

// newDistrust reads the corrections of the journal.
func newDistrust(j journal.Journal) (*distrust, error) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	d := &distrust{journal: j, isSet: isSet, now: time.Now, up: uptime(time.Now()), boot: strings.TrimSpace(string(boot))}
	return d, d.read()
}

func (d *distrust) read() error {
	return d.journal.Entries(journal.Clock, clockName, func(_ journal.Position, body []byte) error {
		d.all = nil
		return json.Unmarshal(body, &d.all)
	})
}

// uptime returns a clock that nobody sets: since boot where the system tells,
// or else since start.
func uptime(start time.Time) func() time.Duration {
	return func() time.Duration {
		text, err := os.ReadFile("/proc/uptime")
		first, _, _ := strings.Cut(string(text), " ")
		if s, bad := strconv.ParseFloat(first, 64); err == nil && bad == nil {
			return time.Duration(s * float64(time.Second))
		}
		return time.Since(start)
	}
}

func (d *distrust) base() int64 { return d.now().Add(-d.up()).UnixMicro() }

// begin notes that what comes in from now on is stamped by a clock that is
// not set; false: it is. needed is the first message that is processed again.
func (d *distrust) begin(needed uint64) (bool, error) {
	d.all = slices.DeleteFunc(d.all, func(c correction) bool {
		return c.To > 0 && c.To < needed || c.To == 0 && (c.Boot != d.boot || d.boot == "") // how long was the system off?
	})
	if n := len(d.all); n > 0 && d.all[n-1].To == 0 {
		return true, nil // the process before was of the same boot and waited, too
	}
	if d.isSet() {
		return false, nil
	}
	d.all = append(d.all, correction{Boot: d.boot, Base: d.base(), From: d.journal.Next()})
	return true, d.put()
}

// wait returns when the clock is set, or most is over, and notes what is to be
// corrected.
func (d *distrust) wait(ctx context.Context, most time.Duration) error {
	look := time.NewTicker(clockLook)
	defer look.Stop()
	for d.start(); !d.look(most); {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
	return d.over()
}

// start begins to look at the clock.
func (d *distrust) start() {
	c := d.all[len(d.all)-1]
	d.begun, d.next, d.last = d.up(), c.From, c.Base
}

// look notes whether the clock has been moved, and reports whether the wait is
// over.
func (d *distrust) look(most time.Duration) bool {
	c := &d.all[len(d.all)-1]
	set := d.isSet()
	if base := d.base(); abs(base-d.last) >= stepMin {
		c.Sure, c.To, c.At, c.Step = d.next-1, d.journal.Next()-1, d.now().UnixMicro(), base-c.Base
		d.last = base
	}
	d.next = d.journal.Next()
	return set || d.up()-d.begun >= most
}

// over puts the correction, if there is one.
func (d *distrust) over() error {
	if last := len(d.all) - 1; d.all[last].To == 0 {
		d.all = d.all[:last]
	}
	return d.put()
}

func (d *distrust) put() error {
	body, err := json.Marshal(d.all)
	if err != nil {
		return err
	}
	_, _, err = d.journal.Put(journal.Entry{Kind: journal.Clock, Name: clockName, Whole: true, Body: body})
	return err
}

// apply corrects messages that were stamped by a clock that was not set.
func (d *distrust) apply(recs []journal.Record) {
	for i := range d.all {
		d.all[i].apply(recs)
	}
}
