package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// How much may be under way.
const (
	ResultsMax = 500 // results that the observer has not seen, of all publishers; a session of millrace holds 1000
	AcksMax    = 100 // messages without PUBACK, of a publisher
	PingsMax   = 1   // PINGREQ without answer, of a publisher
	StallMax   = 60 * time.Second
	pause      = 100 * time.Microsecond // when nobody has credit
)

// ErrStalled is returned when nothing has moved for StallMax.
var ErrStalled = errors.New("stalled")

// Options says where a load goes.
type Options struct {
	Addr   string
	Filter string // what the observer subscribes to
	Rate   int    // messages a second of all publishers; 0: as fast as the broker goes

	// Begin is called when all are connected, just before the first message.
	Begin func()
}

// A Report is how it went.
type Report struct {
	Messages int           // sent, and answered for
	Results  int           // seen by the observer
	Wall     time.Duration // from the first message to the last result
	CPU      time.Duration // of this process meanwhile
}

// A publisher is a connection and its script.
type publisher struct {
	*Conn
	script
	next     int // the next write
	sent     int // messages
	pings    int
	answered atomic.Int64 // messages: by PUBACK
	pongs    atomic.Int64
}

// A run is a load on its way.
type run struct {
	*Load
	Options
	publishers []*publisher
	observer   *Conn
	due        int // results of what has been sent
	seen       atomic.Int64
	errs       chan error
}

// Run sends l and returns when every message has been answered for and every
// result has been seen. It fails with ErrStalled if that does not come about.
func (l *Load) Run(ctx context.Context, o Options) (Report, error) {
	r := &run{Load: l, Options: o, errs: make(chan error, len(l.scripts)+1)}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer r.close()
	if err := r.open(); err != nil {
		return Report{}, err
	}
	readers.Go(func() { r.errs <- r.observe() })
	for _, p := range r.publishers {
		readers.Go(func() { r.errs <- p.listen() })
	}
	if o.Begin != nil {
		o.Begin()
	}
	cpu, start := selfCPU(), time.Now()
	if err := r.send(ctx); err != nil {
		return Report{}, err
	}
	if err := r.await(ctx, r.finished); err != nil {
		return Report{}, fmt.Errorf("waiting for the last results: %w", err)
	}
	return Report{Messages: l.Messages, Results: int(r.seen.Load()), Wall: time.Since(start), CPU: selfCPU() - cpu}, nil
}

func (r *run) open() (err error) {
	if r.observer, err = Dial(r.Addr, "observer"); err != nil {
		return err
	}
	if err = r.observer.Subscribe(r.Filter, r.QoS); err != nil {
		return err
	}
	for i, s := range r.scripts {
		c, err := Dial(r.Addr, fmt.Sprintf("publisher-%d", i))
		if err != nil {
			return err
		}
		r.publishers = append(r.publishers, &publisher{Conn: c, script: s})
	}
	return nil
}

func (r *run) close() {
	if r.observer != nil {
		r.observer.Close()
	}
	for _, p := range r.publishers {
		p.Close()
	}
}

// send lets each publisher in turn send what it has credit for.
func (r *run) send(ctx context.Context) error {
	start, sent := time.Now(), 0
	turn := 0
	for sent < r.Messages {
		before := sent
		for range r.publishers {
			if r.Rate > 0 && sent > int(time.Since(start).Seconds()*float64(r.Rate)) {
				break
			}
			n, err := r.step(r.publishers[turn])
			turn = (turn + 1) % len(r.publishers)
			if err != nil {
				return err
			}
			sent += n
		}
		if sent > before {
			continue
		}
		if err := r.await(ctx, r.ready); err != nil {
			return fmt.Errorf("after %d of %d messages, %d of %d results: %w", sent, r.Messages, r.seen.Load(), r.due, err)
		}
		if r.Rate > 0 {
			time.Sleep(time.Second / time.Duration(r.Rate))
		}
	}
	return nil
}

// step sends one write of p if there is credit, and returns its messages.
func (r *run) step(p *publisher) (int, error) {
	if !r.credit(p) {
		return 0, nil
	}
	from, w := 0, p.writes[p.next]
	if p.next > 0 {
		from = p.writes[p.next-1].end
	}
	p.next++
	p.sent += w.messages
	p.pings += w.pings
	r.due += w.results
	_, err := p.Write(p.data[from:w.end])
	return w.messages, err
}

func (r *run) credit(p *publisher) bool {
	if p.next == len(p.writes) || r.due-int(r.seen.Load()) >= ResultsMax {
		return false
	}
	if r.QoS > 0 {
		return p.sent-int(p.answered.Load()) < AcksMax
	}
	return p.pings-int(p.pongs.Load()) <= PingsMax
}

// ready reports whether any publisher has credit.
func (r *run) ready() bool {
	for _, p := range r.publishers {
		if r.credit(p) {
			return true
		}
	}
	return false
}

// finished reports whether everything sent has been answered for and seen.
func (r *run) finished() bool {
	if int(r.seen.Load()) < r.Results {
		return false
	}
	for _, p := range r.publishers {
		if r.QoS > 0 && int(p.answered.Load()) < p.sent || int(p.pongs.Load()) < p.pings {
			return false
		}
	}
	return true
}

// await waits until is holds, as long as something moves.
func (r *run) await(ctx context.Context, is func() bool) error {
	last, at := int64(-1), time.Now()
	for !is() {
		select {
		case err := <-r.errs:
			return err
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		time.Sleep(pause)
		moved := r.seen.Load()
		for _, p := range r.publishers {
			moved += p.answered.Load() + p.pongs.Load()
		}
		if moved != last {
			last, at = moved, time.Now()
		} else if time.Since(at) > StallMax {
			return fmt.Errorf("%w: %d of %d results seen", ErrStalled, r.seen.Load(), r.Results)
		}
	}
	return nil
}

// listen counts the answers to a publisher until the connection ends.
func (p *publisher) listen() error {
	for {
		header, n, err := p.Conn.next()
		if err != nil {
			return fmt.Errorf("publisher: %w", err)
		}
		switch header {
		case TypePuback:
			p.answered.Add(1)
		case TypePingresp:
			p.pongs.Add(1)
		}
		if _, err := p.r.Discard(n); err != nil {
			return fmt.Errorf("publisher: %w", err)
		}
	}
}

// observe counts results until the connection ends.
func (r *run) observe() error {
	w := &watcher{run: r, c: r.observer}
	for {
		if err := w.packet(); err != nil {
			return fmt.Errorf("observer: %w", err)
		}
	}
}

// A watcher counts results. At QoS 0 one counts when it is here. At QoS 1 it
// is acknowledged, and counts when the broker has read that, which the answer
// to a PINGREQ tells: until then it takes room in the broker's session.
type watcher struct {
	*run
	c       *Conn
	acks    []byte
	got     int64 // results
	acked   int64 // results whose PUBACK has been written
	mark    int64 // acked when the PINGREQ was sent
	pinging bool
}

func (w *watcher) packet() error {
	header, n, err := w.c.next()
	if err != nil {
		return err
	}
	switch {
	case header == TypePingresp:
		w.pinging = false
		w.seen.Store(w.mark)
	case header&0xf0 == TypePublish:
		w.got++
		if header&6 == 0 {
			w.seen.Store(w.got)
		} else if w.acks, err = w.c.appendAck(w.acks, n); err != nil {
			return err
		}
	}
	if _, err := w.c.r.Discard(n); err != nil {
		return err
	}
	if w.c.r.Buffered() == 0 || len(w.acks) >= 4096 {
		return w.flush()
	}
	return nil
}

// flush sends what waits, and asks whether the broker has it.
func (w *watcher) flush() error {
	if len(w.acks) > 0 {
		w.acked = w.got
	}
	if !w.pinging && w.acked > w.mark {
		w.acks = append(w.acks, TypePingreq, 0)
		w.pinging, w.mark = true, w.acked
	}
	if len(w.acks) == 0 {
		return nil
	}
	_, err := w.c.Write(w.acks)
	w.acks = w.acks[:0]
	return err
}

// appendAck appends the PUBACK for the PUBLISH whose n bytes come next.
func (c *Conn) appendAck(dst []byte, n int) ([]byte, error) {
	head, err := c.r.Peek(2)
	if err != nil {
		return dst, err
	}
	at := 2 + int(head[0])<<8 + int(head[1])
	if at+2 > n {
		return dst, fmt.Errorf("a PUBLISH of %d bytes has no room for its topic", n)
	}
	if head, err = c.r.Peek(at + 2); err != nil {
		return dst, err
	}
	return append(dst, TypePuback, 2, head[at], head[at+1]), nil
}
