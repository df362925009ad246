package decode

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// message adds the rows of r to b, or none and returns what is wrong.
func (d *Decoder) message(r *journal.Record, b *pipeline.Batch) (wrong string) {
	if len(r.Payload) > PayloadBytesMax {
		return fmt.Sprintf("payload is %d bytes, the most is %d", len(r.Payload), PayloadBytesMax)
	}
	if d.format == nil {
		return d.row(r, b, 0)
	}
	s, n, p := &d.scanner, d.root, r.Payload
	s.begin(r)
	if d.config.Pivot != nil {
		if n = d.metric(r.Topic); n == nil || n.slot == nil && len(n.names) == 0 {
			return "" // nobody wants this one
		}
	}
	if d.charset != nil {
		if d.charred, wrong = d.charset(d.charred[:0], p); wrong != "" {
			return "payload: " + wrong
		}
		p = d.charred
	}
	switch {
	case len(p) == 0 && !d.lines:
		return "payload: empty, want " + s.want()
	case !d.format.scan(p, n):
		return "payload: " + s.wrong
	case d.element == nil:
		return d.row(r, b, 0)
	}
	return d.rowsOf(r, p, b)
}

// rowsOf adds a row for each of those that the format has found in payload p.
func (d *Decoder) rowsOf(r *journal.Record, p []byte, b *pipeline.Batch) (wrong string) {
	s, before, around := &d.scanner, b.Rows(), 0
	if v := d.array; v != nil && (v.seen != s.outer || v.shape == null) {
		return fmt.Sprintf("field %s: missing, and its elements are the rows", v.name)
	} else if v != nil && v.shape != array {
		return fmt.Sprintf("field %s: want an array, have %s", v.name, v.have())
	}
	if d.open != nil {
		around = len(d.open.touched)
	}
	scratch := len(s.scratch)
	for k, at := range s.items {
		s.message++
		s.scratch = s.scratch[:scratch]
		if d.open != nil {
			d.open.touched = d.open.touched[:around]
		}
		if d.format.row(p, at, d.element) {
			wrong = d.row(r, b, k)
		} else {
			wrong = s.wrong
		}
		if wrong != "" {
			b.Truncate(before)
			return d.inRow(k, p, wrong)
		}
	}
	return ""
}

// row adds a row for r to b, or returns why there is none. b changes only in
// the end, when nothing can go wrong any more.
func (d *Decoder) row(r *journal.Record, b *pipeline.Batch, ordinal int) string {
	if wrong := d.take(); wrong != "" {
		return wrong
	}
	at, wrong := d.eventTime(r, ordinal)
	if wrong != "" {
		return wrong
	}
	t := &d.noTopic
	if d.topical {
		t = d.topics.get(r.Topic)
	}
	code, wrong := d.key.code(d, t)
	if wrong != "" {
		return wrong
	}
	if d.open != nil {
		d.open.grow(b, len(d.schema))
	}
	b.AppendRow(pipeline.Row{Time: at, Arrived: r.Arrived, Key: code, Offset: r.Offset, Ordinal: uint32(ordinal), Hop: r.Hop})
	d.fill(r, t, b.Columns)
	return ""
}

// take checks what the slots have against their kinds.
func (d *Decoder) take() string {
	for i, v := range d.fields {
		kind := d.config.Fields[i].Kind
		if kind == pipeline.Float && v.seen == d.scanner.message && v.shape == number && v.num.isPlain() {
			v.float = v.num.plain()
			continue
		}
		if v = d.scanner.now(v); v != nil && !v.take(kind) {
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
	switch {
	case v.shape == bare:
		return v.takeBare(kind)
	case v.shape == moment:
		return v.takeMoment(kind)
	case v.shape == named && kind != pipeline.Text:
		v.shape, v.raw = number, nil
	}
	switch kind {
	case pipeline.Float:
		if v.shape == number {
			v.float, ok = v.num.float(v.raw)
		}
		return ok || v.shape == real
	case pipeline.Int:
		switch {
		case v.shape == number:
			v.int, ok = v.num.int()
		case v.shape == real && v.float >= -1<<63 && v.float < 1<<63:
			v.int = int64(v.float)
			ok = float64(v.int) == v.float
		}
	case pipeline.Bool:
		if v.shape == text {
			v.truth, ok = truthOf(v.raw)
		}
		return ok || v.shape == truth
	default:
		return v.takeText()
	}
	return ok
}

// takeMoment makes a time ready for a column of this kind: a number is µs
// since 1970, a text as in RFC 3339.
func (v *slot) takeMoment(kind pipeline.Kind) bool {
	switch kind {
	case pipeline.Float:
		v.float = float64(v.int)
	case pipeline.Text:
		v.written = time.UnixMicro(v.int).UTC().AppendFormat(v.written[:0], time.RFC3339Nano)
		v.raw = v.written
	}
	return kind != pipeline.Bool
}

// takeText makes the value ready for a column of texts.
func (v *slot) takeText() bool {
	switch {
	case v.shape == real:
		v.written = strconv.AppendFloat(v.written[:0], v.float, 'g', -1, 64)
		v.raw = v.written
	case v.shape == number && v.raw == nil:
		v.written = v.num.append(v.written[:0])
		v.raw = v.written
	case v.shape == blob:
		return utf8.Valid(v.raw)
	}
	return v.shape == text || v.shape == named || v.shape == number || v.shape == real
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
	case number, real:
		v.takeText()
		return "number " + clip(string(v.raw))
	case text, bare, named:
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

func (d *Decoder) eventTime(r *journal.Record, ordinal int) (at int64, wrong string) {
	if d.time == nil {
		if moment := d.scanner.moment; d.format != nil && moment != noMoment {
			return d.plausible(r, moment)
		}
		return r.Arrived, ""
	}
	v := d.scanner.now(d.time)
	if v == nil {
		if d.noTime {
			return r.Arrived, ""
		}
		return 0, fmt.Sprintf("field %s: missing, and it is the event time", d.time.name)
	}
	at, ok := d.moment(v)
	at += int64(ordinal) * d.config.Time.Step
	if !ok || at < timeMin || at > timeMax {
		if unit := d.config.Time.Unit; unit != "rfc3339" {
			return 0, fmt.Sprintf("field %s: want a time in %s since 1970, have %s", v.name, unit, v.have())
		}
		return 0, fmt.Sprintf("field %s: want a time such as 2026-01-31T15:04:05Z, have %s", v.name, v.have())
	}
	return d.plausible(r, at)
}

// moment returns the time, in µs since 1970, that a value means.
func (d *Decoder) moment(v *slot) (at int64, ok bool) {
	rfc := d.config.Time.Unit == "rfc3339"
	switch {
	case v.shape == moment:
		return v.int, true
	case rfc && (v.shape == text || v.shape == bare):
		return rfc3339(v.raw, d.config.Time.Zone)
	case !rfc && v.shape == bare && parseNumber(v.raw, &v.num), !rfc && v.shape == number:
		return v.num.floor(d.shift, v.raw)
	case !rfc && v.shape == real:
		return floor(v.float, d.shift)
	}
	return 0, false
}

// plausible returns at, if it is not too far ahead.
func (d *Decoder) plausible(r *journal.Record, at int64) (int64, string) {
	if ahead := at - r.Arrived; d.config.FutureMax > 0 && ahead > d.config.FutureMax && r.Arrived >= clockSet {
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
		d.scanner.now(v).appendTo(&columns[k+i])
	}
	if d.open != nil {
		d.open.append(columns[k+len(d.fields):], &d.scanner)
	}
}

func (v *slot) appendTo(c *pipeline.Column) {
	if v == nil {
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
