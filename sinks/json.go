package sinks

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// timeName is the field of the event time. A column of that name is left out.
const timeName = "time"

// A jsonRows writes rows as JSON objects:
//
//	{"time":"2026-01-01T00:00:01.000Z","device":"m1","mean":25}
//
// The event time is first, in UTC and as in RFC 3339, with milliseconds, or
// microseconds when it has some. Then come the fields, in order. Fields without a
// value are left out, and so are NaN and infinities, which JSON lacks. Numbers
// are in their shortest form. Text that is not UTF-8 has U+FFFD for what is
// wrong. Bytes are text when they are UTF-8, else base64:… (RFC 4648, 4).
type jsonRows struct {
	layout layout
	clock  clock
}

// newJSON returns an encoder of these fields, nil or empty for all columns.
func newJSON(fields []string) jsonRows {
	l := layout{except: []string{timeName}}
	if len(fields) > 0 {
		l.only = fields
	}
	return jsonRows{layout: l}
}

// fit prepares for the rows of b.
func (j *jsonRows) fit(b *pipeline.Batch) { j.layout.fit(b) }

// append appends row i of b, for which fit was called last.
func (j *jsonRows) append(dst []byte, b *pipeline.Batch, i int) []byte {
	dst = append(dst, `{"time":"`...)
	dst = j.clock.append(dst, b.Time[i])
	dst = append(dst, '"')
	for k := range j.layout.fields {
		f := &j.layout.fields[k]
		c := f.column(b, i)
		if c == nil || c.Kind == pipeline.Float && !isFinite(c.Floats[i]) {
			continue
		}
		dst = append(dst, f.key...)
		if c.Kind == pipeline.Text || c.Kind == pipeline.Bytes {
			dst = appendText(dst, c, i)
		} else {
			dst = appendPlain(dst, c, i)
		}
	}
	return append(dst, '}')
}

// appendPlain appends a number or a truth as JSON and all else write it.
func appendPlain(dst []byte, c *pipeline.Column, i int) []byte {
	switch c.Kind {
	case pipeline.Float:
		return appendFloat(dst, c.Floats[i])
	case pipeline.Int:
		return strconv.AppendInt(dst, c.Ints[i], 10)
	}
	return strconv.AppendBool(dst, c.Bools[i] != 0)
}

// appendText appends a Text or Bytes value in quotes.
func appendText(dst []byte, c *pipeline.Column, i int) []byte {
	text := c.Text(i)
	if c.Kind == pipeline.Text || utf8.Valid(text) {
		return appendQuoted(dst, text)
	}
	return append(appendBase64(append(dst, '"'), text), '"')
}

// appendBase64 appends bytes that are no text.
func appendBase64(dst, p []byte) []byte {
	return base64.StdEncoding.AppendEncode(append(dst, "base64:"...), p)
}

func isFinite(v float64) bool { return v-v == 0 }

// wholeMax is up to where a float that is whole is written as an integer is;
// both ways to write it give the same digits.
const wholeMax = 1 << 53

// appendFloat appends the shortest text that reads back as v. Very large and
// very small numbers have an exponent, in the range that ECMAScript has them.
func appendFloat(dst []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < wholeMax && (v != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
		if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-09 is e-9
			dst = append(dst[:n-2], dst[n-1])
		}
		return dst
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// safe tells the bytes that stand for themselves in a JSON string.
var safe = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendQuoted appends text as a JSON string (RFC 8259, 7).
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if safe[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRune(text[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = appendEscape(append(dst, text[from:i]...), c)
		i++
		from = i
	}
	return append(append(dst, text[from:]...), '"')
}

// appendEscape appends what stands for a byte that cannot stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, `\n`...)
	case c == '\r':
		return append(dst, `\r`...)
	case c == '\t':
		return append(dst, `\t`...)
	case c >= utf8.RuneSelf: // not UTF-8
		return append(dst, `\ufffd`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// A clock writes times. Rows that follow each other are mostly of the same
// second, so it keeps the last one as text.
type clock struct {
	second int64
	text   []byte // 2006-01-02T15:04:05 of second; empty at first
}

// append appends a time in µs since 1970.
func (c *clock) append(dst []byte, us int64) []byte {
	second, rest := us/1e6, us%1e6
	if rest < 0 {
		second, rest = second-1, rest+1e6
	}
	if second != c.second || len(c.text) == 0 {
		c.text = time.Unix(second, 0).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05")
		c.second = second
	}
	dst = append(append(dst, c.text...), '.')
	n, digits := rest, 6
	if rest%1000 == 0 {
		n, digits = rest/1000, 3
	}
	from := len(dst)
	dst = append(dst, "000000"[:digits]...)
	for k := from + digits - 1; n > 0; k-- {
		dst[k] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, 'Z')
}
