package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// damagesMost is how many ranges a Recovery has; all are counted and logged.
const damagesMost = 1000

// Recovery is what was found when a Disk was opened.
type Recovery struct {
	Frames  int
	Next    uint64   // offset of the next message
	Torn    int64    // bytes behind the last commit that were cut off
	Lost    int64    // bytes that had been committed and are damaged
	Damages []Damage // where, the first damagesMost
}

// A Damage is a range of the journal that cannot be read.
type Damage struct {
	From, To    Position
	First, Next uint64 // messages from First to before Next were there, as far as they were on disk
}

// Recovered returns what was found when the journal was opened.
func (d *Disk) Recovered() Recovery { return d.recovered }

// A recoverer reads all frames once, oldest first.
type recoverer struct {
	d     *Disk
	chain Position // the end of the last frame that counts
	next  uint64
	part  partial

	// Behind a place that cannot be read nothing counts, until a frame says
	// that the place was on disk before it: then it is a damage. Else the last
	// commit was not finished.
	doubts  []Damage
	waiting []found
	end     Position // of the last frame, whether it counts or not
	told    uint64   // likewise
}

// A found frame is whole.
type found struct {
	kind       Kind
	name       string
	flags      uint8
	segment    *diskSegment
	at, end    Position
	next       uint64
	isMessages bool
}

// A partial is an entry whose frames so far are at hand.
type partial struct {
	key    streamKey
	begins Position
	first  uint64 // the segment where it does
	more   bool
}

func (d *Disk) recover() error {
	segments, err := d.findSegments()
	if err != nil {
		return err
	}
	r := &recoverer{d: d, next: 1, told: 1}
	if len(segments) > 0 {
		r.chain, r.next = segments[0].chain, segments[0].first
		r.end, r.told = r.chain, r.next
	}
	for _, s := range segments {
		if err := r.segment(s); err != nil {
			return err
		}
	}
	cut := len(r.doubts) > 0
	if cut {
		d.recovered.Torn = int64(r.end - r.chain)
		d.o.Log.Info("the last commit was not finished, and is cut off", "bytes", d.recovered.Torn)
	}
	d.recovered.Next = r.next
	d.stats.Lost = d.recovered.Lost
	d.begin(segments, r, cut)
	return nil
}

// begin readies the layout to go on behind what was found.
func (d *Disk) begin(segments []*diskSegment, r *recoverer, cut bool) {
	l := &d.layout
	d.segments = segments
	l.chain, l.next = r.chain, r.next
	d.synced = r.chain
	for len(d.segments) > 1 && d.segments[len(d.segments)-1].base >= r.chain && cut {
		last := len(d.segments) - 1 // nothing in it counts
		d.drop = append(d.drop, d.segments[last].number)
		d.segments = d.segments[:last]
	}
	if len(d.segments) == 0 {
		d.segments = []*diskSegment{newSegment(1, 0, int64(d.o.SegmentBytes))}
		l.enter(d.segments[0])
		return
	}
	d.remove(d.drop)
	d.drop = nil
	last := d.segments[len(d.segments)-1]
	l.segment, l.place = last, max(borderBytes, int64(r.chain)-int64(last.base))
	last.used = l.place
	if cut || last.damaged {
		d.advance() // frames that do not count must not stand behind new ones
	}
}

// findSegments returns the segments in the folder, in order.
func (d *Disk) findSegments() ([]*diskSegment, error) {
	names, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var all []*diskSegment
	for _, e := range names {
		number, ok := segmentNumber(e.Name())
		if !ok {
			continue
		}
		s, err := d.findSegment(number)
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *diskSegment) int { return int(int64(a.number) - int64(b.number)) })
	return all, nil
}

// findSegment reads the header of a segment; nil if there is none.
func (d *Disk) findSegment(number uint64) (*diskSegment, error) {
	path := segmentPath(d.dir, number)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	known := false
	for _, at := range []int64{0, info.Size() - borderBytes, int64(d.o.SegmentBytes) - borderBytes} {
		b := make([]byte, borderBytes)
		if at < 0 {
			continue
		}
		if n, _ := f.ReadAt(b, at); n < borderBytes {
			continue
		}
		s, v, ok := parseBorder(b)
		switch {
		case ok && v > version:
			return nil, fmt.Errorf("%s is of version %d, and this program knows %d\n\thint: use a newer millrace; nothing was changed", path, v, version)
		case ok && s.number == number && s.size > 2*borderBytes:
			s.last = info.ModTime()
			if short := s.size - info.Size(); short > 0 {
				d.recovered.Lost += short
				d.o.Log.Error("a part of the journal is shorter than it was", "file", filepath.Base(path), "bytes", short)
			}
			return s, nil
		}
		known = known || ok || isZero(b)
	}
	if known { // it was to be used again, and was not yet
		return nil, os.Remove(path)
	}
	d.recovered.Lost += info.Size()
	aside := path + ".damaged"
	d.o.Log.Error("a part of the journal cannot be read and is set aside", "file", filepath.Base(aside), "bytes", info.Size())
	return nil, os.Rename(path, aside)
}

func isZero(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 })
}

// segment reads the frames of a segment.
func (r *recoverer) segment(s *diskSegment) error {
	scan, err := openScanner(r.d.dir, s, borderBytes, s.limit())
	if err != nil {
		return err
	}
	defer scan.close()
	for f, ok := scan.next(); ok; f, ok = scan.next() {
		name := string(f.name)
		_, whole := scan.body(&f)
		r.frame(s, &f, name, whole)
	}
	if scan.err != nil {
		r.d.o.Log.Error("a part of the journal cannot be read", "file", filepath.Base(segmentPath(r.d.dir, s.number)), "err", scan.err)
	}
	return nil
}

// frame takes one frame into account.
func (r *recoverer) frame(s *diskSegment, f *frame, name string, whole bool) {
	at := s.base + Position(f.place)
	end := at + Position(f.size())
	r.d.recovered.Frames++
	s.used = f.place + f.size()
	before := at - Position(f.gap)
	if before == r.chain && f.first == r.next { // whoever wrote it knew of nothing in between
		r.doubts, r.waiting = nil, nil
	} else if before != r.end || f.first != r.told {
		r.doubts = append(r.doubts, Damage{From: min(r.end, at), To: at, First: min(r.told, f.first), Next: f.first})
	}
	r.confirm(f.synced)
	if whole {
		r.take(found{f.kind, name, f.flags, s, at, end, f.next, f.kind == messages})
	} else {
		r.doubts = append(r.doubts, Damage{From: at, To: end, First: f.first, Next: f.next})
	}
	r.end, r.told = end, f.next
}

// confirm makes damages of what was on disk before synced.
func (r *recoverer) confirm(synced Position) {
	n := 0
	for n < len(r.doubts) && r.doubts[n].From < synced {
		r.damage(r.doubts[n])
		n++
	}
	if n == 0 {
		return
	}
	r.doubts = slices.Delete(r.doubts, 0, n)
	waiting := r.waiting
	r.waiting = nil
	for _, f := range waiting {
		if len(r.doubts) > 0 && f.at > r.doubts[0].From {
			r.waiting = append(r.waiting, f)
			continue
		}
		r.apply(f)
	}
}

func (r *recoverer) damage(one Damage) {
	rec := &r.d.recovered
	rec.Lost += int64(one.To - one.From)
	if len(rec.Damages) < damagesMost {
		rec.Damages = append(rec.Damages, one)
	}
	r.d.stats.LostMessages += one.Next - one.First
	r.d.o.Log.Error("the journal is damaged; what was there is lost", "from", one.From, "to", one.To, "first_offset", one.First, "before_offset", one.Next)
	r.part.more = false
	r.next = max(r.next, one.Next)
	r.chain = max(r.chain, one.To)
}

// take applies a frame, or has it wait behind a doubt.
func (r *recoverer) take(f found) {
	if len(r.doubts) > 0 {
		r.waiting = append(r.waiting, f)
		return
	}
	r.apply(f)
}

func (r *recoverer) apply(f found) {
	r.chain, r.next = f.end, max(r.next, f.next)
	f.segment.used = int64(f.end - f.segment.base)
	if f.isMessages || f.kind == theEnd {
		return
	}
	key := streamKey{f.kind, f.name}
	if f.flags&flagRest == 0 {
		r.part = partial{key: key, begins: f.at, first: f.segment.number, more: true}
	} else if !r.part.more || r.part.key != key {
		r.part.more = false
		return // its beginning is lost
	}
	if f.flags&flagMore == 0 {
		r.part.more = false
		r.d.stream(key.kind, key.name).note(r.part.begins, r.part.first, f.segment.number, f.flags)
	}
}
