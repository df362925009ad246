package node

import (
	"context"
	"errors"
)

// errEnded is returned by dispatcher.change when the node stops.
var errEnded = errors.New("the node is stopping")

// A change is something to be done between two rounds.
type change struct {
	do   func()
	done chan struct{} // closed when it is done or will never be
	ran  bool
}

// change calls do between two rounds: every message before has been handed
// out by the old routes, every one behind will be by the new ones; those that
// come meanwhile wait in the journal. It returns when do has returned, or
// errEnded if the dispatcher has ended.
func (d *dispatcher) change(do func()) error {
	c := &change{do: do, done: make(chan struct{})}
	d.mu.Lock()
	if d.ended {
		d.mu.Unlock()
		return errEnded
	}
	d.changes = append(d.changes, c)
	if d.wake != nil {
		d.wake()
		d.wake = nil
	}
	d.mu.Unlock()
	<-c.done
	if !c.ran {
		return errEnded
	}
	return nil
}

// prepare does the changes that wait, and returns the context to wait for
// messages with; last is the one of the round before.
func (d *dispatcher) prepare(ctx, last context.Context) context.Context {
	for {
		d.mu.Lock()
		if len(d.changes) == 0 {
			if d.wake == nil {
				last, d.wake = context.WithCancel(ctx)
			}
			d.mu.Unlock()
			return last
		}
		changes := d.changes
		d.changes = nil
		d.mu.Unlock()
		for _, c := range changes {
			c.do()
			c.ran = true
			close(c.done)
		}
	}
}

// end tells the feeds that nothing more will come, and those who want a
// change that there will be none.
func (d *dispatcher) end() {
	for _, f := range d.feeds {
		f.finish()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.wake != nil {
		d.wake()
	}
	for _, c := range d.changes {
		close(c.done)
	}
}
