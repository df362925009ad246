package sinks

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// RetryFirst is the most that a delivery waits after the first failure.
	// Each failure doubles it, up to RetryMost; the wait is anywhere below
	// ("full jitter", so that a fleet of nodes does not come back as one).
	RetryFirst = 500 * time.Millisecond
	// RetryMost is the most that a delivery waits between two tries.
	RetryMost = time.Minute
	// RetryAfterMost is the longest Retry-After of a server that is honoured.
	RetryAfterMost = 10 * time.Minute
)

// A backoff says how long to wait after each failure in a row.
type backoff struct {
	first, most time.Duration
	failures    int
}

// next counts a failure and returns how long to wait.
func (b *backoff) next(err error) time.Duration {
	ceiling := b.most
	if b.failures < 30 { // else it would overflow; it is the most long since
		ceiling = min(b.first<<b.failures, b.most)
	}
	b.failures++
	wait := rand.N(ceiling + 1)
	var later *Later
	if errors.As(err, &later) {
		wait += min(later.After, RetryAfterMost)
	}
	return wait
}

// reset forgets all failures.
func (b *backoff) reset() { b.failures = 0 }

// pause waits; cut ends the wait early. It reports whether ctx goes on.
func pause(ctx context.Context, wait time.Duration, cut <-chan struct{}) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-cut:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
