package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	segmentMagic = "MILLRACE"
	version      = 1
	borderBytes  = 64 // the header of a segment, at its begin and again at its end
	spareName    = "spare.new"
	segmentExt   = ".seg"
)

// A part of the log in a file of its own. What is fixed is in its header.
type diskSegment struct {
	number uint64
	base   Position // of the first byte of the file
	size   int64    // of the file
	salt   uint64
	first  uint64   // the first offset that its frames tell of
	chain  Position // the end of the last frame before it

	used     int64     // where its last frame ends
	last     time.Time // when it was written
	begun    bool      // the file is there
	recycle  uint64    // the segment whose file it takes over
	damaged  bool      // nothing can be read
	writable *os.File  // while the writer is at it
}

func (s *diskSegment) limit() int64  { return s.size - borderBytes }
func (s *diskSegment) end() Position { return s.base + Position(s.size) }

// room is how many bytes frames can have in a whole segment of a size.
func room(size int64) int64 { return size - 2*borderBytes }

func newSegment(number uint64, base Position, size int64) *diskSegment {
	return &diskSegment{number: number, base: base, size: size, salt: rand.Uint64(), used: borderBytes}
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d%s", number, segmentExt))
}

// segmentNumber is the opposite of segmentPath.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentExt)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}

func (s *diskSegment) border() []byte {
	b := make([]byte, borderBytes)
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], uint32(s.size))
	le.PutUint64(b[16:], s.number)
	le.PutUint64(b[24:], uint64(s.base))
	le.PutUint64(b[32:], s.salt)
	le.PutUint64(b[40:], s.first)
	le.PutUint64(b[48:], uint64(s.chain))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// parseBorder reads a header of a segment. The version is told also if it is
// one that we do not know.
func parseBorder(b []byte) (s *diskSegment, version uint32, ok bool) {
	le := binary.LittleEndian
	if len(b) < borderBytes || string(b[:8]) != segmentMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return nil, 0, false
	}
	return &diskSegment{
		size:   int64(le.Uint32(b[12:])),
		number: le.Uint64(b[16:]),
		base:   Position(le.Uint64(b[24:])),
		salt:   le.Uint64(b[32:]),
		first:  le.Uint64(b[40:]),
		chain:  Position(le.Uint64(b[48:])),
		used:   borderBytes,
		begun:  true,
	}, le.Uint32(b[8:]), true
}

// writeBorders writes the header to both of its places.
func (s *diskSegment) writeBorders(f *os.File) error {
	b := s.border()
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	_, err := f.WriteAt(b, s.limit())
	return err
}

// fill makes a file of zeros, so that writing to it later changes nothing but
// what is written, and needs no space that might not be there.
func fill(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for left := size; left > 0 && err == nil; left -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(left, int64(len(zeros)))])
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

// begin makes the file of a segment, from that of an older one if it may.
func (s *diskSegment) begin(dir string) error {
	path := segmentPath(dir, s.number)
	from := filepath.Join(dir, spareName)
	if s.recycle != 0 {
		from = segmentPath(dir, s.recycle)
	}
	err := os.Rename(from, path)
	if errors.Is(err, os.ErrNotExist) {
		if err = fill(filepath.Join(dir, spareName), s.size); err != nil {
			return err
		}
		err = os.Rename(filepath.Join(dir, spareName), path)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// open readies the segment for the writer.
func (s *diskSegment) open(dir string) error {
	if s.writable != nil {
		return nil
	}
	if !s.begun {
		if err := s.begin(dir); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(segmentPath(dir, s.number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if !s.begun {
		if err := s.writeBorders(f); err != nil {
			f.Close()
			return err
		}
	}
	s.writable, s.begun = f, true
	return nil
}

// isForNow reports whether an error may go away: a full disk, a limit.
func isForNow(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, io.ErrShortWrite)
}
