// Package journal is the append-only log that every message goes through.
//
//	broker ──Append──▶ │ o o o o o o o │ ──Next──▶ pipelines
//	                   released      end
//
// Offsets count messages from 1 and have no gaps. Beside messages the journal
// keeps entries: what a part of the program has to find again after a crash,
// such as the state of a pipeline or the place that a sink has got to.
//
// What is appended goes to disk in group commits, all of a commit or nothing
// of what was in one frame. A commit holds everything that was appended
// before it began, so whoever reads back an entry finds all messages and
// entries before it, too.
package journal

import (
	"context"
	"errors"
)

// Durability is how long the journal keeps a message.
type Durability uint8

// From the weakest to the strongest.
const (
	Volatile Durability = iota // as long as the process lives, and a reader needs it
	Relaxed                    // through a crash, but for what came in the last moments before it
	Durable                    // through any crash, once it is committed
)

// A Record is one message in the journal, or a tick of the clock. Topic and
// Payload of a record that was read are views; see Reader.
type Record struct {
	Offset  uint64
	Arrived int64  // µs since 1970
	Route   uint32 // which pipelines want it: the caller's number, kept with the message as Options.RouteKept says
	Keep    Durability
	Hop     uint8 // how many pipelines of ours it has been through
	Tick    bool  // it is no message: the processing time is Arrived
	Topic   []byte
	Payload []byte
}

// A Commit is the number of a group commit; they count from 1. Commit 0 is of
// what is not written to disk, and over from the beginning.
type Commit uint64

// A Position is a place in the journal on disk; later ones are greater.
type Position uint64

// A Kind tells entries of different parts of the program apart. Their numbers
// are in the files and never change.
type Kind uint8

// The kinds of entries.
const (
	Checkpoint Kind = 'C' // of pipelines: applied offset, state, results
	Session    Kind = 'S' // of the broker: sessions, and what is retained
	Cursor     Kind = 'A' // of sinks: what they have delivered
	Clock      Kind = 'T' // of the node: the boot, the clock and whether it was set
	Table      Kind = 'N' // of the node: names that numbers stand for
)

// An Entry is something to be found again, by kind and name.
type Entry struct {
	Kind  Kind
	Name  string // whose it is: a pipeline, a session, a sink
	Whole bool   // it makes the earlier ones of the same kind and name superfluous
	Gone  bool   // likewise, and there is nothing any more: Body is empty
	Body  []byte
}

// A Journal takes messages in and hands them out again in the same order.
// Its methods may be called at the same time.
type Journal interface {
	// Append copies r, whose Offset is not looked at, and returns the
	// message's offset. While the journal is full it waits; it returns
	// ErrClosed after Seal, ErrTooLarge for a message that never fits.
	Append(ctx context.Context, r Record) (uint64, error)
	// TryAppend is Append, but returns ErrFull instead of waiting.
	TryAppend(r Record) (uint64, error)

	// Put copies e and appends it, and returns the commit that it will be in
	// and where it will stand. Entries have room of their own: what keeps the
	// journal from running does not wait for messages to be released. Put
	// returns ErrFull when there is no space on disk, ErrTooLarge for more
	// than EntryBytesMax. In memory nothing is kept, and Put returns zeros.
	Put(e Entry) (Commit, Position, error)

	// Last returns the commit that has, or will have, what was appended last.
	Last() Commit
	// Committed returns the latest commit that is on disk, and thereby all
	// before it.
	Committed() Commit
	// Sync returns when the commit is on disk; it does not hurry it. It
	// returns ErrClosed, or why the journal failed, if it never will be.
	Sync(ctx context.Context, c Commit) error
	// OnCommit has f called after each commit, with its number, by the
	// goroutine that writes; f must not wait. It is called before the first
	// append. When the journal fails, f is called no more.
	OnCommit(f func(Commit))

	// Entries calls f with the entries of a kind and name, oldest first, from
	// the latest whole one on, that were committed when the journal was
	// opened. An error of f ends it and is returned.
	Entries(k Kind, name string, f func(at Position, body []byte) error) error
	// Names returns the names for which Entries has any, in order.
	Names(k Kind) []string
	// Follow returns a reader of the committed entries of a kind and name
	// behind a position, whole and not, 0 for the oldest there is.
	Follow(k Kind, name string, after Position) EntryReader

	// Read returns a reader that begins at offset, or the oldest message kept
	// if that is younger; 0 is the oldest kept.
	Read(offset uint64) Reader
	// Next returns the offset that the next message will get.
	Next() uint64

	// Need says on behalf of who, a name of the caller's choice, that messages
	// from offset on, and entries from position on, must be kept on disk; the
	// latest call for a name counts. Zeros say that it needs none any more.
	// Beside this the journal keeps what Entries returns.
	Need(who string, offset uint64, position Position)
	// Span returns the positions of the oldest entry or message that is kept
	// on disk and of the end, and how far apart they may be. Who finds that
	// its latest whole entry is the oldest of all should put a new one.
	Span() (oldest, end, most Position)

	// Failed returns a channel that is closed when the journal cannot write
	// any more; Err says why. Nothing is committed from then on.
	Failed() <-chan struct{}
	Err() error
	// Seal takes no more messages: Append returns ErrClosed from then on, and
	// so does Next when everything has been read. Entries still come in.
	Seal()
	// Close seals the journal, commits what was appended and ends it: no
	// entry comes in any more either; what is in can be read.
	Close() error
}

// A Reader hands out messages in order. It is for one goroutine, but for
// Release, which any may call.
type Reader interface {
	// Next waits for messages and appends up to limit of them to dst. What
	// it returns stays valid until Release of its offset. It returns
	// ErrClosed when the journal is sealed and everything has been read.
	Next(ctx context.Context, dst []Record, limit int) ([]Record, error)
	// Release says that messages up to and including offset are no longer
	// needed in memory; the journal may use their space again.
	Release(offset uint64)
}

// An EntryReader hands out entries in order. It is for one goroutine.
type EntryReader interface {
	// Next returns the next committed entry; io.EOF when there is none yet.
	// body is valid until Next is called again. What was damaged or is no
	// longer kept is passed over.
	Next() (at Position, body []byte, err error)
	Close() error
}

// EntryBytesMax is the most bytes of an entry's body.
const EntryBytesMax = 256 << 20

var (
	// ErrFull is returned by TryAppend when the oldest messages are still
	// needed, and when the disk is full.
	ErrFull = errors.New("journal is full")
	// ErrClosed is returned after Seal, or Close.
	ErrClosed = errors.New("journal is closed")
	// ErrTooLarge is returned for a message larger than the journal.
	ErrTooLarge = errors.New("message is larger than the journal")
)
