package broker

import (
	"errors"
	"log/slog"
	"time"
)

// An outage is what Run remembers of a link that is down, for the log: one
// line when it begins, one if it turns out to be a mistake of the
// configuration, one when it ends.
type outage struct {
	log     *slog.Logger
	address string
	since   time.Time // zero while there is none
	mistake bool      // the log says so
}

// A mistake is an error that stays until somebody mends the configuration,
// here or there.
type mistake struct{ error }

// Unwrap returns what is wrong.
func (m *mistake) Unwrap() error { return m.error }

// goesOn notes that the link is down.
func (o *outage) goesOn(err error) {
	begins := o.since.IsZero()
	if begins {
		o.since = time.Now()
	}
	var wrong *mistake
	switch {
	case errors.As(err, &wrong) && !o.mistake:
		o.mistake = true
		o.log.Error("link is refused; it is tried until that is mended", "address", o.address, "error", err)
	case begins:
		o.log.Warn("link is down", "address", o.address, "error", err)
	}
}

// ends notes that the link is up.
func (o *outage) ends() {
	if o.since.IsZero() {
		o.log.Info("link is up", "address", o.address)
	} else {
		o.log.Info("link is up again", "after", time.Since(o.since).Round(time.Millisecond))
	}
	o.since, o.mistake = time.Time{}, false
}
