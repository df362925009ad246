package sinks

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"millrace.dev/millrace/pipeline"
)

// stdoutBytes is how much is written at once, if there is as much.
const stdoutBytes = 64 << 10

// StdoutConfig is what a stdout sink needs.
type StdoutConfig struct {
	Line   string   // a line with columns in braces; JSON if empty
	Fields []string // of the JSON; all unless said
}

// Stdout writes each row as a line, in JSON (see docs/pipelines.md) or by a
// template. Several may share a writer: each call of its Write has whole
// lines, but after an error in the middle of one.
type Stdout struct {
	w       io.Writer
	written atomic.Uint64

	mu    sync.Mutex
	json  jsonRows
	line  *line // nil for JSON
	buf   []byte
	lines []int  // where each line in buf ends
	torn  []byte // what an error has left of a line
}

// NewStdout returns a sink that writes to w. A line that is no template is an error.
func NewStdout(c StdoutConfig, w io.Writer) (*Stdout, error) {
	s := &Stdout{w: w, json: newJSON(c.Fields)}
	if c.Line == "" {
		return s, nil
	}
	var err error
	s.line, err = compileLine(c.Line)
	return s, err
}

// Write implements Sink.
func (s *Stdout) Write(ctx context.Context, b *pipeline.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mend(); err != nil {
		return err
	}
	s.json.fit(b)
	s.buf, s.lines = s.buf[:0], s.lines[:0]
	done := 0
	for i := range b.Rows() {
		if s.line != nil {
			s.buf = s.line.append(s.buf, b, i)
		} else {
			s.buf = s.json.append(s.buf, b, i)
		}
		s.buf = append(s.buf, '\n')
		s.lines = append(s.lines, len(s.buf))
		if len(s.buf) < stdoutBytes && i+1 < b.Rows() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return partial(done, nil, err)
		}
		n, err := s.flush()
		if done += n; err != nil {
			return partial(done, nil, err)
		}
	}
	return nil
}

// flush writes what is in buf and returns how many rows are done with. One
// of which a part is out is: mend writes the rest.
func (s *Stdout) flush() (rows int, err error) {
	n, err := s.w.Write(s.buf)
	s.written.Add(uint64(n))
	from := 0
	for _, end := range s.lines {
		if end > n {
			if n > from {
				s.torn = append(s.torn, s.buf[n:end]...)
				rows++
			}
			break
		}
		rows++
		from = end
	}
	s.buf, s.lines = s.buf[:0], s.lines[:0]
	return rows, err
}

// mend writes the rest of a line that an error has torn.
func (s *Stdout) mend() error {
	if len(s.torn) == 0 {
		return nil
	}
	n, err := s.w.Write(s.torn)
	s.written.Add(uint64(n))
	s.torn = append(s.torn[:0], s.torn[n:]...)
	return err
}

// Written implements Meter.
func (s *Stdout) Written() uint64 { return s.written.Load() }

// Close implements Sink; the writer stays open.
func (s *Stdout) Close() error { return nil }
