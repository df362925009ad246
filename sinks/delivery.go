package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

const (
	// RowsMaxDefault is the most rows of a write unless said.
	RowsMaxDefault = 1024
	// QueueMaxDefault is the most bytes of rows that wait unless said.
	QueueMaxDefault = 64 << 20
)

// DeliveryConfig is what a delivery needs beside its sink. Its zero value is
// good for a sink in the same process: rows leave at once.
type DeliveryConfig struct {
	Pipeline string // labels of logs and metrics
	Sink     string
	Dead     func([]pipeline.DeadLetter) // gets what the sink refuses, from the goroutine of Run; nil for nobody
	Log      *slog.Logger                // nil for none
	Metrics  *metrics.Registry           // nil for none
	RowsMax  int                         // most rows of a write; 0 for RowsMaxDefault
	Linger   time.Duration               // how long rows wait for more; 0 for not at all
	QueueMax int64                       // most bytes of rows that wait; 0 for QueueMaxDefault
}

// A Delivery takes rows to one sink: in order, again and again until they
// are there, and without ever holding whoever brings them.
type Delivery struct {
	sink  Sink
	meter Meter // the sink, if it is one
	c     DeliveryConfig
	log   *slog.Logger
	count *counts
	retry backoff
	state outage
	json  jsonRows      // of dead letters
	woken chan struct{} // wakes Run when it waits for rows
	cut   chan struct{} // wakes Run when it waits to try again
	close func() error

	mu      sync.Mutex
	queue   queue
	waiting bool          // Run waits on woken
	drains  int           // how many calls of Drain wait
	empty   chan struct{} // closed when nothing is left, for Drain
	ended   bool          // Run has
	posts   posts
	full    fullness
	last    error // of the sink, while it is down
}

// NewDelivery returns the delivery to s, which becomes its own: nobody else
// writes to it, and the delivery closes it.
func NewDelivery(s Sink, c DeliveryConfig) *Delivery {
	if c.RowsMax <= 0 {
		c.RowsMax = RowsMaxDefault
	}
	if c.QueueMax <= 0 {
		c.QueueMax = QueueMaxDefault
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Delivery{
		sink: s, c: c, log: c.Log.With("sink", c.Sink), json: newJSON(nil),
		retry: backoff{first: RetryFirst, most: RetryMost},
		woken: make(chan struct{}, 1), cut: make(chan struct{}, 1), empty: make(chan struct{}),
		close: sync.OnceValue(s.Close),
		queue: queue{rowsMax: c.RowsMax, bytesMax: c.QueueMax, mix: c.Linger > 0},
	}
	if c.Pipeline != "" {
		d.log = d.log.With("pipeline", c.Pipeline)
	}
	d.meter, _ = s.(Meter)
	d.count = newCounts(c, d)
	return d
}

// Push copies the rows of b to the queue. It never waits for the sink; any
// goroutine may call it. When the queue is full the oldest rows are dropped,
// some at a time, and counted; the log says when that begins and ends.
func (d *Delivery) Push(b *pipeline.Batch) {
	if b.Rows() == 0 {
		return
	}
	d.mu.Lock()
	was := d.queue.len()
	dropped := d.queue.push(b, time.Now())
	begins := d.full.drop(dropped)
	wake := d.waiting && d.matters(was)
	d.waiting = d.waiting && !wake
	d.mu.Unlock()
	if wake {
		poke(d.woken)
	}
	d.count.dropped.Add(dropped)
	if begins {
		d.log.Warn("sink queue full, the oldest rows are dropped", "bytes", d.c.QueueMax)
	}
}

// matters reports whether a push has changed what Run waits for; there were
// so many chunks before.
func (d *Delivery) matters(was int) bool {
	n := d.queue.len()
	return d.c.Linger == 0 || was == 0 || n > 1 || n == 1 && d.queue.isFull(d.queue.first())
}

// poke wakes whoever waits on a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, and then closes the sink. What is in the queue
// then is lost; Drain comes first.
func (d *Delivery) Run(ctx context.Context) {
	defer d.end()
	d.catchUp()
	for {
		c := d.next(ctx)
		if c == nil || !d.deliver(ctx, c) {
			return
		}
		d.done()
	}
}

// next waits for a chunk that is to be written now. It returns nil when ctx ends.
func (d *Delivery) next(ctx context.Context) *chunk {
	for ctx.Err() == nil {
		again := d.refill()
		d.keep(false)
		d.mu.Lock()
		c, wait := d.due(time.Now())
		if !d.isKept() && (wait == 0 || wait > cursorEvery) {
			wait = cursorEvery
		}
		d.queue.writing = c != nil
		d.waiting = c == nil
		idle := c == nil && d.drains > 0 && d.queue.rows == 0 && !again
		d.mu.Unlock()
		if c != nil {
			return c
		}
		if again {
			continue
		}
		if idle {
			d.rest()
		}
		if wait == 0 {
			select {
			case <-d.woken:
			case <-ctx.Done():
			}
		} else {
			pause(ctx, wait, d.woken)
		}
	}
	return nil
}

// due returns the first chunk if it is to be written now, or else how long it
// has to wait; 0 for no chunk at all.
func (d *Delivery) due(now time.Time) (*chunk, time.Duration) {
	c := d.queue.first()
	if c == nil {
		return nil, 0
	}
	age := now.Sub(c.since)
	if d.queue.len() > 1 || d.queue.isFull(c) || age >= d.c.Linger || d.drains > 0 {
		return c, 0
	}
	return nil, d.c.Linger - age
}

// deliver writes c until all of it is done with. It reports false when ctx
// ends before that.
func (d *Delivery) deliver(ctx context.Context, c *chunk) bool {
	for {
		done, err := d.write(ctx, &c.b)
		if err == nil {
			d.back()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if done > 0 {
			d.retry.reset()
			d.shorten(c, done)
		}
		d.down(err)
		if !pause(ctx, d.retry.next(err), d.cut) {
			return false
		}
		d.count.retries.Inc()
	}
}

// write writes b once. It returns how many rows are done with and the error
// that keeps the others back.
func (d *Delivery) write(ctx context.Context, b *pipeline.Batch) (done int, err error) {
	var before uint64
	if d.meter != nil {
		before = d.meter.Written()
	}
	err = d.sink.Write(ctx, b)
	if d.meter != nil {
		d.count.bytes.AddInt64(int64(d.meter.Written() - before))
	}
	var no []Refusal
	var whole *Refused
	var part *Partial
	switch {
	case err == nil:
		done = b.Rows()
	case errors.As(err, &part):
		done, no = part.Done, part.Refused
	case errors.As(err, &whole):
		done, no, err = b.Rows(), whole.Rows, nil
	}
	d.setAside(b, no)
	d.count.rows.Add(done - len(no))
	return done, err
}

// setAside makes dead letters of the rows that the sink refused.
func (d *Delivery) setAside(b *pipeline.Batch, no []Refusal) {
	d.count.refused.Add(len(no))
	if len(no) == 0 || d.c.Dead == nil {
		return
	}
	letters := make([]pipeline.DeadLetter, len(no))
	d.json.fit(b)
	for k, r := range no {
		letters[k] = pipeline.DeadLetter{
			Time: b.Time[r.Row], Offset: b.Offset[r.Row],
			Stage: "sink " + d.c.Sink, Reason: r.Reason,
			Payload: d.json.append(nil, b, r.Row),
		}
	}
	d.c.Dead(letters)
}

// shorten drops the first rows of the chunk that is being written.
func (d *Delivery) shorten(c *chunk, done int) {
	left := make([]int32, c.b.Rows()-done)
	for i := range left {
		left[i] = int32(done + i)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	before := c.bytes
	c.b.Take(left)
	c.count()
	d.queue.bytes += c.bytes - before
	d.queue.rows -= done
}

// done takes the chunk that was written out of the queue.
func (d *Delivery) done() {
	d.mu.Lock()
	d.queue.writing = false
	if c := d.queue.first(); len(c.ends) > 0 {
		d.deliveredUpTo(c.ends)
	}
	d.queue.remove()
	if d.queue.rows == 0 && d.drains > 0 && d.posts.journal == nil {
		d.release()
	}
	ends, dropped := d.full.relax(d.queue.bytes, d.c.QueueMax)
	d.mu.Unlock()
	if ends {
		d.log.Info("sink queue has room again", "dropped", dropped)
	}
}

// rest is called when everything is delivered and somebody drains.
func (d *Delivery) rest() {
	d.keep(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
}

// release lets all calls of Drain go on.
func (d *Delivery) release() {
	close(d.empty)
	d.empty = make(chan struct{})
}

// Drain returns when all that was pushed is written or refused; Run has to be
// running. A sink that waits to be tried again is tried at once. When ctx ends
// first, the error says how many rows are left and what the sink last said.
func (d *Delivery) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.drains++
	defer func() {
		d.mu.Lock()
		d.drains--
		d.mu.Unlock()
	}()
	poke(d.woken)
	poke(d.cut)
	for (d.queue.rows > 0 || !d.isKept() || d.isBehind()) && !d.ended && ctx.Err() == nil {
		empty := d.empty
		d.mu.Unlock()
		select {
		case <-empty:
		case <-ctx.Done():
		}
		d.mu.Lock()
	}
	defer d.mu.Unlock()
	switch {
	case d.queue.rows == 0:
		return nil
	case d.posts.journal != nil:
		d.log.Info("rows wait in the journal for the next start", "rows", d.queue.rows)
		return nil
	case d.last != nil:
		return fmt.Errorf("sink %s: %d rows were not delivered: %w", d.c.Sink, d.queue.rows, d.last)
	case ctx.Err() != nil:
		return fmt.Errorf("sink %s: %d rows were not delivered in time: %w", d.c.Sink, d.queue.rows, ctx.Err())
	}
	return fmt.Errorf("sink %s: %d rows were not delivered: its delivery has ended", d.c.Sink, d.queue.rows)
}

// end closes the sink and lets go whoever drains.
func (d *Delivery) end() {
	if err := d.Close(); err != nil {
		d.log.Warn("sink not closed", "error", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended, d.queue.writing = true, false
	d.release()
}

// Close closes the sink. Run does so when it ends; Close is for a delivery
// that is never run. A second Close does nothing.
func (d *Delivery) Close() error { return d.close() }
