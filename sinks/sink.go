package sinks

import (
	"context"
	"fmt"
	"time"

	"millrace.dev/millrace/pipeline"
)

// A Sink writes rows somewhere. Its methods may be called by several
// goroutines at once; they take turns.
type Sink interface {
	// Write writes all rows of b, which stays the caller's. Writing a batch
	// twice does no harm: where the place can overwrite, the rows are there
	// once. An error is one of
	//
	//	*Refused  the rows it names will never be taken; all others are written
	//	*Partial  temporary, and the rows before a certain one are done with
	//	any other temporary: none of the rows is known to be written
	//
	// A *Later in the chain of a temporary error says when to try again.
	Write(ctx context.Context, b *pipeline.Batch) error

	// Close frees what the sink holds. A second Close does nothing.
	Close() error
}

// A Marker is a sink that can take back what it has written behind a mark, so
// that rows that are delivered again after a crash are there once.
type Marker interface {
	// Mark makes what was written survive a power cut and returns what Resume
	// needs to find this place again, at most 1 KiB; nil if it cannot.
	Mark() ([]byte, error)
	// Resume takes back what was written behind a mark of an earlier process.
	// It is called before the first Write. After an error the sink can be
	// used, but rows may be there twice.
	Resume(mark []byte) error
}

// A Refusal is a row that a sink will never take.
type Refusal struct {
	Row    int    // its number in the batch
	Reason string // the words of the server, or what is wrong with the row
}

// Refused is the error of a write that is done, but for the rows it names, in
// ascending order. They are refused for good.
type Refused struct{ Rows []Refusal }

// Error tells the first reason.
func (r *Refused) Error() string {
	if len(r.Rows) == 1 {
		return "refused: " + r.Rows[0].Reason
	}
	return fmt.Sprintf("%d rows refused; the first: %s", len(r.Rows), r.Rows[0].Reason)
}

// refused returns the error for rows, nil when there are none.
func refused(rows []Refusal) error {
	if len(rows) == 0 {
		return nil
	}
	return &Refused{rows}
}

// Partial is the temporary error of a write that has got some way. The rows
// before Done are written or refused; those from it on are to be written again.
type Partial struct {
	Done    int
	Refused []Refusal // among the first Done rows, in ascending order
	Err     error
}

// Error says what stopped the write.
func (p *Partial) Error() string { return p.Err.Error() }

// Unwrap returns what stopped the write.
func (p *Partial) Unwrap() error { return p.Err }

// partial returns err for a write that has done some rows.
func partial(done int, refused []Refusal, err error) error {
	if done == 0 {
		return err
	}
	return &Partial{Done: done, Refused: refused, Err: err}
}

// Later is a temporary error that says when to try again.
type Later struct {
	Err     error
	After   time.Duration // not before this time has passed
	Mistake bool          // of the configuration: it stays until somebody mends it
}

// Error says what is wrong.
func (l *Later) Error() string { return l.Err.Error() }

// Unwrap returns what is wrong.
func (l *Later) Unwrap() error { return l.Err }

// A Meter is a sink that knows how much it has written.
type Meter interface {
	// Written returns the bytes of payload written since the sink was
	// opened, before compression. Any goroutine may ask.
	Written() uint64
}

// A Publisher publishes to MQTT topics; the broker is one.
type Publisher interface {
	// Publish takes over a message or says why not; it keeps neither topic
	// nor payload. Hop is how many pipelines the message has been through.
	// An error that wraps journal.ErrFull is worth another try; any other is
	// for good.
	Publish(topic, payload []byte, qos byte, retain bool, hop uint8) error
}
