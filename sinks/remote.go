package sinks

import (
	"cmp"
	"context"
	"slices"

	"millrace.dev/millrace/pipeline"
)

// A Flight is messages on their way to another broker over one connection. It
// publishes as a Publisher does, but returns before a message is taken; any
// error is for good. It is for one goroutine.
type Flight interface {
	Publisher
	// Settle waits until each message that Publish returned no error for is
	// acknowledged. It returns how many of them, from the first one on, are
	// done with: taken, or refused for good. The error says why the others
	// are not; they are to be published again, in order.
	Settle() (done int, err error)
	// Refused says why message i of those was refused; "" if it was not.
	Refused(i int) string
}

// A Remote is another broker.
type Remote struct {
	topic *Topic
	begin func(context.Context) (Flight, error)
	sent  []sentRow
}

// A sentRow is a row on its way, and the size of its payload.
type sentRow struct{ row, bytes int }

// NewRemote returns a sink that publishes rows to another broker as a topic
// sink does to this one, many at once. begin begins a flight for a write; it
// may wait for a connection, and an error is temporary. A row is written when
// the other broker has acknowledged it; one that it refuses is refused.
func NewRemote(c TopicConfig, begin func(context.Context) (Flight, error)) (*Remote, error) {
	t, err := NewTopic(c, nil)
	if err != nil {
		return nil, err
	}
	return &Remote{topic: t, begin: begin}, nil
}

// Write implements Sink.
func (r *Remote) Write(ctx context.Context, b *pipeline.Batch) error {
	t := r.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	f, err := r.begin(ctx)
	if err != nil {
		return err
	}
	t.rows.fit(b)
	t.batch, t.to = b, f
	defer func() { t.batch, t.to = nil, nil }()
	r.sent = r.sent[:0]
	var no []Refusal
	for i := range b.Rows() {
		if err := t.publish(b, i); err != nil {
			no = append(no, Refusal{i, err.Error()})
			continue
		}
		r.sent = append(r.sent, sentRow{i, len(t.payload)})
	}
	n, err := f.Settle()
	return r.result(b.Rows(), n, f, no, err)
}

// result tells what became of a batch of which n messages that were sent are
// done with, and the rows in no were not even sent.
func (r *Remote) result(rows, n int, f Flight, no []Refusal, err error) error {
	for k, s := range r.sent[:n] {
		if why := f.Refused(k); why != "" {
			no = append(no, Refusal{s.row, why})
		} else {
			r.topic.written.Add(uint64(s.bytes))
		}
	}
	slices.SortFunc(no, func(a, b Refusal) int { return cmp.Compare(a.Row, b.Row) })
	if err == nil {
		return refused(no)
	}
	done := rows
	if n < len(r.sent) {
		done = r.sent[n].row
	}
	no = slices.DeleteFunc(no, func(one Refusal) bool { return one.Row >= done }) // they are asked again
	return partial(done, no, err)
}

// Written implements Meter.
func (r *Remote) Written() uint64 { return r.topic.Written() }

// Close implements Sink; the connection stays.
func (r *Remote) Close() error { return nil }
