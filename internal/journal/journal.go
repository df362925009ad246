// Package journal is the append-only log that every message goes through.
//
//	broker ──Append──▶ │ o o o o o o o │ ──Next──▶ pipelines
//	                   released      end
//
// Offsets count messages from 1 and have no gaps.
package journal

import (
	"context"
	"errors"
)

// A Record is one message in the journal. Topic and Payload of a record that
// was read are views; see Reader.
type Record struct {
	Offset  uint64
	Arrived int64  // µs since 1970
	Route   uint32 // which pipelines want it: the caller's number, kept with the message
	Hop     uint8  // how many pipelines of ours it has been through
	Topic   []byte
	Payload []byte
}

// A Journal takes messages in and hands them out again in the same order.
// Its methods may be called at the same time.
type Journal interface {
	// Append copies r, whose Offset is not looked at, and returns the
	// message's offset. While the journal is full it waits; it returns
	// ErrClosed after Close, ErrTooLarge for a message that never fits.
	Append(ctx context.Context, r Record) (uint64, error)
	// TryAppend is Append, but returns ErrFull instead of waiting.
	TryAppend(r Record) (uint64, error)
	// Sync waits until the message at offset is as durable as this journal makes it.
	Sync(ctx context.Context, offset uint64) error
	// Read returns a reader that begins at offset; 0 is the oldest message kept.
	Read(offset uint64) Reader
	Close() error
}

// A Reader hands out messages in order. It is for one goroutine, but for
// Release, which any may call.
type Reader interface {
	// Next waits for messages and appends up to limit of them to dst. What
	// it returns stays valid until Release of its offset. It returns
	// ErrClosed when the journal is closed and everything has been read.
	Next(ctx context.Context, dst []Record, limit int) ([]Record, error)
	// Release says that messages up to and including offset are no longer
	// needed; the journal may use their space again.
	Release(offset uint64)
}

var (
	// ErrFull is returned by TryAppend when the oldest messages are still needed.
	ErrFull = errors.New("journal is full")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("journal is closed")
	// ErrTooLarge is returned for a message larger than the journal.
	ErrTooLarge = errors.New("message is larger than the journal")
)
