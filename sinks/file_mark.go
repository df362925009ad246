package sinks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// markTail is how many bytes before a mark tell that a file is the one marked.
const markTail = 4 << 10

// errNoMark is the error of Resume when no file is the one that was marked.
var errNoMark = errors.New("the file as it was is not there any more; rows may be there twice")

// A fileMark is a place in a file: behind Size bytes, of which the last ones
// have this hash. An empty file is known by its number in the file system.
type fileMark struct {
	Size  int64  `json:"size"`
	Tail  string `json:"tail,omitempty"`
	Inode uint64 `json:"inode,omitempty"`
}

// Mark implements Marker.
func (f *File) Mark() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil, nil // nothing was written
	}
	if f.unsure && !f.canGoOn() {
		if err := f.rotate(); err != nil {
			return nil, err
		}
	}
	f.unsure = false
	if err := errors.Join(f.mend(), f.f.Sync()); err != nil {
		return nil, err
	}
	if f.newName {
		if err := syncFolder(f.c.Path); err != nil {
			return nil, err
		}
		f.newName = false
	}
	m := fileMark{Size: f.size}
	var err error
	if f.size > 0 {
		m.Tail, err = tailOf(f.f, f.size)
	} else {
		m.Inode = inodeOf(f.f)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// tailOf returns a hash of the bytes before size.
func tailOf(f io.ReaderAt, size int64) (string, error) {
	n := min(size, markTail)
	b := make([]byte, n)
	if _, err := f.ReadAt(b, size-n); err != nil {
		return "", err
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8]), nil
}

// is reports whether an open file holds at its place what was marked.
func (m *fileMark) is(f *os.File) bool {
	if m.Size == 0 {
		return m.Inode != 0 && inodeOf(f) == m.Inode
	}
	tail, err := tailOf(f, m.Size)
	return err == nil && tail == m.Tail
}

// Resume implements Marker. It cuts off what was written behind the mark. If
// the marked file has been set aside since, it takes its place again, and the
// files that came after it, which hold nothing but rows behind the mark, go.
func (f *File) Resume(mark []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(bytes.TrimSpace(mark)) == 0 || f.f == nil {
		return nil
	}
	var m fileMark
	if err := json.Unmarshal(mark, &m); err != nil {
		return fmt.Errorf("%s: the mark: %w", f.c.Path, err)
	}
	if m.is(f.f) {
		return f.cutAt(m.Size)
	}
	old, err := f.oldFiles()
	if err != nil {
		return err
	}
	for i := len(old) - 1; i >= 0; i-- {
		if !m.isAt(old[i].path) {
			continue
		}
		for _, younger := range old[i+1:] {
			err = errors.Join(err, os.Remove(younger.path))
		}
		f.f.Close()
		f.f = nil
		if err = errors.Join(err, os.Rename(old[i].path, f.c.Path)); err != nil {
			return err
		}
		if err = f.open(); err != nil {
			return err
		}
		return f.cutAt(m.Size)
	}
	return fmt.Errorf("%s: %w", f.c.Path, errNoMark)
}

func (m *fileMark) isAt(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return m.is(f)
}

// cutAt makes the file end there.
func (f *File) cutAt(size int64) error {
	f.size, f.torn = size, true
	return f.mend()
}

// syncFolder makes the names in a file's folder survive a power cut.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
