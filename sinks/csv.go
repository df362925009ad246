package sinks

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// headerBytesMax is the longest header of an existing CSV file that is read.
const headerBytesMax = 64 << 10

// A csvRows writes rows as CSV (RFC 4180, but for lines that end in LF). The
// first column is time. A value that is missing, NaN or infinite is empty; an
// empty text is "". Numbers, bytes and text that is not UTF-8 are as in JSON.
type csvRows struct {
	fixed   bool     // the columns are those of the configuration
	columns []string // without time
	layout  layout
	clock   clock
	scratch []byte
}

func newCSV(fields []string) *csvRows {
	c := &csvRows{fixed: len(fields) > 0}
	c.setColumns(slices.DeleteFunc(slices.Clone(fields), func(name string) bool { return name == timeName }))
	return c
}

func (c *csvRows) setColumns(names []string) {
	c.columns = names
	c.layout = layout{only: append([]string{}, names...)}
}

// fit prepares for the rows of b. It reports whether they need another header
// than the rows before, and what makes it impossible to write them.
func (c *csvRows) fit(b *pipeline.Batch) (changed bool, err error) {
	if !c.fixed {
		names := slices.Clone(c.columns)
		for k := range b.Columns {
			if name := b.Columns[k].Name; name != timeName && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > columnsMax {
			return false, fmt.Errorf("with these rows the file has %d columns; the most is %d", len(names), columnsMax)
		}
		if changed = len(names) > len(c.columns); changed {
			c.setColumns(names)
		}
	}
	c.layout.fit(b)
	return changed, nil
}

// header appends the first line of a file.
func (c *csvRows) header(dst []byte) []byte {
	dst = append(dst, timeName...)
	for _, name := range c.columns {
		dst = appendCSV(append(dst, ','), []byte(string([]rune(name))))
	}
	return append(dst, '\n')
}

// append appends row i of b, for which fit was called last.
func (c *csvRows) append(dst []byte, b *pipeline.Batch, i int) []byte {
	dst = c.clock.append(dst, b.Time[i])
	for k := range c.layout.fields {
		dst = append(dst, ',')
		switch col := c.layout.fields[k].column(b, i); {
		case col == nil || col.Kind == pipeline.Float && !isFinite(col.Floats[i]):
		case col.Kind == pipeline.Text || col.Kind == pipeline.Bytes:
			c.scratch = appendUTF8(c.scratch[:0], col, i)
			dst = appendCSV(dst, c.scratch)
		default:
			dst = appendPlain(dst, col, i)
		}
	}
	return dst
}

// appendUTF8 appends a Text or Bytes value as it is, but for what is not UTF-8.
func appendUTF8(dst []byte, c *pipeline.Column, i int) []byte {
	text := c.Text(i)
	switch {
	case utf8.Valid(text):
		return append(dst, text...)
	case c.Kind == pipeline.Bytes:
		return appendBase64(dst, text)
	}
	return append(dst, string([]rune(string(text)))...) // U+FFFD for each byte that is wrong
}

// appendCSV appends text, in quotes where it needs them.
func appendCSV(dst, text []byte) []byte {
	if len(text) > 0 && !bytes.ContainsAny(text, ",\"\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// adopt goes on with a file of another run and reports whether its header fits.
func (c *csvRows) adopt(r io.Reader) bool {
	names, err := csv.NewReader(io.LimitReader(r, headerBytesMax)).Read()
	if err != nil || len(names) == 0 || names[0] != timeName {
		return false
	}
	if c.fixed || len(c.columns) > 0 {
		return slices.Equal(names[1:], c.columns)
	}
	c.setColumns(names[1:])
	return true
}
