package sinks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rotate says when a new file is begun. The old one gets the time in its
// name, in UTC: readings.ndjson becomes readings-20260101T000000.ndjson, or
// readings-20260101T000000-2.ndjson when that is there. If the clock has gone
// back, it gets the time of the youngest old file, so that names keep their order.
type Rotate struct {
	Bytes int64         // before a file grows beyond this; 0 for never
	Age   time.Duration // when a multiple of it passes in UTC: 24h is at midnight; 0 for never
	Keep  int           // how many old files stay; 0 for all
}

// An oldFile is one that was rotated away.
type oldFile struct {
	path  string
	stamp string // 20260101T000000
	n     int    // 1 unless there are several of one second
}

const stampLayout = "20060102T150405"

func (o oldFile) compare(p oldFile) int {
	if c := strings.Compare(o.stamp, p.stamp); c != 0 {
		return c
	}
	return o.n - p.n
}

// periodOf numbers the stretches of Rotate.Age.
func (f *File) periodOf(t time.Time) int64 {
	if f.c.Rotate.Age <= 0 {
		return 0
	}
	return t.Truncate(f.c.Rotate.Age).UnixNano()
}

// isOver reports whether the file would be too large with what is in the buffer.
func (f *File) isOver() bool {
	return f.c.Rotate.Bytes > 0 && f.size+int64(len(f.buf)) > f.c.Rotate.Bytes
}

// rotate sets the file aside, begins a new one and removes what is too old.
func (f *File) rotate() error {
	old, err := f.oldFiles()
	if err != nil {
		return err
	}
	next := oldFile{stamp: f.now().UTC().Format(stampLayout), n: 1}
	if n := len(old); n > 0 && next.compare(old[n-1]) <= 0 {
		next.stamp, next.n = old[n-1].stamp, old[n-1].n+1
	}
	next.path = f.oldPath(next)
	if err := os.Rename(f.c.Path, next.path); err != nil {
		return err
	}
	err = f.f.Close()
	f.f = nil
	return errors.Join(err, f.open(), f.prune(append(old, next)))
}

// prune removes the oldest files.
func (f *File) prune(old []oldFile) error {
	if f.c.Rotate.Keep <= 0 || len(old) <= f.c.Rotate.Keep {
		return nil
	}
	var errs []error
	for _, o := range old[:len(old)-f.c.Rotate.Keep] {
		errs = append(errs, os.Remove(o.path))
	}
	return errors.Join(errs...)
}

// split cuts the path into what stands before and behind the time.
func (f *File) split() (before, behind string) {
	behind = filepath.Ext(f.c.Path)
	return strings.TrimSuffix(f.c.Path, behind) + "-", behind
}

func (f *File) oldPath(o oldFile) string {
	before, behind := f.split()
	if o.n == 1 {
		return before + o.stamp + behind
	}
	return fmt.Sprintf("%s%s-%d%s", before, o.stamp, o.n, behind)
}

// oldFiles returns the files that were rotated away, the oldest first.
func (f *File) oldFiles() ([]oldFile, error) {
	dir := filepath.Dir(f.c.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	before, behind := f.split()
	before = filepath.Base(before)
	var old []oldFile
	for _, e := range entries {
		inside, ok := strings.CutPrefix(e.Name(), before)
		inside, isOurs := strings.CutSuffix(inside, behind)
		if o, isOld := parseOld(inside); ok && isOurs && isOld && e.Type().IsRegular() {
			o.path = filepath.Join(dir, e.Name())
			old = append(old, o)
		}
	}
	slices.SortFunc(old, oldFile.compare)
	return old, nil
}

// parseOld reads the time in a name: 20260101T000000 or 20260101T000000-2.
func parseOld(s string) (oldFile, bool) {
	stamp, number, numbered := strings.Cut(s, "-")
	if _, err := time.Parse(stampLayout, stamp); err != nil {
		return oldFile{}, false
	}
	if !numbered {
		return oldFile{stamp: stamp, n: 1}, true
	}
	n, err := strconv.Atoi(number)
	return oldFile{stamp: stamp, n: n}, err == nil && n > 1
}
