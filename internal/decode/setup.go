package decode

import (
	"fmt"
	"strings"
)

// valueName is the field of a payload that is a bare value.
const valueName = "value"

// choose makes the format, and the tree of the rows it finds in a message.
func (d *Decoder) choose() error {
	c, s := &d.config, &d.scanner
	var err error
	switch c.Format {
	case "", "json":
		s.language, d.format = "JSON", s
	case "value":
		d.format = bareFormat{s}
	case "raw":
	case "line":
		s.language, d.format, d.lines = "line protocol", lineFormat{s}, true
	case "csv":
		d.lines = true
		d.format, err = newCSV(s, c.CSV)
	case "cbor":
		s.language, d.format = "CBOR", cborFormat{s}
	case "msgpack":
		s.language, d.format = "MessagePack", msgpackFormat{s}
	case "protobuf":
		s.language = "protobuf"
		d.format, err = newProtobuf(s, c.Protobuf)
	case "sparkplug":
		s.language, d.lines = "Sparkplug", true
		d.format = newSparkplug(s, c.Rebirth)
	default:
		return fmt.Errorf("unknown format %q; there are %s", c.Format, strings.Join(Formats[:], ", "))
	}
	if d.lines || c.Explode != "" {
		d.element = &node{}
	}
	if err != nil {
		return err
	}
	d.charset, err = charsetOf(c.Charset, c.Format)
	return err
}

// explode marks the array whose elements become rows.
func (d *Decoder) explode() error {
	c := &d.config
	switch {
	case c.Pivot != nil && (d.lines || d.format == nil || c.Explode != ""):
		return fmt.Errorf("{%s} gives a bare value its name; it goes with neither explode nor decode: %s", c.Pivot.Name, c.Format)
	case c.Explode == "":
		return nil
	case d.lines || d.format == nil || c.Format == "value":
		return fmt.Errorf("explode: %s has no arrays", c.Format)
	}
	n := d.root
	if c.Explode != "." {
		steps, err := parsePath(c.Explode)
		if err != nil {
			return fmt.Errorf("explode: %w", err)
		}
		for _, s := range steps {
			n = n.put(s)
		}
	}
	if n.slot != nil {
		return fmt.Errorf("explode: %s is wanted as a column, too", c.Explode)
	}
	n.slot, n.explodes = &slot{name: c.Explode}, true
	d.array = n.slot
	return nil
}

// rows returns the tree of what makes a row.
func (d *Decoder) rows() *node {
	if d.element != nil {
		return d.element
	}
	return d.root
}

// plant puts v where the field called name is found: in the rows, and in what
// stands around them.
func (d *Decoder) plant(name string, v *slot) error {
	n := d.rows()
	if name == valueName && n.bare == nil {
		n.bare = &node{slot: v}
	}
	if d.element != nil && !d.lines && v.outer == nil {
		v.outer = &slot{name: name}
		if err := d.root.plant(name, v.outer); err != nil {
			return err
		}
	}
	return n.plant(name, v)
}

// openUp lets fields that nobody named become columns.
func (d *Decoder) openUp(byName map[string]*slot) {
	o := &openFields{slots: byName}
	d.open, d.scanner.open = o, o
	n := d.rows()
	if _, known := byName[valueName]; !known && d.config.Pivot == nil && !d.lines {
		v := o.slot(valueName)
		n.put(step{valueName, -1}).slot = v
		n.bare = &node{slot: v}
	}
	o.spread(n, "")
	if n != d.root && !d.lines {
		d.root.outside = true
		o.spread(d.root, "")
	}
}

// metric returns the node for a payload whose topic says what it is, or nil
// when nobody wants it.
func (d *Decoder) metric(topic []byte) *node {
	at := cut(topic, d.config.Pivot.Index)
	if at[1] < 0 {
		return nil
	}
	name := topic[at[0]:at[1]]
	n, known := d.root.names[string(name)]
	if !known && d.open != nil && len(name) <= NameBytesMax {
		return d.open.adopt(&d.scanner, d.root, name, 0)
	}
	return n
}

// inRow says in which row of payload p something is wrong.
func (d *Decoder) inRow(k int, p []byte, wrong string) string {
	switch d.config.Format {
	case "line", "csv":
		at := d.scanner.items[k].from
		return fmt.Sprintf("line %d: %s", 1+strings.Count(string(p[:at]), "\n"), wrong)
	case "sparkplug":
		return wrong
	}
	return fmt.Sprintf("%s[%d]: %s", strings.TrimPrefix(d.config.Explode, "."), k, wrong)
}
