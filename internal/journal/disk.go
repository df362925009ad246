package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Options say how a Disk works. What is zero has the default that is given
// with it.
type Options struct {
	Commit       time.Duration // between two group commits, at least: 50 ms
	CommitBytes  int           // so much does not wait for the next: 256 KiB
	Space        int64         // on disk: 1 GiB
	SegmentBytes int           // of a file: 8 MiB, or an eighth of Space if that is less
	Age          time.Duration // what nobody needs is forgotten after it: never
	Memory       int           // of messages that readers still need: 64 MiB
	RouteKept    uint32        // the bits of routes that are on disk
	RouteAsk     uint32        // the bits that are set in routes that come from disk
	Log          *slog.Logger  // nowhere
}

const (
	segmentBytesMin  = 64 << 10
	segmentBytesMost = 256 << 20
	segmentsMin      = 8
	messageBacklog   = 8 << 20  // bytes of messages that may wait for the disk
	entryBacklog     = 64 << 20 // bytes of anything, unless nothing waits
	lazyCommit       = time.Second
)

func (o Options) withDefaults() Options {
	o.Commit = or(o.Commit, 50*time.Millisecond)
	o.CommitBytes = or(o.CommitBytes, 256<<10)
	o.Space = or(o.Space, 1<<30)
	o.SegmentBytes = min(or(o.SegmentBytes, 8<<20), int(o.Space/segmentsMin), segmentBytesMost)
	o.SegmentBytes = max(o.SegmentBytes, segmentBytesMin) &^ 4095
	o.Memory = or(o.Memory, 64<<20)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Disk is a journal in the files of a folder. Messages are in memory, too,
// while readers need them, so that only who comes late reads from disk.
type Disk struct {
	dir  string
	o    Options
	lock *os.File
	ring *Memory
	wake chan struct{} // for the writer; has room for one
	quit chan struct{} // closed when the writer shall end
	done chan struct{} // closed when it has

	writing *diskSegment // of the writer

	onCommit  func(Commit)
	failed    chan struct{}
	recovered Recovery

	mu        sync.Mutex
	segments  []*diskSegment // oldest first; the last one is laid out
	drop      []uint64       // segments whose files can go
	layout    layout
	spare     *batch // not in use
	flight    *batch // that is being written
	streams   map[streamKey]*stream
	needs     map[string]need
	readers   map[*diskReader]struct{} // that read from disk
	pinned    pin                      // what has to be kept
	isPinned  bool                     // pinned is up to date
	current   Commit                   // that will have what is appended now
	last      Commit                   // that has or will have what was appended last
	committed Commit
	synced    Position      // everything before is on disk
	urgent    bool          // something waits for a commit
	lazy      time.Time     // since when something is there that can wait
	changed   chan struct{} // closed and replaced after each commit, and when the disk is full or no more
	awaited   bool          // somebody waits for changed
	full      bool          // the writer waits for space
	closing   bool
	err       error
	stats     Stats
}

var _ Journal = (*Disk)(nil)

// Stats are figures of a Disk.
type Stats struct {
	Commits      uint64
	CommitTime   time.Duration // of all commits together, from the first write to the end of the last sync
	Written      int64         // bytes handed to the system, without what fills new files
	Kept         int64         // bytes of all segments
	Needed       int64         // of which somebody needs
	Waiting      int           // bytes that no commit has begun to write
	Lost         int64         // bytes that were found damaged
	LostMessages uint64        // offsets that were in them, at most
	Full         bool          // there is no space for messages
}

// Open returns the journal in a folder, which it makes if need be. What is
// damaged in it is told by Recovered and logged; an error is only of what
// keeps the journal from being used at all: another process has it open, it is
// of a newer version, or the system says no.
func Open(dir string, o Options) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	mine, err := lockFile(lock)
	if err == nil && !mine {
		err = fmt.Errorf("journal %s: another process uses it", dir)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	o = o.withDefaults()
	d := &Disk{
		dir: dir, o: o, lock: lock, ring: NewMemory(o.Memory),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), failed: make(chan struct{}), changed: make(chan struct{}),
		spare: &batch{}, streams: map[streamKey]*stream{}, needs: map[string]need{}, readers: map[*diskReader]struct{}{},
		current: 1, onCommit: func(Commit) {},
	}
	d.layout.batch = &batch{}
	d.layout.coder.kept, d.layout.coder.ask = o.RouteKept, o.RouteAsk
	if err := d.recover(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("journal %s: %w", dir, err)
	}
	d.ring.next = d.layout.next
	go d.write()
	return d, nil
}

// Append implements Journal.
func (d *Disk) Append(ctx context.Context, r Record) (uint64, error) {
	for {
		space, room := d.onChange(), d.ring.onRoom()
		offset, err := d.TryAppend(r)
		if !errors.Is(err, ErrFull) {
			return offset, err
		}
		select {
		case <-space:
		case <-room:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// TryAppend implements Journal.
func (d *Disk) TryAppend(r Record) (uint64, error) {
	if r.Keep == Volatile {
		return d.ring.TryAppend(r)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.append(&r)
}

func (d *Disk) append(r *Record) (uint64, error) {
	if err := d.ended(); err != nil {
		return 0, err
	}
	n := len(r.Topic) + len(r.Payload) + recordBytesMost
	if !d.layout.fits(n) {
		if more := d.layout.moreSegments(0, n); len(d.layout.batch.buf)+n > messageBacklog && len(d.layout.batch.buf) > 0 || more > 0 && !d.hasRoom(more, d.reserve()) {
			d.stats.Full = true
			return 0, ErrFull
		}
	}
	offset, err := d.ring.TryAppend(*r)
	if err != nil {
		return 0, err
	}
	d.stats.Full = false
	kept := *r
	kept.Offset = offset
	d.lay(&kept, n)
	d.ask(r.Keep == Durable && !r.Tick)
	return offset, nil
}

// lay lays out a message that takes at most n bytes.
func (d *Disk) lay(r *Record, n int) {
	l := &d.layout
	if l.fits(n) {
		l.add(r)
		return
	}
	l.seal()
	if int64(n) <= min(room(l.segment.size)-headerBytes, bodyBytesMost) {
		if l.place+headerBytes+int64(n) > l.segment.limit() {
			d.advance()
		}
		l.add(r)
		return
	}
	l.coder.begin(l.next)
	l.scratch = l.coder.append(l.scratch[:0], r)
	l.whole(frame{kind: messages, next: r.Offset + 1}, "", l.scratch, d.advance)
	if cap(l.scratch) > batchBytesKept {
		l.scratch = nil
	}
}

// Put implements Journal.
func (d *Disk) Put(e Entry) (Commit, Position, error) {
	if len(e.Body) > EntryBytesMax || len(e.Name) > nameBytesMax {
		return 0, 0, ErrTooLarge
	}
	if e.Kind == messages || e.Kind == theEnd {
		panic("BUG: an entry of a kind that the journal has for itself")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ended(); err != nil {
		return 0, 0, err
	}
	l := &d.layout
	waiting := len(l.batch.buf)
	if more := l.moreSegments(len(e.Name), len(e.Body)); waiting > 0 && waiting+len(e.Body) > entryBacklog || !d.hasRoom(more, 0) {
		return 0, 0, ErrFull
	}
	f := frame{kind: e.Kind}
	if e.Whole {
		f.flags |= flagWhole
	}
	if e.Gone {
		f.flags |= flagGone
	}
	l.seal()
	f.next = max(l.next, d.ring.Next())
	last, at := l.whole(f, e.Name, e.Body, d.advance)
	last.entry, last.begins, last.flags = d.stream(e.Kind, e.Name), at, f.flags
	d.ask(e.Kind != Cursor && e.Kind != Clock)
	return d.current, at, nil
}

// ask has the writer commit what was appended, soon or when there is time.
func (d *Disk) ask(soon bool) {
	d.last = d.current
	switch {
	case soon && !d.urgent:
		d.urgent = true
	case !soon && d.lazy.IsZero():
		d.lazy = time.Now()
	case len(d.layout.batch.buf) < d.o.CommitBytes:
		return
	}
	d.rouse()
}

func (d *Disk) rouse() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Disk) ended() error {
	if d.closing {
		return ErrClosed
	}
	return d.err
}

// Last implements Journal.
func (d *Disk) Last() Commit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// Committed implements Journal.
func (d *Disk) Committed() Commit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.committed
}

// Sync implements Journal.
func (d *Disk) Sync(ctx context.Context, c Commit) error {
	for {
		d.mu.Lock()
		committed, err := d.committed, d.err
		changed := d.willChange()
		d.mu.Unlock()
		if committed >= c {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-d.done:
			if d.Committed() >= c {
				return nil
			}
			return or(d.Err(), ErrClosed)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// onChange returns a channel that is closed when something is committed, or
// otherwise changes for who waits.
func (d *Disk) onChange() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.willChange()
}

func (d *Disk) willChange() <-chan struct{} {
	d.awaited = true
	return d.changed
}

// change wakes all who wait.
func (d *Disk) change() {
	if d.awaited {
		d.awaited = false
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// OnCommit implements Journal.
func (d *Disk) OnCommit(f func(Commit)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onCommit = f
}

// Next implements Journal.
func (d *Disk) Next() uint64 { return d.ring.Next() }

// Failed implements Journal.
func (d *Disk) Failed() <-chan struct{} { return d.failed }

// Err implements Journal.
func (d *Disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Stats returns figures of now.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Waiting = len(d.layout.batch.buf)
	s.Full = s.Full || d.full
	for _, g := range d.segments {
		s.Kept += g.size
	}
	s.Needed = int64(d.layout.chain - d.segments[d.releasable(d.pins())].base)
	return s
}

// Close implements Journal. It returns an error if not everything got to disk.
func (d *Disk) Close() error {
	d.mu.Lock()
	first := !d.closing
	if first {
		close(d.quit)
	}
	d.closing = true
	d.change()
	d.mu.Unlock()
	d.ring.Close()
	<-d.done
	if first {
		d.lock.Close()
	}
	return d.Err()
}

// segmentAt returns the segment that has a position, or the next one that is
// kept; nil behind the end.
func (d *Disk) segmentAt(p Position) *diskSegment {
	i, _ := slices.BinarySearchFunc(d.segments, p, func(s *diskSegment, p Position) int {
		if s.end() <= p {
			return -1
		}
		return 1
	})
	if i == len(d.segments) {
		return nil
	}
	return d.segments[i]
}
