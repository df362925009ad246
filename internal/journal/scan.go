package journal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
)

const scanBytes = 256 << 10 // that are read at once

// A scanner finds the frames of a segment. It reads headers and names; bodies
// only when asked.
type scanner struct {
	f       *os.File
	segment *diskSegment
	at      int64 // where the next frame is looked for
	end     int64 // and until where

	buf  []byte // what was read, from
	from int64
	err  error // of the system
}

// openScanner returns a scanner of the frames from place to end.
func openScanner(dir string, s *diskSegment, place, end int64) (*scanner, error) {
	f, err := os.Open(segmentPath(dir, s.number))
	if err != nil {
		return nil, err
	}
	return &scanner{f: f, segment: s, at: place, end: end}, nil
}

func (s *scanner) close() error { return s.f.Close() }

// bytes returns what stands at a place, fewer than n at the end.
func (s *scanner) bytes(place int64, n int) []byte {
	n = int(max(0, min(int64(n), s.end-place)))
	if place < s.from || place+int64(n) > s.from+int64(len(s.buf)) {
		want := int(min(int64(max(n, scanBytes)), s.end-place))
		if cap(s.buf) < want || cap(s.buf) > 4*max(want, scanBytes) {
			s.buf = make([]byte, max(want, scanBytes))
		}
		got, err := s.f.ReadAt(s.buf[:want], place)
		if err != nil && err != io.EOF {
			s.err = err
		}
		s.buf, s.from = s.buf[:got], place
	}
	b := s.buf[place-s.from:]
	return b[:min(n, len(b))]
}

// header reads the header at a place, and reports whether a frame is there.
func (s *scanner) header(place int64) (frame, bool) {
	b := s.bytes(place, headerBytes)
	if len(b) < headerBytes {
		return frame{}, false
	}
	f, nameBytes, ok := parseHeader(b)
	if !ok || place+int64(headerBytes+nameBytes+f.length) > s.end {
		return frame{}, false
	}
	b = s.bytes(place, headerBytes+nameBytes)
	if len(b) < headerBytes+nameBytes || binary.LittleEndian.Uint32(b[44:]) != headerSum(b, s.segment.salt, place) {
		return frame{}, false
	}
	f.name, f.place = b[headerBytes:], place
	return f, true
}

// next returns the next frame, and passes over what is none. Its name is valid
// until the scanner reads on.
func (s *scanner) next() (frame, bool) {
	for {
		if f, ok := s.header(s.at); ok {
			s.at += f.size()
			return f, true
		}
		if !s.seek() {
			return frame{}, false
		}
	}
}

// seek goes on to the next place where a frame may begin.
func (s *scanner) seek() bool {
	for s.at++; s.at+headerBytes <= s.end; {
		if len(s.bytes(s.at, headerBytes)) < headerBytes {
			return false
		}
		here := s.buf[s.at-s.from:]
		if i := indexMagic(here); i >= 0 {
			s.at += int64(i)
			return true
		}
		s.at += int64(len(here)) - 3 // the magic may be half in what was read
	}
	return false
}

func indexMagic(b []byte) int {
	for i := 0; i+4 <= len(b); i++ {
		if b[i] == frameMagic&0xff && binary.LittleEndian.Uint32(b[i:]) == frameMagic {
			return i
		}
	}
	return -1
}

// body returns the body of a frame, and whether it is what was written. It is
// valid until the scanner reads on.
func (s *scanner) body(f *frame) ([]byte, bool) {
	b := s.bytes(f.place+int64(headerBytes+len(f.name)), f.length)
	return b, len(b) == f.length && crc32.Checksum(b, castagnoli) == f.sum
}
