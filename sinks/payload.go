package sinks

import (
	"bytes"
	"errors"
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// Payload says how a row becomes the payload of a message.
type Payload struct {
	Format      string   // json, or empty; line, cbor or value
	Fields      []string // columns; all unless said. Format value takes one
	Measurement string   // format line: columns in braces
	Tags        []string // format line: columns written as tags
}

// A payloadRows writes rows as payloads.
type payloadRows struct {
	format string
	json   jsonRows
	cbor   cborRows
	points *pointRows
	value  string
}

func newPayload(c Payload) (*payloadRows, error) {
	p := &payloadRows{format: c.Format}
	var err error
	switch c.Format {
	case "", "json":
		p.json = newJSON(c.Fields)
	case "cbor":
		p.cbor = newCBOR(c.Fields)
	case "line":
		p.points, err = newPoints(c.Measurement, c.Tags, c.Fields)
	case "value":
		if len(c.Fields) != 1 {
			return nil, errors.New("format value writes one column\n\thint: name it, such as fields: [temp]")
		}
		p.value = c.Fields[0]
	default:
		err = fmt.Errorf("unknown format %q\n\thint: json, line, cbor or value", c.Format)
	}
	return p, err
}

// fit prepares for the rows of b.
func (p *payloadRows) fit(b *pipeline.Batch) {
	switch p.format {
	case "", "json":
		p.json.fit(b)
	case "cbor":
		p.cbor.layout.fit(b)
	case "line":
		p.points.layout.fit(b)
	}
}

// append appends the payload of row i of b, for which fit was called last. An
// error says why there is none.
func (p *payloadRows) append(dst []byte, b *pipeline.Batch, i int) ([]byte, error) {
	switch p.format {
	case "cbor":
		return p.cbor.append(dst, b, i), nil
	case "line":
		return p.points.append(dst, b, i)
	case "value":
		return appendValue(dst, b.Column(p.value, i), p.value, i)
	}
	return p.json.append(dst, b, i), nil
}

// appendValue appends what column c, called name, has in row i, bare.
func appendValue(dst []byte, c *pipeline.Column, name string, i int) ([]byte, error) {
	switch {
	case c == nil:
		return dst, fmt.Errorf("%s has no value", name)
	case c.Kind == pipeline.Text || c.Kind == pipeline.Bytes:
		return append(dst, c.Text(i)...), nil
	}
	return appendPlain(dst, c, i), nil
}

// append appends row i of b as a line without its end.
func (p *pointRows) append(dst []byte, b *pipeline.Batch, i int) ([]byte, error) {
	from := len(dst)
	p.encoder.SetBuffer(dst)
	if err := p.row(b, i); err != nil {
		return dst[:from], err
	}
	return bytes.TrimSuffix(p.encoder.Bytes(), []byte("\n")), nil
}
