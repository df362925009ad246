package sinks

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// TopicConfig is what a topic sink needs.
type TopicConfig struct {
	Topic  string   // columns in braces: alerts/{line}/{device}
	QoS    byte     // 0, 1 or 2
	Retain bool     // the broker keeps the last message of each topic
	Fields []string // of the payload; all unless said

	Format      string   // json, or empty; line, cbor or value (see Payload)
	Measurement string   // format line
	Tags        []string // format line
	Properties  TopicProperties
}

// Topic publishes each row, as a JSON object unless said (see
// docs/pipelines.md). A row whose topic or payload cannot be made, or that the
// publisher refuses, is refused. Properties go to subscribers that speak MQTT 5.
type Topic struct {
	c       TopicConfig
	topic   *topics.Template
	to      Publisher
	written atomic.Uint64

	mu      sync.Mutex
	rows    *payloadRows
	props   *properties // nil for none
	name    []byte
	payload []byte
	scratch []byte // a number as text, for the topic
	batch   *pipeline.Batch
	row     int
	value   func(string) ([]byte, bool) // t.level, made once
}

// NewTopic returns a sink that publishes to p. A topic that is no topic is an error.
func NewTopic(c TopicConfig, p Publisher) (*Topic, error) {
	template, err := topics.CompileTemplate(c.Topic)
	if err != nil {
		return nil, err
	}
	rows, err := newPayload(Payload{Format: c.Format, Fields: c.Fields, Measurement: c.Measurement, Tags: c.Tags})
	if err != nil {
		return nil, err
	}
	t := &Topic{c: c, topic: template, to: p, rows: rows}
	if t.props, err = newProperties(c.Properties); err != nil {
		return nil, err
	}
	t.value = t.level
	return t, nil
}

// Write implements Sink.
func (t *Topic) Write(ctx context.Context, b *pipeline.Batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows.fit(b)
	t.batch = b
	defer func() { t.batch = nil }()
	var no []Refusal
	var bytes uint64
	defer func() { t.written.Add(bytes) }()
	for i := range b.Rows() {
		if i%pipeline.RowsMax == 0 && ctx.Err() != nil {
			return partial(i, no, ctx.Err())
		}
		err := t.publish(b, i)
		switch {
		case err == nil:
			bytes += uint64(len(t.payload))
		case errors.Is(err, journal.ErrFull):
			return partial(i, no, err)
		default:
			no = append(no, Refusal{i, err.Error()})
		}
	}
	return refused(no)
}

func (t *Topic) publish(b *pipeline.Batch, i int) error {
	t.row = i
	var err error
	if t.name, err = t.topic.Append(t.name[:0], t.value); err != nil {
		return err
	}
	if t.payload, err = t.rows.append(t.payload[:0], b, i); err != nil {
		return err
	}
	hop := b.Hop[i]
	if hop < math.MaxUint8 {
		hop++
	}
	to, ok := t.to.(PropertyPublisher)
	if t.props == nil || !ok {
		return t.to.Publish(t.name, t.payload, t.c.QoS, t.c.Retain, hop)
	}
	with, err := t.props.fill(t, b, i)
	if err != nil {
		return err
	}
	return to.PublishWith(t.name, t.payload, t.c.QoS, t.c.Retain, hop, with)
}

// level returns the text of a column in the row that is being published.
func (t *Topic) level(name string) ([]byte, bool) {
	c := t.batch.Column(name, t.row)
	switch {
	case c == nil || c.Kind == pipeline.Float && !isFinite(c.Floats[t.row]):
		return nil, false
	case c.Kind == pipeline.Text || c.Kind == pipeline.Bytes:
		return c.Text(t.row), true
	}
	t.scratch = appendPlain(t.scratch[:0], c, t.row)
	return t.scratch, true
}

// Written implements Meter.
func (t *Topic) Written() uint64 { return t.written.Load() }

// Close implements Sink; the publisher stays open.
func (t *Topic) Close() error { return nil }
