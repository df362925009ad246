package node

import (
	"context"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
)

// A wall is a clock that can be set.
type wall struct {
	now time.Time
	up  time.Duration
	set bool
}

func (w *wall) pass(d time.Duration) { w.now, w.up = w.now.Add(d), w.up+d }

func (w *wall) distrust(j journal.Journal, boot string) *distrust {
	return &distrust{journal: j, boot: boot, isSet: func() bool { return w.set }, now: func() time.Time { return w.now }, up: func() time.Duration { return w.up }}
}

// stamp appends a message with the time as the clock shows it, and the right
// one as its payload.
func (w *wall) stamp(t *testing.T, j journal.Journal, right time.Time) {
	t.Helper()
	if _, err := j.TryAppend(journal.Record{Arrived: w.now.UnixMicro(), Payload: []byte(right.Format(time.RFC3339Nano)), Keep: journal.Durable}); err != nil {
		t.Fatal(err)
	}
}

func checkStamps(t *testing.T, j *mortal, d *distrust) {
	t.Helper()
	recs, err := j.Memory.Read(0).Next(context.Background(), nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	d.apply(recs)
	for _, r := range recs {
		if got := time.UnixMicro(r.Arrived).UTC().Format(time.RFC3339Nano); got != string(r.Payload) {
			t.Errorf("message %d arrived at %s, want %s", r.Offset, got, r.Payload)
		}
	}
}

func TestStampsOfAClockThatWasNotSetAreCorrected(t *testing.T) {
	right := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, wrong := range map[string]time.Time{
		"1970": time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC), "an hour ago": right.Add(-time.Hour), "ten years ahead": right.AddDate(10, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			w := &wall{now: wrong, up: 5 * time.Second}
			ahead := right.Sub(wrong)
			j := newMortal(t)
			w.stamp(t, j, wrong) // before the node distrusted anything: it stays
			d := w.distrust(j, "boot")
			if held, err := d.begin(2); !held || err != nil {
				t.Fatalf("got %v, %v, want messages to be held back", held, err)
			}
			for range 3 {
				w.pass(time.Second)
				w.stamp(t, j, w.now.Add(ahead))
			}
			next := w.distrust(j, "boot") // the process dies and comes back
			if err := next.read(); err != nil {
				t.Fatal(err)
			}
			if held, err := next.begin(2); !held || err != nil {
				t.Fatalf("got %v, %v, want messages to be held back again", held, err)
			}
			next.start()
			check := func(what string, want bool) {
				if got := next.look(time.Hour); got != want {
					t.Errorf("%s: got %v, want the wait over: %v", what, got, want)
				}
			}
			check("at first", false)
			w.pass(time.Second)
			w.stamp(t, j, w.now.Add(ahead))
			w.now = w.now.Add(ahead)
			w.stamp(t, j, w.now)
			check("after the step", false)
			w.pass(time.Second)
			w.stamp(t, j, w.now)
			w.set = true
			check("set", true)
			if err := next.over(); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Second)
			w.stamp(t, j, w.now)
			checkStamps(t, j, next)
			after := w.distrust(j, "another boot")
			if err := after.read(); err != nil {
				t.Fatal(err)
			}
			if held, err := after.begin(2); held || err != nil {
				t.Errorf("got %v, %v, want nothing held back", held, err)
			}
			checkStamps(t, j, after)
			if after.begin(100); len(after.all) > 0 {
				t.Errorf("corrections that nobody needs are kept: %v", after.all)
			}
		})
	}
}

func TestAClockThatNobodySetsIsWaitedForSoLong(t *testing.T) {
	w := &wall{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), up: time.Minute}
	j := newMortal(t)
	d := w.distrust(j, "boot")
	d.begin(1)
	w.stamp(t, j, w.now)
	d.start()
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {59 * time.Second, false}, {time.Second, true}} {
		w.pass(c.after)
		if got := d.look(time.Minute); got != c.want {
			t.Errorf("after another %v: got %v, want %v", c.after, got, c.want)
		}
	}
	if err := d.over(); err != nil || len(d.all) > 0 {
		t.Errorf("got %v, corrections %v, want none", err, d.all)
	}
	checkStamps(t, j, d)
}
