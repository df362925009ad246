// Package decode turns the payloads of messages into columns.
//
//	journal.Record ──scan──▶ slots ──check──▶ time, key ──▶ a row of the Batch
//	                           │                 │
//	                           └─────────────────┴── what is wrong ──▶ DeadLetter
//
// A payload is scanned once, only the fields that somebody wants are kept, and
// nothing is added to the batch before all of them are known to be right.
package decode

import (
	"fmt"
	"slices"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// PayloadBytesMax is the largest payload that is decoded.
const PayloadBytesMax = 256 << 10

// A Config says what a Decoder takes from each message.
//
// A payload field of kind Text also takes numbers, as they were written, for
// identifiers. Apart from that a value of another kind, or a number that does
// not fit, makes the message a dead letter. A field that is missing or null
// has no value in its row.
type Config struct {
	Format    string          // "json" or "raw"; empty is json
	Levels    []topics.Level  // topic levels that become Text columns
	Fields    pipeline.Schema // payload fields; a name is a path: temp, motor.temp, readings[0].t
	Open      bool            // every other number, text and bool of the payload becomes a column too
	Topic     bool            // a Text column called topic
	Payload   bool            // a Bytes column called payload; raw always has it
	Time      TimeField       // where the event time is; zero: it is the arrival time
	Key       []string        // columns that make the key, joined by a NUL byte
	FutureMax int64           // µs that event time may be ahead of arrival time; 0: any
}

// A TimeField is the payload field that holds the event time.
type TimeField struct {
	Name string
	Unit string // s, ms, us, ns since 1970, or rfc3339; empty is ms
}

// A Decoder turns messages into rows. It is for one goroutine.
type Decoder struct {
	config  Config
	schema  pipeline.Schema
	keys    *pipeline.Keys
	topics  topicCache
	scanner scanner
	root    *node
	open    *openFields // nil: fields that nobody named are left out
	fields  []*slot     // of config.Fields
	time    *slot
	shift   int // from the unit of time to µs, a power of ten
	key     keyMaker
}

// New returns a decoder that gives keys their codes in keys. Its errors are
// for the one who wrote the configuration.
func New(c Config, keys *pipeline.Keys) (*Decoder, error) {
	d := &Decoder{config: c, keys: keys, root: &node{}}
	if err := d.layOut(); err != nil {
		return nil, err
	}
	byName := map[string]*slot{}
	for _, f := range d.schema[:len(d.schema)-len(c.Fields)] {
		byName[f.Name] = nil
	}
	for _, f := range c.Fields {
		v := &slot{name: f.Name}
		byName[f.Name] = v
		d.fields = append(d.fields, v)
		if err := d.root.plant(f.Name, v); err != nil {
			return nil, err
		}
	}
	if err := d.timeFrom(c.Time, byName); err != nil {
		return nil, err
	}
	if c.Open && c.Format != "raw" {
		d.open = &openFields{slots: byName}
		d.scanner.open = d.open
		d.open.spread(d.root, "")
	}
	d.topics = newTopicCache(c.Levels)
	return d, d.key.from(d, byName)
}

// layOut makes the schema of the fixed columns.
func (d *Decoder) layOut() error {
	c := &d.config
	if c.Format != "" && c.Format != "json" && c.Format != "raw" {
		return fmt.Errorf("unknown format %q; there are json and raw", c.Format)
	}
	raw := c.Format == "raw"
	for _, l := range c.Levels {
		d.schema = append(d.schema, pipeline.Field{Name: l.Name, Kind: pipeline.Text})
	}
	if c.Topic {
		d.schema = append(d.schema, pipeline.Field{Name: "topic", Kind: pipeline.Text})
	}
	if c.Payload || raw {
		c.Payload = true
		d.schema = append(d.schema, pipeline.Field{Name: "payload", Kind: pipeline.Bytes})
	}
	d.schema = append(d.schema, c.Fields...)
	if raw && len(c.Fields) > 0 {
		return fmt.Errorf("raw payloads have no fields, but %s is wanted; decode: json reads fields", c.Fields[0].Name)
	}
	if raw && c.Time.Name != "" {
		return fmt.Errorf("raw payloads have no fields, but time is wanted from %s; decode: json reads fields", c.Time.Name)
	}
	for i, f := range d.schema {
		if d.schema.Index(f.Name) != i {
			return fmt.Errorf("column %s is wanted twice", f.Name)
		}
	}
	return nil
}

func (d *Decoder) timeFrom(t TimeField, byName map[string]*slot) error {
	if t.Name == "" {
		return nil
	}
	if t.Unit == "" {
		d.config.Time.Unit = "ms"
	}
	var known bool
	if d.shift, known = shifts[d.config.Time.Unit]; !known && t.Unit != "rfc3339" {
		return fmt.Errorf("unknown unit of time %q; there are s, ms, us, ns and rfc3339", t.Unit)
	}
	v := byName[t.Name]
	if v == nil {
		v = &slot{name: t.Name}
		if _, taken := byName[t.Name]; taken {
			return fmt.Errorf("time is wanted from the payload field %s, but a column of the topic has this name", t.Name)
		}
		byName[t.Name] = v
	}
	d.time = v
	return d.root.plant(t.Name, v)
}

// Schema returns the columns that every batch has: topic levels, topic,
// payload, fields. Those that Open adds come behind.
func (d *Decoder) Schema() pipeline.Schema { return slices.Clone(d.schema) }

// NewBatch returns an empty batch to decode into.
func (d *Decoder) NewBatch() *pipeline.Batch { return pipeline.NewBatch(d.schema, d.keys) }

// Decode appends a row to b for each record, and each message that does not
// decode, with the reason, to dead. b is a batch from NewBatch; with Open it
// gains a column, sorted by name then kind, for each field seen for the first
// time. Nothing in b refers to the records.
func (d *Decoder) Decode(recs []journal.Record, b *pipeline.Batch, dead *[]pipeline.DeadLetter) {
	if d.open != nil {
		d.open.align(b, len(d.schema))
	}
	for i := range recs {
		wrong := d.row(&recs[i], b)
		if d.open != nil {
			d.open.settle()
		}
		if wrong != "" {
			*dead = append(*dead, letter(&recs[i], wrong))
		}
	}
}

// letter keeps a copy of the message, of too large a payload the beginning.
func letter(r *journal.Record, reason string) pipeline.DeadLetter {
	return pipeline.DeadLetter{
		Time: r.Arrived, Offset: r.Offset, Stage: "decode", Reason: reason,
		Topic: string(r.Topic), Payload: slices.Clone(r.Payload[:min(len(r.Payload), PayloadBytesMax)]),
	}
}
