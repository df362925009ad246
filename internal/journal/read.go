package journal

import (
	"context"
	"slices"
	"sync/atomic"
)

// Seal implements Journal.
func (d *Disk) Seal() { d.ring.Seal() }

// Read implements Journal. What is not in memory any more is read from disk.
func (d *Disk) Read(offset uint64) Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.layout.seal()
	r := &diskReader{d: d, ring: d.ring.Read(offset).(*memoryReader), stop: d.layout.chain}
	first := d.segments[0].first
	r.at.Store(max(offset, first, 1))
	if r.at.Load() >= r.ring.at {
		r.over = true
		return r
	}
	i := len(d.segments) - 1
	for i > 0 && d.segments[i].first > r.at.Load() {
		i--
	}
	r.place = d.segments[i].base + borderBytes
	d.readers[r] = struct{}{}
	d.isPinned = false
	return r
}

// A diskReader reads from disk what is before the messages in memory, and
// goes on there.
type diskReader struct {
	d    *Disk
	ring *memoryReader
	at   atomic.Uint64 // the next message wanted
	over bool          // the disk part is

	place   Position // up to where frames were read
	stop    Position // where they end
	scan    *scanner
	parts   []byte
	pending []Record
}

// Release implements Reader. What was read from disk is the garbage
// collector's.
func (r *diskReader) Release(offset uint64) { r.ring.Release(offset) }

// Next implements Reader.
func (r *diskReader) Next(ctx context.Context, dst []Record, limit int) ([]Record, error) {
	for {
		if n := min(limit, len(r.pending)); n > 0 {
			dst = append(dst, r.pending[:n]...)
			r.pending = r.pending[n:]
			r.at.Store(dst[len(dst)-1].Offset + 1)
			return dst, nil
		}
		if r.over {
			return r.ring.Next(ctx, dst, limit)
		}
		if err := r.fill(ctx); err != nil {
			return dst, err
		}
	}
}

// fill reads the next frame with messages that are wanted, or ends the part
// on disk.
func (r *diskReader) fill(ctx context.Context) error {
	for {
		if r.scan == nil {
			ok, err := r.open(ctx)
			if err != nil {
				return err
			}
			if !ok {
				r.end()
				return nil
			}
		}
		f, ok := r.scan.next()
		if !ok {
			r.leave()
			continue
		}
		r.place = r.scan.segment.base + Position(f.place+f.size())
		if f.kind == messages && r.take(&f) {
			return nil
		}
	}
}

// take makes messages of a frame, and reports whether there are any.
func (r *diskReader) take(f *frame) bool {
	first := f.first
	body, ok := r.scan.body(f)
	if !ok {
		r.parts = r.parts[:0]
		return false // told when the journal was opened
	}
	if f.flags&flagRest == 0 {
		r.parts = nil // what was made of it is with the caller
	}
	r.parts = append(r.parts, body...)
	if f.flags&flagMore != 0 {
		return false
	}
	if f.next <= r.at.Load() {
		return false
	}
	c := coder{kept: r.d.o.RouteKept, ask: r.d.o.RouteAsk}
	c.begin(first)
	all, ok := c.read(nil, r.parts)
	r.parts = nil
	if !ok {
		return false
	}
	wanted, until := r.at.Load(), r.ring.at
	r.pending = slices.DeleteFunc(all, func(m Record) bool { return m.Offset < wanted || m.Offset >= until })
	return len(r.pending) > 0
}

// open begins the next segment; false: there is nothing more on disk. It waits
// for what is not committed yet.
func (r *diskReader) open(ctx context.Context) (bool, error) {
	d := r.d
	for {
		changed := d.onChange()
		d.mu.Lock()
		err := d.err
		s := d.segmentAt(r.place)
		end := int64(0)
		if s != nil {
			end = s.committed(min(d.synced, r.stop))
		}
		synced := d.synced
		d.mu.Unlock()
		if s == nil || r.place >= r.stop {
			return false, nil
		}
		place := max(borderBytes, int64(r.place)-int64(s.base))
		if place >= end && synced > s.end() {
			r.place = s.end() + borderBytes
			continue
		}
		if place < end {
			r.scan, err = openScanner(d.dir, s, place, end)
			return err == nil, err
		}
		if synced >= r.stop {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		select {
		case <-changed:
		case <-d.done:
			return false, ErrClosed
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// leave is called at the end of what could be read of a segment.
func (r *diskReader) leave() {
	s := r.scan.segment
	r.place = max(r.place, s.base+Position(r.scan.end))
	r.scan.close()
	r.scan = nil
}

// end goes over to the messages in memory.
func (r *diskReader) end() {
	r.over = true
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	delete(r.d.readers, r)
	r.d.isPinned = false
}
