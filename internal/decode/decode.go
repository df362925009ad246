// Package decode turns the payloads of messages into columns.
//
//	journal.Record ──scan──▶ slots ──check──▶ time, key ──▶ rows of the Batch
//	                           │                 │
//	                           └─────────────────┴── what is wrong ──▶ DeadLetter
//
// A payload is scanned once, only the fields that somebody wants are kept, and
// a message that is not all right leaves no row behind. Each format is a file
// that fills the same slots: json.go is the first of them. Where a message
// makes several rows, the first scan notes where each of them begins and ends,
// and a second one reads them in turn.
package decode

import (
	"fmt"
	"slices"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// PayloadBytesMax is the largest payload that is decoded.
const PayloadBytesMax = 256 << 10

// MessageRowsMax is the most rows that one message becomes.
const MessageRowsMax = 1 << 15

// clockSet is when the youngest wrong clock is: before, in µs since 1970, it
// shows that it is not set, and nothing is believed to be in the future.
const clockSet = int64(1_735_689_600e6) // 2025-01-01

// A Config says what a Decoder takes from each message.
//
// A payload field of kind Text also takes numbers, as they were written, for
// identifiers, and one of kind Bool takes words such as ON and closed. Apart
// from that a value of another kind, or a number that does not fit, makes the
// message a dead letter. A field that is missing or null has no value in its
// row. A payload that is a bare value has one field, called value.
type Config struct {
	Format    string          // one of Formats; empty is json
	Charset   string          // of text formats: utf-8, latin1 or utf-16; empty is utf-8
	CSV       CSV             // of csv
	Protobuf  Protobuf        // of protobuf
	Levels    []topics.Level  // topic levels that become Text columns
	Pivot     *topics.Level   // level whose value names the column of a bare payload; nil: none
	Fields    pipeline.Schema // payload fields; a name is a path: temp, motor.temp, readings[0].t
	Open      bool            // every other number, text and bool of the payload becomes a column too
	Explode   string          // path of an array, each element of which becomes a row; "." is the payload itself
	Topic     bool            // a Text column called topic
	Payload   bool            // a Bytes column called payload; raw always has it
	Time      TimeField       // where the event time is; zero: what the format itself says, or the arrival time
	Key       []string        // columns that make the key, joined by a NUL byte
	FutureMax int64           // µs that event time may be ahead of arrival time; 0: any

	// Rebirth asks a Sparkplug edge node for its birth certificate, of which
	// the decoder knows nothing yet, or an old one; nil: nobody is asked.
	Rebirth func(group, node string)
}

// A TimeField is the payload field that holds the event time.
type TimeField struct {
	Name string
	Unit string         // s, ms, us, ns since 1970, or rfc3339; empty is ms
	Zone *time.Location // of texts that do not say; nil: UTC
	Step int64          // µs from one element of an exploded array to the next; the field has the time of the first
}

// Formats are the values of Config.Format.
var Formats = [...]string{"json", "value", "raw", "line", "csv", "cbor", "msgpack", "protobuf", "sparkplug"}

// A Decoder turns messages into rows. It is for one goroutine.
type Decoder struct {
	config  Config
	schema  pipeline.Schema
	keys    *pipeline.Keys
	topics  topicCache
	topical bool  // a row needs its topic taken apart
	noTopic topic // for rows that do not
	scanner scanner
	format  format // nil: raw
	charset func(dst, src []byte) ([]byte, string)
	charred []byte // memory for payloads in UTF-8

	root    *node
	element *node       // of rows within a message; nil: a message is one row
	lines   bool        // the rows are lines of the payload
	open    *openFields // nil: fields that nobody named are left out
	fields  []*slot     // of config.Fields
	array   *slot       // the exploded one
	time    *slot
	noTime  bool // a row without time takes the arrival time
	shift   int  // from the unit of time to µs, a power of ten
	key     keyMaker
}

// A format reads payloads of one kind.
type format interface {
	// scan reads payload p into the slots below n, or notes in the scanner
	// where each of its rows is. It reports whether all is well; if not, the
	// scanner has the reason.
	scan(p []byte, n *node) bool
	// row reads one row that scan has noted into the slots below n.
	row(p []byte, at span, n *node) bool
}

// New returns a decoder that gives keys their codes in keys. Its errors are
// for the one who wrote the configuration.
func New(c Config, keys *pipeline.Keys) (*Decoder, error) {
	d := &Decoder{config: c, keys: keys, root: &node{}}
	if err := d.layOut(); err != nil {
		return nil, err
	}
	if err := d.choose(); err != nil {
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
		if err := d.plant(f.Name, v); err != nil {
			return nil, err
		}
	}
	if err := d.timeFrom(c.Time, byName); err != nil {
		return nil, err
	}
	if err := d.explode(); err != nil {
		return nil, err
	}
	if c.Open && d.format != nil {
		d.openUp(byName)
	}
	d.topics = newTopicCache(d.config.Levels)
	err := d.key.from(d, byName)
	d.topical = len(d.config.Levels) > 0 || d.key.byTopic || slices.ContainsFunc(d.key.parts, func(p keyPart) bool { return p.field == nil })
	return d, err
}

// layOut makes the schema of the fixed columns.
func (d *Decoder) layOut() error {
	c := &d.config
	if c.Format == "sparkplug" {
		c.Levels = SparkplugLevels(c.Levels)
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
	if t.Name == "" && d.config.Format == "line" {
		t, d.noTime = TimeField{Name: LineTime, Unit: "ns"}, true
	}
	if t.Name == "" {
		return nil
	}
	if d.config.Pivot != nil {
		return fmt.Errorf("time is wanted from the payload field %s, but {%s} takes bare values, which have no fields", t.Name, d.config.Pivot.Name)
	}
	if t.Unit == "" {
		t.Unit = "ms"
	}
	d.config.Time = t
	var known bool
	if d.shift, known = shifts[t.Unit]; !known && t.Unit != "rfc3339" {
		return fmt.Errorf("unknown unit of time %q; there are s, ms, us, ns and rfc3339", t.Unit)
	}
	if t.Step != 0 && d.config.Explode == "" {
		return fmt.Errorf("time has a step from element to element, but nothing is exploded")
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
	return d.plant(t.Name, v)
}

// Schema returns the columns that every batch has: topic levels, topic,
// payload, fields. Those that Open adds come behind.
func (d *Decoder) Schema() pipeline.Schema { return slices.Clone(d.schema) }

// NewBatch returns an empty batch to decode into.
func (d *Decoder) NewBatch() *pipeline.Batch { return pipeline.NewBatch(d.schema, d.keys) }

// Decode appends the rows of records to b, and each message that does not
// decode, with the reason, to dead. It stops once b has pipeline.RowsMax rows,
// or more by those of one message, and returns how many records it has taken:
// all, or those to call it again without. b is a batch from NewBatch; with
// Open it gains a column, sorted by name then kind, for each field seen for
// the first time. Nothing in b refers to the records.
func (d *Decoder) Decode(recs []journal.Record, b *pipeline.Batch, dead *[]pipeline.DeadLetter) int {
	if d.open != nil {
		d.open.align(b, len(d.schema))
	}
	for i := range recs {
		if b.Rows() >= pipeline.RowsMax && i > 0 {
			return i
		}
		wrong := d.message(&recs[i], b)
		if d.open != nil {
			d.open.settle()
		}
		if wrong != "" {
			*dead = append(*dead, letter(&recs[i], wrong))
		}
	}
	return len(recs)
}

// letter keeps a copy of the message, of too large a payload the beginning.
func letter(r *journal.Record, reason string) pipeline.DeadLetter {
	return pipeline.DeadLetter{
		Time: r.Arrived, Offset: r.Offset, Stage: "decode", Reason: reason,
		Topic: string(r.Topic), Payload: slices.Clone(r.Payload[:min(len(r.Payload), PayloadBytesMax)]),
	}
}
