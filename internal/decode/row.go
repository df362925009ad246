package decode

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// row adds a row for r to b, or returns why there is none. b changes only in
// the end, when nothing can go wrong any more.
func (d *Decoder) row(r *journal.Record, b *pipeline.Batch) string {
	if len(r.Payload) > PayloadBytesMax {
		return fmt.Sprintf("payload is %d bytes, the most is %d", len(r.Payload), PayloadBytesMax)
	}
	if d.config.Format != "raw" {
		if wrong := d.read(r.Payload); wrong != "" {
			return wrong
		}
	}
	at, wrong := d.eventTime(r)
	if wrong != "" {
		return wrong
	}
	t := d.topics.get(r.Topic)
	code, wrong := d.key.code(d, t)
	if wrong != "" {
		return wrong
	}
	if d.open != nil {
		d.open.grow(b, len(d.schema))
	}
	b.AppendRow(pipeline.Row{Time: at, Arrived: r.Arrived, Key: code, Offset: r.Offset, Hop: r.Hop})
	d.fill(r, t, b.Columns)
	return ""
}

// read scans the payload into the slots and checks them against their kinds.
func (d *Decoder) read(payload []byte) string {
	s := &d.scanner
	if len(payload) == 0 {
		return "payload: empty, want a JSON object"
	}
	if !s.scan(payload, d.root) {
		return "payload: " + s.wrong
	}
	for i, v := range d.fields {
		if v.seen == s.message && v.shape != null && !v.take(d.config.Fields[i].Kind) {
			return v.mistyped(d.config.Fields[i].Kind)
		}
	}
	if d.open != nil {
		return d.open.check()
	}
	return ""
}

// take makes the value ready for a column of this kind, if it can be one.
func (v *slot) take(kind pipeline.Kind) (ok bool) {
	switch kind {
	case pipeline.Float:
		if v.shape == number {
			v.float, ok = v.num.float(v.raw)
		}
	case pipeline.Int:
		if v.shape == number {
			v.int, ok = v.num.int()
		}
	case pipeline.Bool:
		return v.shape == truth
	default:
		return v.shape == text || v.shape == number
	}
	return ok
}

func (v *slot) mistyped(want pipeline.Kind) string {
	if want == pipeline.Float && v.shape == number {
		return outOfRange(v)
	}
	return fmt.Sprintf("field %s: want %s, have %s", v.name, want, v.have())
}

func outOfRange(v *slot) string {
	return fmt.Sprintf("field %s: number %s is out of range", clip(v.name), clip(string(v.raw)))
}

// have describes the value, such as: text "n/a".
func (v *slot) have() string {
	switch v.shape {
	case number:
		return "number " + clip(string(v.raw))
	case text:
		return "text " + strconv.Quote(clip(string(v.raw)))
	case truth:
		return "bool " + strconv.FormatBool(v.truth)
	}
	return v.shape.String()
}

// clip shortens what others wrote to what a message to humans needs of it.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

func (d *Decoder) eventTime(r *journal.Record) (at int64, wrong string) {
	v := d.time
	if v == nil {
		return r.Arrived, ""
	}
	if v.seen != d.scanner.message || v.shape == null {
		return 0, fmt.Sprintf("field %s: missing, and it is the event time", v.name)
	}
	ok, unit := false, d.config.Time.Unit
	switch {
	case unit == "rfc3339" && v.shape == text:
		at, ok = rfc3339(v.raw)
	case unit != "rfc3339" && v.shape == number:
		at, ok = v.num.floor(d.shift, v.raw)
	}
	if !ok || at < timeMin || at > timeMax {
		if unit == "rfc3339" {
			return 0, fmt.Sprintf("field %s: want a time such as 2026-01-31T15:04:05Z, have %s", v.name, v.have())
		}
		return 0, fmt.Sprintf("field %s: want a time in %s since 1970, have %s", v.name, unit, v.have())
	}
	if ahead := at - r.Arrived; d.config.FutureMax > 0 && ahead > d.config.FutureMax {
		return 0, fmt.Sprintf("event time %s is %v in the future", time.UnixMicro(at).UTC().Format("2006-01-02T15:04:05.999999Z07:00"), future(ahead))
	}
	return at, ""
}

// future returns µs as a Duration, as long as that can be.
func future(us int64) time.Duration {
	return time.Duration(min(us, 1<<63/1000-1)) * time.Microsecond
}

// fill appends a value to each column.
func (d *Decoder) fill(r *journal.Record, t *topic, columns []pipeline.Column) {
	k := 0
	for i := range d.config.Levels {
		if level, ok := t.level(i); ok {
			columns[k].AppendText(level)
		} else {
			columns[k].AppendNull()
		}
		k++
	}
	if d.config.Topic {
		columns[k].AppendText(r.Topic)
		k++
	}
	if d.config.Payload {
		columns[k].AppendText(r.Payload)
		k++
	}
	for i, v := range d.fields {
		v.appendTo(&columns[k+i], d.scanner.message)
	}
	if d.open != nil {
		d.open.append(columns[k+len(d.fields):], d.scanner.message)
	}
}

func (v *slot) appendTo(c *pipeline.Column, message uint64) {
	if v.seen != message || v.shape == null {
		c.AppendNull()
		return
	}
	switch c.Kind {
	case pipeline.Float:
		c.AppendFloat(v.float)
	case pipeline.Int:
		c.AppendInt(v.int)
	case pipeline.Bool:
		c.AppendBool(v.truth)
	default:
		c.AppendText(v.raw)
	}
}
