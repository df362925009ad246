package node

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/sinks"
)

// A delivery is one that a node has opened, with what it was opened for.
type delivery struct {
	*sinks.Delivery
	pipeline string // empty: it is for all that name it
	name     string
	id       string // in the journal; "" if that is in memory
	target   config.Target
	files    []stamp
	link     *link              // to the other broker that it publishes to, or nil
	end      context.CancelFunc // ends Run; nil before it begins
	ended    chan struct{}      // closed when Run has returned
}

// deliver runs d until ctx or d.end ends it.
func (d *delivery) deliver(ctx context.Context) {
	defer close(d.ended)
	d.Run(ctx)
}

// reuse returns the delivery of the edition before that was opened for the
// same, or nil. Each is given out once.
func (d *deliveries) reuse(want *delivery) *delivery {
	for i, one := range d.old {
		if one != nil && one.pipeline == want.pipeline && one.name == want.name && one.link == want.link && reflect.DeepEqual(one.target, want.target) && reflect.DeepEqual(one.files, want.files) {
			d.old[i] = nil
			return one
		}
	}
	return nil
}

// fresh returns the deliveries that have not begun.
func (d *deliveries) fresh() []*delivery {
	var all []*delivery
	for _, one := range d.all {
		if one.end == nil {
			all = append(all, one)
		}
	}
	return all
}

// without returns the deliveries that other does not have.
func (d *deliveries) without(other *deliveries) []*delivery {
	return slices.DeleteFunc(slices.Clone(d.all), func(one *delivery) bool { return slices.Contains(other.all, one) })
}

// abandon closes what was opened in vain.
func (d *deliveries) abandon() error {
	var errs []error
	for _, one := range d.fresh() {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
