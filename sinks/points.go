package sinks

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"millrace.dev/millrace/pipeline"
)

// Limits of InfluxDB; what is beyond them is refused before it is sent.
const (
	seriesBytesMax = 65535    // measurement, tags and field name (tsdb.MaxKeyLength)
	textBytesMax   = 64 << 10 // a text field (the line protocol's documentation)
)

// Times that InfluxDB can store, in µs: what fits into ns, but for the ends,
// which it keeps for itself.
const (
	timeMin = math.MinInt64/1000 + 1
	timeMax = math.MaxInt64/1000 - 1
)

// A pointRows writes rows in the InfluxDB line protocol, with times in µs:
//
//	motors,device=m1,line=a mean=25,n=2i 1767225601000000
//
// Tags without a value are left out. Fields are floats, integers, booleans and
// texts; bytes are text when they are UTF-8, else base64:…. A line end or tab
// in a text is written as \n, \r or \t, which InfluxDB keeps as two characters:
// VictoriaMetrics ends the line there even between quotes, and would take the
// rest, which a device may have made up, for a row. What the server would not
// store, or would store as something else, is refused.
type pointRows struct {
	measurement *line
	tags        []string // in the order of bytes, as the protocol wants them
	keys        [][]byte // the same
	layout      layout
	encoder     lineprotocol.Encoder

	buf     []byte // the lines of a batch, each with its end
	points  []point
	name    []byte
	scratch []byte
}

// A point is a line in buf.
type point struct{ row, from, to int }

func newPoints(measurement string, tags, fields []string) (*pointRows, error) {
	m, err := compileLine(measurement)
	if err != nil {
		return nil, fmt.Errorf("measurement: %w", err)
	}
	if measurement == "" || measurement[0] == '#' {
		return nil, fmt.Errorf("measurement %q: it is empty or begins with #, which begins a comment", measurement)
	}
	if slices.Contains(tags, timeName) || slices.Contains(fields, timeName) {
		return nil, errors.New("time is neither a tag nor a field; InfluxDB keeps that name for the time itself")
	}
	p := &pointRows{measurement: m, tags: slices.Compact(slices.Sorted(slices.Values(tags)))}
	for _, name := range p.tags {
		p.keys = append(p.keys, []byte(name))
	}
	p.layout.except = slices.Clone(p.tags)
	if len(fields) > 0 {
		p.layout.only = fields
	} else {
		for _, part := range m.parts {
			p.layout.except = append(p.layout.except, part.name)
		}
	}
	p.encoder.SetPrecision(lineprotocol.Microsecond)
	return p, nil
}

// encode writes the rows of b to buf and returns those that are no point.
func (p *pointRows) encode(b *pipeline.Batch) (no []Refusal) {
	p.layout.fit(b)
	p.buf, p.points = p.buf[:0], p.points[:0]
	for i := range b.Rows() {
		p.encoder.SetBuffer(p.buf)
		if err := p.row(b, i); err != nil {
			no = append(no, Refusal{i, err.Error()})
			continue
		}
		from := len(p.buf)
		p.buf = p.encoder.Bytes()
		p.points = append(p.points, point{i, from, len(p.buf)})
	}
	return no
}

// row writes row i with the encoder.
func (p *pointRows) row(b *pipeline.Batch, i int) error {
	if t := b.Time[i]; t < timeMin || t > timeMax {
		return fmt.Errorf("time %d µs is beyond what InfluxDB stores (1677 to 2262)", t)
	}
	size, err := p.start(b, i)
	if err != nil {
		return err
	}
	n := 0
	for k := range p.layout.fields {
		f := &p.layout.fields[k]
		c := f.column(b, i)
		if c == nil {
			continue
		}
		if size+len(f.name) > seriesBytesMax {
			return fmt.Errorf("measurement, tags and field %.40s have %d bytes; the most is %d", f.name, size+len(f.name), seriesBytesMax)
		}
		if err := p.field(f.name, c, i); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("no field has a value")
	}
	p.encoder.EndLine(time.UnixMicro(b.Time[i]))
	return p.encoder.Err()
}

// start writes measurement and tags of row i and returns their bytes.
func (p *pointRows) start(b *pipeline.Batch, i int) (size int, err error) {
	p.name = p.name[:0]
	for k := range p.measurement.parts {
		part := &p.measurement.parts[k]
		c := b.Column(part.name, i)
		switch {
		case part.name == "":
			p.name = append(p.name, part.text...)
		case c == nil:
			return 0, fmt.Errorf("measurement: %s has no value", part.name)
		case c.Kind == pipeline.Text || c.Kind == pipeline.Bytes:
			p.name = append(p.name, c.Text(i)...)
		default:
			p.name = part.append(p.name, c, i)
		}
	}
	if err := checkName(p.name); err != nil {
		return 0, fmt.Errorf("measurement %.80q: %w", p.name, err)
	}
	if p.name[0] == '#' {
		return 0, fmt.Errorf("measurement %.80q: a line that begins with # is a comment", p.name)
	}
	p.encoder.StartLineRaw(p.name)
	size = len(p.name)
	for k, name := range p.tags {
		c := b.Column(name, i)
		if c == nil {
			continue
		}
		p.scratch = appendTag(p.scratch[:0], c, i)
		if err := checkName(p.scratch); err != nil {
			return 0, fmt.Errorf("tag %s is %.80q: %w", name, p.scratch, err)
		}
		size += len(name) + len(p.scratch) + len(",=")
		if size > seriesBytesMax {
			return 0, fmt.Errorf("measurement and tags have more than %d bytes", seriesBytesMax)
		}
		p.encoder.AddTagRaw(p.keys[k], p.scratch)
	}
	return size, p.encoder.Err()
}

func appendTag(dst []byte, c *pipeline.Column, i int) []byte {
	if c.Kind == pipeline.Text || c.Kind == pipeline.Bytes {
		return append(dst, c.Text(i)...)
	}
	return appendPlain(dst, c, i)
}

// checkName says what the line protocol cannot write as a measurement or tag.
func checkName(s []byte) error {
	switch {
	case len(s) == 0:
		return errors.New("it is empty")
	case s[len(s)-1] == '\\':
		return errors.New("it ends in a backslash")
	case bytes.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("it has a line end or another control character")
	case !utf8.Valid(s):
		return errors.New("it is not UTF-8")
	}
	return nil
}

// field writes the value of row i as a field.
func (p *pointRows) field(name string, c *pipeline.Column, i int) error {
	if name == timeName {
		return errors.New("a field called time; InfluxDB keeps that name for the time itself\n\thint: name the columns to write in fields:")
	}
	if c.Kind == pipeline.Text || c.Kind == pipeline.Bytes {
		return p.text(name, c, i)
	}
	var v lineprotocol.Value
	switch c.Kind {
	case pipeline.Float:
		var ok bool
		if v, ok = lineprotocol.FloatValue(c.Floats[i]); !ok {
			return fmt.Errorf("field %s is %s, which InfluxDB cannot store", name, strconv.FormatFloat(c.Floats[i], 'g', -1, 64))
		}
	case pipeline.Int:
		v = lineprotocol.IntValue(c.Ints[i])
	default:
		v = lineprotocol.BoolValue(c.Bools[i] != 0)
	}
	p.encoder.AddField(name, v)
	return p.encoder.Err()
}

func (p *pointRows) text(name string, c *pipeline.Column, i int) error {
	text := c.Text(i)
	if !utf8.Valid(text) {
		p.scratch = appendUTF8(p.scratch[:0], c, i)
		text = p.scratch
	}
	if len(text) > textBytesMax {
		return fmt.Errorf("field %s has %d bytes; the most is %d", name, len(text), textBytesMax)
	}
	v, err := lineprotocol.NewValueFromBytes(lineprotocol.String, text)
	if err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	p.encoder.AddField(name, v)
	return p.encoder.Err()
}
