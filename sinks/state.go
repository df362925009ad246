package sinks

import (
	"errors"
	"time"

	"millrace.dev/millrace/internal/metrics"
)

// An outage is what a delivery remembers while its sink is down. Only Run
// uses it.
type outage struct {
	since   time.Time // zero while the sink is well
	mistake bool      // the log says that the configuration is wrong
}

// down notes that a write has gone wrong, and logs the first of a row of
// them, and the first that is a mistake of the configuration.
func (d *Delivery) down(err error) {
	d.count.errors.Inc()
	d.mu.Lock()
	d.last = err
	d.mu.Unlock()
	var later *Later
	mistake := errors.As(err, &later) && later.Mistake
	first := d.state.since.IsZero()
	if first {
		d.state.since = time.Now()
	}
	switch {
	case mistake && !d.state.mistake:
		d.state.mistake = true
		d.log.Error("sink refuses us; rows wait until that is mended", "error", err)
	case first:
		d.log.Warn("sink unreachable", "error", err)
	}
}

// back notes that a write has gone well.
func (d *Delivery) back() {
	d.retry.reset()
	if d.state.since.IsZero() {
		return
	}
	d.log.Info("sink recovered", "after", time.Since(d.state.since).Round(time.Millisecond))
	d.state = outage{}
	d.mu.Lock()
	d.last = nil
	d.mu.Unlock()
}

// A fullness is what a delivery remembers while its queue drops rows.
type fullness struct {
	dropped int // since it began; 0 while there is room
}

// drop notes that rows were dropped and reports whether that begins now.
func (f *fullness) drop(rows int) (begins bool) {
	begins = f.dropped == 0 && rows > 0
	f.dropped += rows
	return begins
}

// relax reports whether a queue that dropped rows has room again, that is
// when it is half empty, and how many rows it dropped.
func (f *fullness) relax(bytes, most int64) (ends bool, dropped int) {
	if f.dropped == 0 || bytes > most/2 {
		return false, 0
	}
	dropped, f.dropped = f.dropped, 0
	return true, dropped
}

// counts are the metrics of a delivery.
type counts struct {
	rows, bytes, retries, errors, dropped, refused *metrics.Counter
}

func newCounts(c DeliveryConfig, d *Delivery) *counts {
	m := c.Metrics
	if m == nil {
		m = metrics.New()
	}
	labels := []string{"pipeline", c.Pipeline, "sink", c.Sink}
	m.Gauge("millrace_sink_queue_bytes", func() float64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		return float64(d.queue.bytes)
	}, labels...)
	m.Gauge("millrace_sink_queue_rows", func() float64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		return float64(d.queue.rows)
	}, labels...)
	m.Gauge("millrace_sink_lag_seconds", func() float64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		if c := d.queue.first(); c != nil {
			return time.Since(c.since).Seconds()
		}
		return 0
	}, labels...)
	return &counts{
		rows:    m.Counter("millrace_sink_rows_total", labels...),
		bytes:   m.Counter("millrace_sink_bytes_total", labels...),
		retries: m.Counter("millrace_sink_retries_total", labels...),
		errors:  m.Counter("millrace_sink_errors_total", labels...),
		dropped: m.Counter("millrace_sink_dropped_total", labels...),
		refused: m.Counter("millrace_sink_refused_total", labels...),
	}
}
