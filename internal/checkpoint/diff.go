package checkpoint

import (
	"encoding/binary"
	"math/bits"
)

const (
	// blockBytes is how far apart the places of the old content are from
	// which it is found again where it has moved.
	blockBytes = 64
	// probeBytes are compared there first.
	probeBytes = 16
	// matchBytesMin is how much must agree for a piece to be copied: to name
	// one takes a few bytes.
	matchBytesMin = 24
	// strideBytes of new content make the places that are looked at a byte
	// further apart.
	strideBytes = 512
)

// A differ finds what of a content is in an older one: at the place where it
// would be if bytes had changed and none had come or gone, or else where it
// may have moved from.
type differ struct {
	old, now []byte
	places   []uint32 // of blocks in old, plus 1, by hash; empty until one is looked for
	shift    int      // from a hash to its place there
}

// A match is a part of the old content that comes again.
type match struct{ from, bytes int }

// appendPieces appends how to make now out of old.
func (d *differ) appendPieces(dst, old, now []byte) []byte {
	d.old, d.now, d.places = old, now, d.places[:0]
	m := d.match(0, 0)
	for at := 0; at < len(now); {
		behind := at + m.bytes
		next := match{}
		end := behind
		for end < len(now) {
			if next = d.match(end, m.from+end-at); next.bytes > 0 {
				break
			}
			end += 1 + (end-behind)/strideBytes // where all is new, less and less is looked at
		}
		end = min(end, len(now))
		if dst = binary.AppendUvarint(dst, uint64(m.bytes)); m.bytes > 0 {
			dst = binary.AppendUvarint(dst, uint64(m.from))
		}
		dst = appendText(dst, now[behind:end])
		at, m = end, next
	}
	d.old, d.now = nil, nil
	return dst
}

// match returns what of old comes at a place in now; it is likely to be at
// expected.
func (d *differ) match(at, expected int) match {
	if n := d.common(expected, at); n >= matchBytesMin {
		return match{expected, n}
	}
	if len(d.now)-at < matchBytesMin || len(d.old) < blockBytes {
		return match{}
	}
	if len(d.places) == 0 {
		d.index()
	}
	if place := d.places[d.hash(d.now[at:])]; place > 0 {
		if n := d.common(int(place-1), at); n >= matchBytesMin {
			return match{int(place - 1), n}
		}
	}
	return match{}
}

// common returns how many bytes agree from two places on.
func (d *differ) common(from, at int) int {
	if from < 0 || from >= len(d.old) {
		return 0
	}
	a, b := d.old[from:], d.now[at:]
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// index notes where the blocks of old are; of those that are alike, the first.
func (d *differ) index() {
	size := bits.Len(uint(len(d.old) / blockBytes * 2))
	if n := 1 << size; n <= cap(d.places) {
		d.places = d.places[:n]
		clear(d.places)
	} else {
		d.places = make([]uint32, n)
	}
	d.shift = 64 - size
	for at := (len(d.old) - probeBytes) / blockBytes * blockBytes; at >= 0; at -= blockBytes {
		d.places[d.hash(d.old[at:])] = uint32(at) + 1
	}
}

// hash returns the place for the first bytes of p.
func (d *differ) hash(p []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	return (a*odd ^ bits.RotateLeft64(b, 29)) * odd >> d.shift
}

// pieces reads a content that appendPieces has written.
func (r *reader) pieces(old []byte) []byte {
	size := r.uint()
	if size > contentBytesMax {
		r.bad = true
		return nil
	}
	now := make([]byte, 0, min(size, uint64(len(old)+len(r.b))))
	for uint64(len(now)) < size && !r.bad {
		if n := r.uint(); n > 0 {
			from := r.uint()
			if from > uint64(len(old)) || n > uint64(len(old))-from {
				r.bad = true
				return nil
			}
			now = append(now, old[from:from+n]...)
		}
		now = append(now, r.bytes()...)
	}
	r.bad = r.bad || uint64(len(now)) != size
	return now
}
