package sinks

import (
	"slices"
	"time"

	"millrace.dev/millrace/pipeline"
)

const (
	freeBytesMax = 4 << 20 // of empty chunks kept for use again
	chunksInFull = 16      // a full queue has at least so many, so that a part of it is dropped at a time
)

// A queue holds the rows that wait for a sink, oldest first, up to a number of
// bytes. Its owner locks it.
type queue struct {
	rowsMax  int   // in a chunk
	bytesMax int64 // in all
	mix      bool  // chunks take rows of batches with other columns

	chunks  []*chunk // from head on
	head    int
	free    []*chunk // empty ones; bytes is what was in them
	spare   int64    // bytes of free
	bytes   int64
	rows    int
	writing bool // the first chunk is with the sink: it neither grows nor goes
}

// first returns the oldest chunk, or nil.
func (q *queue) first() *chunk {
	if q.head == len(q.chunks) {
		return nil
	}
	return q.chunks[q.head]
}

// len returns the number of chunks.
func (q *queue) len() int { return len(q.chunks) - q.head }

// push adds the rows of b and returns how many rows it had to drop, the
// oldest first.
func (q *queue) push(b *pipeline.Batch, now time.Time) (dropped int) {
	for from := 0; from < b.Rows(); {
		to, size := q.piece(b, from)
		dropped += q.makeRoom(size)
		if q.bytes+size > q.bytesMax { // a giant, or what the sink has fills the queue
			dropped += to - from
		} else {
			c := q.tail(b, size, now)
			before := c.bytes
			c.append(b, from, to)
			q.bytes += c.bytes - before
			q.rows += to - from
			dropped += q.makeRoom(0)
		}
		from = to
	}
	return dropped
}

// pushKept adds rows that are not dropped, whatever the limit.
func (q *queue) pushKept(b *pipeline.Batch, now time.Time) {
	for from := 0; from < b.Rows(); {
		to, size := q.piece(b, from)
		c := q.tail(b, size, now)
		before := c.bytes
		c.append(b, from, to)
		c.kept = true
		q.bytes += c.bytes - before
		q.rows += to - from
		from = to
	}
}

// piece returns the end of a stretch of rows that fits into the last chunk, or
// into a new one, and its size.
func (q *queue) piece(b *pipeline.Batch, from int) (to int, size int64) {
	rows, room := q.rowsMax, q.chunkMax()
	if c := q.open(b); c != nil {
		rows, room = rows-c.b.Rows(), room-c.bytes
	}
	to = min(b.Rows(), from+rows)
	for size = sizeOf(b, from, to); size > room && to > from+1; size = sizeOf(b, from, to) {
		to = from + (to-from)/2
	}
	return to, size
}

// chunkMax is the size at which a chunk is full.
func (q *queue) chunkMax() int64 { return min(chunkBytes, q.bytesMax/chunksInFull) }

func (q *queue) isFull(c *chunk) bool { return c.b.Rows() >= q.rowsMax || c.bytes >= q.chunkMax() }

// open returns the last chunk if it may grow by rows of b, or nil.
func (q *queue) open(b *pipeline.Batch) *chunk {
	n := q.len()
	if n == 0 || n == 1 && q.writing {
		return nil
	}
	c := q.chunks[len(q.chunks)-1]
	if q.isFull(c) {
		return nil
	}
	if sameColumns(&c.b, b) {
		return c
	}
	before := c.bytes
	if !q.mix || !c.widen(b) {
		return nil
	}
	q.bytes += c.bytes - before
	return c
}

// tail returns the chunk that size bytes of b go to.
func (q *queue) tail(b *pipeline.Batch, size int64, now time.Time) *chunk {
	if c := q.open(b); c != nil && c.bytes+size <= q.chunkMax() {
		return c
	}
	c := &chunk{}
	if n := len(q.free); n > 0 {
		c, q.free = q.free[n-1], q.free[:n-1]
		q.spare -= c.bytes
	}
	c.begin(b, now)
	q.bytes += c.bytes
	if q.head > len(q.chunks)/2 {
		q.chunks = slices.Delete(q.chunks, 0, q.head)
		q.head = 0
	}
	q.chunks = append(q.chunks, c)
	return c
}

// makeRoom drops the oldest rows until size bytes fit, and returns how many.
// Nothing is dropped for rows that will never fit.
func (q *queue) makeRoom(size int64) (dropped int) {
	kept := 0
	if q.writing {
		kept = 1
	}
	for q.bytes+size > q.bytesMax && q.len() > kept && size <= q.bytesMax {
		at := q.head + kept
		if q.chunks[at].kept || len(q.chunks[at].ends) > 0 {
			break
		}
		dropped += q.chunks[at].b.Rows()
		q.chunks[q.head], q.chunks[at] = q.chunks[at], q.chunks[q.head]
		q.remove()
	}
	return dropped
}

// remove takes the first chunk out of the queue.
func (q *queue) remove() {
	c := q.chunks[q.head]
	q.chunks[q.head] = nil
	q.head++
	q.bytes -= c.bytes
	q.rows -= c.b.Rows()
	if q.spare+c.bytes <= freeBytesMax {
		q.free = append(q.free, c)
		q.spare += c.bytes
	}
}
