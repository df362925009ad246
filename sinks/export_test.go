package sinks

import "time"

// RetryWithin makes the waits of a delivery short, for tests of others.
func (d *Delivery) RetryWithin(most time.Duration) { d.retry.first, d.retry.most = most, most }
