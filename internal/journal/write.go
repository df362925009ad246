package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const retry = time.Second // between two tries to write to a full disk

// write is the goroutine that commits.
func (d *Disk) write() {
	defer close(d.done)
	defer d.goOn(nil)
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Time{}
	for {
		wait, closing := d.wait(began)
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-d.wake:
			case <-d.quit:
			case <-timer.C:
			}
			continue
		}
		began = time.Now()
		if err := d.commit(closing); err != nil {
			d.fail(err)
			return
		}
		if closing {
			return
		}
	}
}

// wait returns how long the next commit has time, when the last one began at
// that time, and whether it is the last.
func (d *Disk) wait(began time.Time) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closing || len(d.layout.batch.buf) >= d.o.CommitBytes:
		return 0, d.closing
	case d.urgent:
		return time.Until(began.Add(d.o.Commit)), false
	case !d.lazy.IsZero():
		return time.Until(d.lazy.Add(max(lazyCommit, d.o.Commit))), false
	}
	return time.Hour, false
}

// commit writes everything that was appended until now.
func (d *Disk) commit(closing bool) error {
	began := time.Now()
	d.mu.Lock()
	l := &d.layout
	l.seal()
	if closing {
		l.whole(frame{kind: theEnd, next: max(l.next, d.ring.Next())}, "", nil, d.advance)
	}
	b, number, end := l.batch, d.current, l.chain
	synced := d.synced
	l.batch, d.spare, d.flight = d.spare, nil, b
	d.current++
	d.urgent, d.lazy = false, time.Time{}
	drop := d.drop
	d.drop = nil
	d.mu.Unlock()

	d.remove(drop)
	written, err := d.put(b, synced)
	if err != nil {
		return err
	}
	d.mu.Lock()
	for i := range b.frames {
		if f := &b.frames[i]; f.entry != nil {
			f.entry.note(f.begins, d.segmentAt(f.begins).number, f.segment.number, f.flags)
		}
	}
	d.synced, d.committed = end, number
	d.isPinned = false
	d.stats.Commits++
	d.stats.Written += written
	d.stats.CommitTime += time.Since(began)
	b.reset()
	d.spare, d.flight = b, nil
	d.change()
	tell := d.onCommit
	d.mu.Unlock()
	tell(number)
	return nil
}

// put writes a batch and returns when it is on disk.
func (d *Disk) put(b *batch, synced Position) (written int64, err error) {
	for i := 0; i < len(b.frames); {
		s := b.frames[i].segment
		from, place := b.frames[i].at, b.frames[i].place
		to := from
		for ; i < len(b.frames) && b.frames[i].segment == s; i++ {
			f := &b.frames[i]
			to = f.at + finish(b.buf[f.at:], synced, s.salt, f.place)
		}
		if err := d.goOn(s); err != nil {
			return 0, err
		}
		if err := d.patiently(func() error { return s.put(d.dir, b.buf[from:to], place) }); err != nil {
			return 0, err
		}
		written += int64(to - from)
		d.mu.Lock()
		s.last = time.Now()
		d.mu.Unlock()
	}
	return written, nil
}

// goOn closes the segment that was written before.
func (d *Disk) goOn(s *diskSegment) error {
	before := d.writing
	d.writing = s
	if before == nil || before == s || before.writable == nil {
		return nil
	}
	f := before.writable
	before.writable = nil
	return f.Close()
}

// put writes frames to a place of the segment, and returns when they are on
// disk.
func (s *diskSegment) put(dir string, b []byte, place int64) error {
	if err := s.open(dir); err != nil {
		return err
	}
	if _, err := s.writable.WriteAt(b, place); err != nil {
		return err
	}
	if err := syncData(s.writable); err != nil {
		return &syncError{err}
	}
	return nil
}

// A syncError is final: what was written before may be lost, and to sync again
// would not tell.
type syncError struct{ err error }

// Error implements error.
func (e *syncError) Error() string { return e.err.Error() }

// patiently tries to write until there is space.
func (d *Disk) patiently(write func() error) error {
	err := write()
	if err == nil || !isForNow(err) {
		return err
	}
	since := time.Now()
	d.o.Log.Error("no space for the journal: nothing durable is acknowledged until there is some", "dir", d.dir, "err", err)
	d.setFull(true)
	defer d.setFull(false)
	again := time.NewTicker(retry)
	defer again.Stop()
	for isForNow(err) {
		select {
		case <-again.C:
			err = write()
		case <-d.quit:
			if err = write(); err != nil {
				return fmt.Errorf("closed without space for what came in last: %w", err)
			}
		}
	}
	if err == nil {
		d.o.Log.Info("there is space for the journal again", "dir", d.dir, "after", time.Since(since))
	}
	return err
}

func (d *Disk) setFull(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
	d.change()
}

// remove deletes the files of segments that nobody needs. What stays is told
// at the next start.
func (d *Disk) remove(numbers []uint64) {
	for _, n := range numbers {
		if err := os.Remove(segmentPath(d.dir, n)); err != nil {
			d.o.Log.Warn("an old part of the journal stays", "file", filepath.Base(segmentPath(d.dir, n)), "err", err)
		}
	}
}

// fail ends the journal: what is not on disk now will not be.
func (d *Disk) fail(err error) {
	d.mu.Lock()
	if d.err == nil {
		d.err = fmt.Errorf("journal %s: %w", d.dir, err)
		close(d.failed)
	}
	d.change()
	d.mu.Unlock()
	d.o.Log.Error("the journal cannot write any more", "err", d.Err())
}
