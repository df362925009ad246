package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/pipeline"
)

// fileBytes is how much is written to a file at once, if there is as much.
const fileBytes = 256 << 10

// errLocked is the error of a file that somebody else writes.
var errLocked = errors.New("another sink or program writes this file\n\thint: describe the file once under sinks: and use it by its name")

// FileConfig is what a file sink needs.
type FileConfig struct {
	Path   string   // the folder is made if it is missing
	Format string   // ndjson, or empty; csv or line
	Fields []string // all unless said

	Measurement string   // format line: columns in braces
	Tags        []string // format line: columns written as tags
	Rotate      Rotate
}

// File appends each row as a line to a file. NDJSON is a JSON object a line
// (see docs/pipelines.md); CSV begins with a header, and columns that come
// later begin a new file; line is the InfluxDB line protocol, which refuses
// rows that it cannot write.
//
// A batch that an error stops leaves whole lines behind: what was written of
// the next one is cut off. Other programs may move the file away; the
// sink then begins a new one. A file that ends within a line, as a power cut
// leaves it, or has another header, is set aside like a full one by the first
// row, unless Resume has cut it where it was marked.
type File struct {
	c       FileConfig
	written atomic.Uint64
	now     func() time.Time

	mu      sync.Mutex
	json    jsonRows
	csv     *csvRows   // nil unless it is CSV
	points  *pointRows // nil unless it is the line protocol
	f       *os.File   // nil when it has gone
	size    int64      // of its whole lines
	torn    bool       // behind them is a part of one
	period  int64      // of Rotate.Age, when it was begun
	stale   bool       // its header lacks columns
	unsure  bool       // nobody has looked whether rows can be appended
	newName bool       // its name may not survive a power cut
	buf     []byte
	closed  bool
}

// NewFile opens the file, so that one that cannot be written is told at once.
func NewFile(c FileConfig) (*File, error) {
	f := &File{c: c, now: time.Now, json: newJSON(c.Fields)}
	var err error
	switch c.Format {
	case "", "ndjson":
	case "csv":
		f.csv = newCSV(c.Fields)
	case "line":
		f.points, err = newPoints(c.Measurement, c.Tags, c.Fields)
	default:
		err = fmt.Errorf("unknown format %q\n\thint: ndjson, csv and line are known", c.Format)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	err = f.open()
	if err != nil && !errors.Is(err, errLocked) {
		err = fmt.Errorf("%w\n\thint: the user that runs millrace must be able to write the file and make its folder", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", c.Path, err)
	}
	return f, nil
}

// Write implements Sink.
func (f *File) Write(ctx context.Context, b *pipeline.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if no, err := f.prepare(b); err != nil || no != nil {
		return errors.Join(err, refused(no))
	}
	f.begin()
	done := 0
	var no []Refusal
	for i := range b.Rows() {
		from := len(f.buf)
		if err := f.appendRow(b, i); err != nil {
			no = append(no, Refusal{i, err.Error()})
		}
		if f.isOver() && f.size+int64(from) > f.headBytes() {
			row := string(f.buf[from:]) // rare: once a file
			f.buf = f.buf[:from]
			if err := f.flush(); err != nil {
				return partial(done, until(no, done), err)
			}
			done = i
			if err := f.rotate(); err != nil {
				return partial(done, until(no, done), err)
			}
			f.begin()
			f.buf = append(f.buf, row...)
		}
		if len(f.buf) >= fileBytes || i+1 == b.Rows() {
			if err := f.flush(); err != nil {
				return partial(done, until(no, done), err)
			}
			done = i + 1
		}
	}
	return refused(no)
}

// until returns the refusals of the rows before a certain one.
func until(no []Refusal, row int) []Refusal {
	for len(no) > 0 && no[len(no)-1].Row >= row {
		no = no[:len(no)-1]
	}
	return no
}

// prepare makes sure that there is a file to append rows of b to.
func (f *File) prepare(b *pipeline.Batch) ([]Refusal, error) {
	if f.closed {
		return nil, fmt.Errorf("%s: %w", f.c.Path, os.ErrClosed)
	}
	if f.f != nil && !f.isThere() {
		f.f.Close() // its rows are where it went
		f.f = nil
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return nil, err
		}
	}
	if err := f.mend(); err != nil {
		return nil, err
	}
	if f.unsure && !f.canGoOn() {
		if err := f.rotate(); err != nil {
			return nil, err
		}
	}
	f.unsure = false
	if f.csv != nil {
		changed, err := f.csv.fit(b)
		if err != nil {
			return refuseAll(b, err.Error()), nil
		}
		f.stale = f.stale || changed
	} else if f.points != nil {
		f.points.layout.fit(b)
	} else {
		f.json.fit(b)
	}
	if f.size > 0 && (f.stale || f.period != f.periodOf(f.now())) {
		return nil, f.rotate()
	}
	return nil, nil
}

func refuseAll(b *pipeline.Batch, reason string) []Refusal {
	no := make([]Refusal, b.Rows())
	for i := range no {
		no[i] = Refusal{i, reason}
	}
	return no
}

// begin empties the buffer, but for the header that a new file needs.
func (f *File) begin() {
	f.buf = f.buf[:0]
	if f.size == 0 && f.csv != nil {
		f.buf = f.csv.header(f.buf)
	}
}

// headBytes is the size of a file without rows.
func (f *File) headBytes() int64 {
	if f.csv == nil {
		return 0
	}
	return int64(len(f.csv.header(nil)))
}

// appendRow appends the line of row i to the buffer, or says why there is none.
func (f *File) appendRow(b *pipeline.Batch, i int) (err error) {
	switch {
	case f.csv != nil:
		f.buf = f.csv.append(f.buf, b, i)
	case f.points != nil:
		if f.buf, err = f.points.append(f.buf, b, i); err != nil {
			return err
		}
	default:
		f.buf = f.json.append(f.buf, b, i)
	}
	f.buf = append(f.buf, '\n')
	return nil
}

// flush appends the buffer to the file: all of it or nothing.
func (f *File) flush() error {
	n, err := f.f.Write(f.buf)
	if err != nil {
		f.torn = n > 0
		return errors.Join(err, f.mend())
	}
	f.size += int64(n)
	f.written.Add(uint64(n))
	f.buf = f.buf[:0]
	return nil
}

// mend cuts off what an error has left of a line.
func (f *File) mend() error {
	if !f.torn {
		return nil
	}
	err := f.f.Truncate(f.size)
	f.torn = err != nil
	return err
}

// open opens the file at its end, or makes it. The first row sets one aside
// that cannot be gone on with.
func (f *File) open() error {
	if err := os.MkdirAll(filepath.Dir(f.c.Path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(f.c.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err == nil {
		err = lock(file)
	}
	if err != nil {
		file.Close()
		return err
	}
	f.f, f.size, f.torn, f.period, f.stale = file, info.Size(), false, f.periodOf(f.now()), false
	f.unsure, f.newName = f.size > 0, true
	if f.unsure {
		f.period = f.periodOf(info.ModTime())
	}
	return nil
}

// canGoOn reports whether rows can be appended to what is in the file.
func (f *File) canGoOn() bool {
	var last [1]byte
	if _, err := f.f.ReadAt(last[:], f.size-1); err != nil || last[0] != '\n' {
		return false
	}
	return f.csv == nil || f.csv.adopt(io.NewSectionReader(f.f, 0, f.size))
}

// isThere reports whether the path still leads to the open file.
func (f *File) isThere() bool {
	at, err := os.Stat(f.c.Path)
	if err != nil {
		return false
	}
	open, err := f.f.Stat()
	return err == nil && os.SameFile(at, open)
}

// Written implements Meter.
func (f *File) Written() uint64 { return f.written.Load() }

// Close implements Sink. What was written is then on disk.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.mend(), f.f.Sync(), f.f.Close())
	f.f = nil
	return err
}
