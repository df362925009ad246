package decode

import (
	"bytes"
	"unicode/utf8"
)

// The columns of line protocol that are neither tags nor fields.
const (
	LineMeasurement = "measurement"
	LineTime        = "time" // the line's own time, for Config.Time
)

// lineFormat reads InfluxDB line protocol, a row a line:
//
//	measurement,tag=text,… field=1.5,field=3i,field="text",field=true,… time
//
// Lines that are empty or begin with # do not count.
type lineFormat struct{ *scanner }

func (f lineFormat) scan(p []byte, _ *node) bool {
	if !utf8.Valid(p) {
		f.refuse("not UTF-8")
		return false
	}
	for i := 0; i < len(p); {
		end := lineEnd(p, i)
		line := bytes.Trim(p[i:end], " \r\t")
		if len(line) > 0 && line[0] != '#' {
			from := i + bytes.IndexByte(p[i:end], line[0])
			if !f.item(from, from+len(line)) {
				return false
			}
		}
		i = end + 1
	}
	return true
}

// lineEnd returns where the line at p[i] ends: at a newline outside of a
// quoted text. Only behind the first space, among the fields, are there any.
func lineEnd(p []byte, i int) int {
	fields, quoted := false, false
	comment := i < len(p) && p[i] == '#'
	for ; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 < len(p) && p[i+1] != '\n':
			i++
		case c == '\n' && !quoted:
			return i
		case c == ' ' && !comment:
			fields = true
		case c == '"' && fields && (quoted || p[i-1] == '='):
			quoted = !quoted
		}
	}
	return i
}

func (f lineFormat) row(p []byte, at span, n *node) bool {
	p = p[:at.to]
	name, i := f.token(p, at.from, false)
	if len(name) == 0 {
		f.fail(i, "want a measurement")
		return false
	}
	k := 0
	f.setText(f.slotOf(n, k, []byte(LineMeasurement)), name)
	for i < len(p) && p[i] == ',' {
		k++
		if i = f.tag(p, i+1, n, k); i < 0 {
			return false
		}
	}
	for i < len(p) && p[i] == ' ' {
		i++
	}
	for {
		k++
		if i = f.field(p, i, n, k); i < 0 {
			return false
		}
		if i >= len(p) || p[i] != ',' {
			break
		}
		i++
	}
	return f.stamp(p, i, n)
}

// slotOf returns the slot of member k, or nil.
func (s *scanner) slotOf(n *node, k int, name []byte) *slot {
	if c := s.child(n, k, name, 0); c != nil {
		return c.slot
	}
	return nil
}

// stamp reads the time at the end of a line.
func (f lineFormat) stamp(p []byte, i int, n *node) bool {
	for i < len(p) && p[i] == ' ' {
		i++
	}
	if i == len(p) {
		return true
	}
	num := &f.unused
	c := n.names[LineTime]
	if c != nil && c.slot != nil {
		num = &c.slot.num
	}
	if end := f.number(p, i, num); end != len(p) || num.exp != 0 {
		f.fail(i, "want a time in digits")
		return false
	}
	if num != &f.unused {
		c.slot.set(f.scanner, number).raw = p[i:]
	}
	return true
}

// token reads a name or a tag's value up to a comma, a space or, if equals,
// an = sign; a backslash before one of them makes it a part of the name.
func (f lineFormat) token(p []byte, i int, equals bool) (t []byte, next int) {
	special := func(c byte) bool { return c == ',' || c == ' ' || c == '=' && equals }
	from, scratch := i, len(f.scratch)
	escaped := false
	for ; i < len(p) && !special(p[i]); i++ {
		if p[i] == '\\' && i+1 < len(p) && (special(p[i+1]) || p[i+1] == '\\') {
			if !escaped {
				f.scratch = append(f.scratch, p[from:i]...)
				escaped = true
			}
			i++
		}
		if escaped {
			f.scratch = append(f.scratch, p[i])
		}
	}
	if escaped {
		return f.scratch[scratch:len(f.scratch):len(f.scratch)], i
	}
	return p[from:i:i], i
}

func (f lineFormat) tag(p []byte, i int, n *node, k int) int {
	name, i := f.token(p, i, true)
	if len(name) == 0 || i >= len(p) || p[i] != '=' {
		return f.fail(i, "want a tag, such as room=kitchen")
	}
	value, end := f.token(p, i+1, true)
	if len(value) == 0 || end < len(p) && p[end] == '=' {
		return f.fail(end, "want the value of a tag")
	}
	v := f.slotOf(n, k, name)
	if f.wrong != "" {
		return -1
	}
	f.setText(v, value)
	return end
}

func (f lineFormat) field(p []byte, i int, n *node, k int) int {
	name, i := f.token(p, i, true)
	if len(name) == 0 || i >= len(p) || p[i] != '=' {
		return f.fail(i, "want a field, such as temp=21.5")
	}
	v := f.slotOf(n, k, name)
	if f.wrong != "" {
		return -1
	}
	i++
	if i < len(p) && p[i] == '"' {
		return f.quoted(p, i, v)
	}
	end := i
	for end < len(p) && p[end] != ',' && p[end] != ' ' {
		end++
	}
	return f.value(p, i, end, v)
}

// value reads a field's value that has no quotes.
func (f lineFormat) value(p []byte, i, end int, v *slot) int {
	t := p[i:end]
	num := &f.unused
	if v != nil {
		num = &v.num
	}
	switch string(t) {
	case "t", "T", "true", "True", "TRUE":
		f.setTruth(v, true)
		return end
	case "f", "F", "false", "False", "FALSE":
		f.setTruth(v, false)
		return end
	case "":
		return f.fail(i, "want the value of a field")
	}
	last := t[len(t)-1]
	if last == 'i' || last == 'u' {
		t = t[:len(t)-1]
	}
	whole := len(t) < end-i
	if !parseNumber(t, num) || t[0] == '+' || whole && (num.exp != 0 || !num.whole && len(t) > digitsMax+1) {
		return f.fail(i, "want a number, a bool or a text in quotes")
	}
	if v != nil {
		v.set(f.scanner, number).raw = t
	}
	return end
}

// quoted reads the text in quotes at p[i].
func (f lineFormat) quoted(p []byte, i int, v *slot) int {
	i++
	from, scratch, escaped := i, len(f.scratch), false
	for ; i < len(p) && p[i] != '"'; i++ {
		if p[i] == '\\' && i+1 < len(p) && (p[i+1] == '"' || p[i+1] == '\\') {
			if !escaped {
				f.scratch = append(f.scratch, p[from:i]...)
				escaped = true
			}
			i++
		}
		if escaped {
			f.scratch = append(f.scratch, p[i])
		}
	}
	if i >= len(p) {
		return f.fail(i, "it ends inside a text")
	}
	if next := i + 1; next < len(p) && p[next] != ',' && p[next] != ' ' {
		return f.fail(next, "want , or a space behind a text")
	}
	if escaped {
		f.setText(v, f.scratch[scratch:len(f.scratch):len(f.scratch)])
	} else {
		f.setText(v, p[from:i])
	}
	return i + 1
}
