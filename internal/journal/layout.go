package journal

// A batch is what one commit writes: frames, one after the other.
type batch struct {
	buf    []byte
	frames []laid
}

// A laid frame has its place, but not all of its header; see finish.
type laid struct {
	segment *diskSegment
	place   int64
	at      int // in buf

	entry  *stream // whose entry is complete with this frame, or nil
	begins Position
	flags  uint8
}

func (b *batch) reset() {
	if cap(b.buf) > batchBytesKept {
		b.buf = nil
	}
	clear(b.frames)
	b.buf, b.frames = b.buf[:0], b.frames[:0]
}

const (
	batchBytesKept = 4 << 20 // a larger buffer is given back
	partBytesMin   = 4 << 10 // the least part of a frame for the rest of a segment
)

// A layout gives frames their places, before anything is written.
type layout struct {
	batch   *batch
	segment *diskSegment // the last one
	place   int64        // of the next frame
	chain   Position     // the end of the last frame
	next    uint64       // the first offset that no frame tells of
	coder   coder
	open    bool // the last frame of the batch takes messages
	frame   frame
	scratch []byte
}

// moreSegments returns how many segments have to be added for a body.
func (l *layout) moreSegments(nameBytes, bodyBytes int) int {
	head := int64(headerBytes + nameBytes)
	left := int64(bodyBytes)
	place := l.place
	if l.open {
		place += int64(len(l.batch.buf) - l.batch.frames[len(l.batch.frames)-1].at)
	}
	rest := l.segment.limit() - place - head
	if rest >= left {
		return 0
	}
	if rest >= partBytesMin {
		left -= rest
	}
	each := room(l.segment.size) - head
	return int((left + each - 1) / each)
}

// fits reports whether n more bytes of a message go into the open frame.
func (l *layout) fits(n int) bool {
	if !l.open {
		return false
	}
	used := int64(len(l.batch.buf) - l.batch.frames[len(l.batch.frames)-1].at)
	return used+int64(n) <= headerBytes+bodyBytesMost && l.place+used+int64(n) <= l.segment.limit()
}

// start begins a frame in the next place.
func (l *layout) start(name string) {
	l.batch.frames = append(l.batch.frames, laid{segment: l.segment, place: l.place, at: len(l.batch.buf)})
	var zeros [headerBytes]byte
	l.batch.buf = append(append(l.batch.buf, zeros[:]...), name...)
}

// complete ends the frame that was started; its offsets go up to next.
func (l *layout) complete(kind Kind, flags uint8, nameBytes int, next uint64) *laid {
	last := &l.batch.frames[len(l.batch.frames)-1]
	b := l.batch.buf[last.at:]
	at := l.segment.base + Position(last.place)
	l.frame = frame{kind: kind, flags: flags, first: l.next, next: next, gap: uint32(at - l.chain), name: b[headerBytes : headerBytes+nameBytes]}
	l.frame.length = len(b) - headerBytes - nameBytes
	l.frame.putHeader(b)
	l.place += int64(len(b))
	l.segment.used = l.place
	l.chain = at + Position(len(b))
	l.next = next
	return last
}

// seal ends the frame that takes messages.
func (l *layout) seal() {
	if l.open {
		l.open = false
		l.complete(messages, 0, 0, l.coder.offset)
	}
}

// add appends a message that fits.
func (l *layout) add(r *Record) {
	if !l.open {
		l.start("")
		l.coder.begin(l.next)
		l.open = true
	}
	l.batch.buf = l.coder.append(l.batch.buf, r)
}

// whole lays out a body in as many frames as it needs, and returns the last
// of them and where the first one stands. advance adds a segment.
func (l *layout) whole(f frame, name string, body []byte, advance func()) (*laid, Position) {
	l.seal()
	flags, next := f.flags, f.next
	begins := Position(0)
	for {
		rest := l.segment.limit() - l.place - int64(headerBytes+len(name))
		if rest < int64(len(body)) && rest < partBytesMin {
			advance()
			continue
		}
		if begins == 0 {
			begins = l.segment.base + Position(l.place)
		}
		l.start(name)
		n := int(min(rest, int64(len(body))))
		l.batch.buf = append(l.batch.buf, body[:n]...)
		body = body[n:]
		if len(body) == 0 {
			return l.complete(f.kind, flags, len(name), next), begins
		}
		l.complete(f.kind, flags|flagMore, len(name), l.next)
		flags |= flagRest
	}
}

// enter makes a new segment the one that is laid out.
func (l *layout) enter(s *diskSegment) {
	s.first, s.chain = l.next, l.chain
	l.segment, l.place = s, borderBytes
}
