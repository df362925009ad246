package journal

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
)

// A streamKey is whose entries a stream has.
type streamKey struct {
	kind Kind
	name string
}

// A stream is what is known of the entries of a kind and name.
type stream struct {
	from     Position // the latest whole one, or the first; 0 if there is none, or it is gone
	segments []uint64 // that have any, in order
}

func (d *Disk) stream(k Kind, name string) *stream {
	key := streamKey{k, name}
	s := d.streams[key]
	if s == nil {
		s = &stream{}
		d.streams[key] = s
	}
	return s
}

// note says that an entry is on disk: at a position of the segment first, and
// its end in the segment last.
func (s *stream) note(at Position, first, last uint64, flags uint8) {
	switch {
	case flags&flagGone != 0:
		s.from = 0
	case flags&flagWhole != 0 || s.from == 0:
		s.from = at
	}
	for n := first; n <= last; n++ {
		if k := len(s.segments); k == 0 || s.segments[k-1] < n {
			s.segments = append(s.segments, n)
		}
	}
}

// forget is called when the segments before a position are no more.
func (d *Disk) forget(before Position) {
	oldest := d.segments[0].number
	for key, s := range d.streams {
		i, _ := slices.BinarySearch(s.segments, oldest)
		s.segments = slices.Delete(s.segments, 0, i)
		if len(s.segments) == 0 && s.from < before && !d.isLaid(s) {
			delete(d.streams, key)
		}
	}
}

// isLaid reports whether an entry of the stream is on its way to the disk.
func (d *Disk) isLaid(s *stream) bool {
	is := func(f laid) bool { return f.entry == s }
	return slices.ContainsFunc(d.layout.batch.frames, is) || d.flight != nil && slices.ContainsFunc(d.flight.frames, is)
}

// Names implements Journal.
func (d *Disk) Names(k Kind) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for key, s := range d.streams {
		if key.kind == k && s.from != 0 {
			names = append(names, key.name)
		}
	}
	slices.Sort(names)
	return names
}

// Entries implements Journal.
func (d *Disk) Entries(k Kind, name string, f func(Position, []byte) error) error {
	d.mu.Lock()
	s := d.streams[streamKey{k, name}]
	if s == nil || s.from == 0 {
		d.mu.Unlock()
		return nil
	}
	r := d.follow(k, name, s.from-1)
	r.until = d.synced
	d.mu.Unlock()
	defer r.Close()
	for {
		at, body, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f(at, body)
		}
		if err != nil {
			return err
		}
	}
}

// Follow implements Journal.
func (d *Disk) Follow(k Kind, name string, after Position) EntryReader {
	return d.follow(k, name, after)
}

func (d *Disk) follow(k Kind, name string, after Position) *entryReader {
	return &entryReader{d: d, key: streamKey{k, strings.Clone(name)}, at: after + 1}
}

// An entryReader reads the committed entries of a stream.
type entryReader struct {
	d     *Disk
	key   streamKey
	at    Position // what begins before was read
	until Position // what begins there or later is not read; 0 for no limit

	scan  *scanner
	chain Position // where the scanner is
	ended Position // where the last frame ended
	parts []byte   // of an entry that is in several frames, from
	from  Position
	more  bool // the next part is wanted
}

// Next implements EntryReader.
func (r *entryReader) Next() (Position, []byte, error) {
	for {
		if r.scan == nil && !r.open() {
			return 0, nil, io.EOF
		}
		for f, ok := r.scan.next(); ok; f, ok = r.scan.next() {
			if at, body, ok := r.take(&f); ok {
				return at, body, nil
			}
		}
		if !r.leave() {
			return 0, nil, io.EOF
		}
	}
}

// take makes an entry of a frame, if it is the end of one that is wanted.
func (r *entryReader) take(f *frame) (Position, []byte, bool) {
	at := r.scan.segment.base + Position(f.place)
	begins := f.flags&flagRest == 0
	follows := r.ended+Position(f.gap) == at
	r.chain = at + Position(f.size())
	r.ended = r.chain
	if r.more && (begins || !follows) {
		r.more = false // the rest was damaged
	}
	if f.kind != r.key.kind || string(f.name) != r.key.name || begins && at < r.at || !begins && !r.more || r.until != 0 && at >= r.until {
		return 0, nil, false
	}
	body, ok := r.scan.body(f)
	if !ok {
		r.more = false
		return 0, nil, false
	}
	if begins {
		r.from = at
	}
	if f.flags&flagMore != 0 || !begins {
		if begins {
			r.parts = r.parts[:0]
		}
		r.parts = append(r.parts, body...)
		body = r.parts
	}
	r.more = f.flags&flagMore != 0
	if r.more || f.flags&flagGone != 0 {
		return 0, nil, false
	}
	r.at = r.from + 1
	return r.from, body, true
}

// open begins to read in the next segment that may have entries, and reports
// whether there is one.
func (r *entryReader) open() bool {
	d := r.d
	for {
		d.mu.Lock()
		s := d.segmentAt(max(r.at, r.chain))
		if st := d.streams[r.key]; s != nil && !r.more && st != nil {
			s = d.next(st, s)
		}
		place, end := int64(0), int64(0)
		if s != nil {
			place, end = r.place(s), s.committed(d.synced)
		}
		d.mu.Unlock()
		if s == nil || place >= end {
			return false
		}
		scan, err := openScanner(d.dir, s, place, end)
		if err == nil {
			r.scan = scan
			return true
		}
		if !errors.Is(err, os.ErrNotExist) {
			d.o.Log.Error("a part of the journal cannot be read", "err", err)
		}
		r.chain = s.end() // it is used again by now, or out of reach
	}
}

// place returns where to begin in a segment.
func (r *entryReader) place(s *diskSegment) int64 {
	return max(borderBytes, int64(max(r.at, r.chain))-int64(s.base))
}

// next returns the first segment from s on that has entries of a stream.
func (d *Disk) next(st *stream, s *diskSegment) *diskSegment {
	i, _ := slices.BinarySearch(st.segments, s.number)
	if i == len(st.segments) {
		return nil
	}
	k, found := slices.BinarySearchFunc(d.segments, st.segments[i], func(s *diskSegment, n uint64) int { return int(int64(s.number) - int64(n)) })
	if !found {
		return nil
	}
	return d.segments[k]
}

// committed returns where what is on disk ends in a segment.
func (s *diskSegment) committed(synced Position) int64 {
	return min(s.used, max(0, int64(synced)-int64(s.base)))
}

// leave is called at the end of what could be read of a segment. It reports
// whether there may be more.
func (r *entryReader) leave() bool {
	d, s := r.d, r.scan.segment
	d.mu.Lock()
	end := s.committed(d.synced)
	sealed := d.synced > s.end()
	d.mu.Unlock()
	r.scan.at = r.scan.end // where a frame will begin: it has looked for one further on
	if r.scan.end < end {
		r.scan.end = end
		return true
	}
	if !sealed {
		return false
	}
	r.scan.close()
	r.scan = nil
	r.chain = s.end()
	return true
}

// Close implements EntryReader.
func (r *entryReader) Close() error {
	if r.scan == nil {
		return nil
	}
	err := r.scan.close()
	r.scan = nil
	return err
}
