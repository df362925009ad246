package decode

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Protobuf says what payloads in protobuf are.
type Protobuf struct {
	Descriptor []byte // a FileDescriptorSet with all that the message needs
	Message    string // the message's name, with its package unless that is clear
}

// protobufFormat reads protobuf (proto2 and proto3) by a descriptor. Fields are
// called what the .proto file calls them. An enum is a number or its name, as
// its use asks; without a use it is the name.
type protobufFormat struct {
	*scanner
	message *pbMessage
	array   *pbField // the exploded one, once it was seen
}

func newProtobuf(s *scanner, c Protobuf) (*protobufFormat, error) {
	set, err := parseDescriptors(c.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("protobuf: %w", err)
	}
	m, err := set.find(c.Message)
	return &protobufFormat{scanner: s, message: m}, err
}

func (f *protobufFormat) scan(p []byte, n *node) bool {
	if n.explodes {
		f.refuse("a message is no array; explode one of its fields")
		return false
	}
	n.slot.set(f.scanner, object)
	return f.fields(p, 0, f.message, n, 0)
}

func (f *protobufFormat) row(p []byte, at span, n *node) bool {
	var is shape
	if f.array.kind == pbSubmessage && f.array.message.name != pbTimestamp {
		is = object
	} else {
		is = number
	}
	n, ok := f.place(n, is)
	if !ok {
		return false
	}
	n.enter(f.scanner.message)
	if is == object {
		return f.fields(p[:at.to], at.from, f.array.message, n, 1)
	}
	var w wireField
	wire := f.array.wire()
	if wire == wireBytes {
		w = wireField{data: p[at.from:at.to:at.to], from: at.from}
	} else if f.content(p[:at.to], at.from, &w, wire) < 0 {
		return false
	}
	return f.single(p, w, f.array, n, 1)
}

// fields reads the message p[i:] into the slots below n.
func (f *protobufFormat) fields(p []byte, i int, m *pbMessage, n *node, depth int) bool {
	for k := 0; i < len(p); k++ {
		w, next := f.wireField(p, i, depth)
		if next < 0 {
			return false
		}
		i = next
		field := m.fields[w.number]
		if field == nil || w.wire == wireOpen {
			continue
		}
		child := f.childOf(n, k, field)
		if f.wrong != "" || !f.value(p, w, field, child, depth) {
			return false
		}
	}
	if n != nil {
		f.zeros(m, n)
	}
	return f.wrong == ""
}

func (f *protobufFormat) childOf(n *node, k int, field *pbField) *node {
	if n == nil || len(n.names) == 0 && !n.opens {
		return nil
	}
	begins := byte(0)
	if field.repeated {
		begins = '['
	}
	return f.child(n, k, field.label, begins)
}

// zeros sets fields that were not sent because they are zero.
func (f *protobufFormat) zeros(m *pbMessage, n *node) {
	for k, field := range m.implicit {
		c := f.childOf(n, guessesMax+k, field)
		if f.wrong != "" {
			return
		}
		if c != nil && c.slot != nil && c.slot.seen != f.scanner.message {
			f.scalar(wireField{}, field, c.slot)
		}
	}
}

// wire returns the wire type that values of the field have.
func (f *pbField) wire() byte {
	switch f.kind {
	case pbDouble, pbFixed64, pbSfixed64:
		return wire64
	case pbFloat, pbFixed32, pbSfixed32:
		return wire32
	case pbString, pbBytes, pbSubmessage:
		return wireBytes
	}
	return wireVarint
}

// value reads a field for n, which is nil where nobody wants it. Parts of a
// payload that nobody wants are not looked into.
func (f *protobufFormat) value(p []byte, w wireField, field *pbField, n *node, depth int) bool {
	packed := field.repeated && w.wire == wireBytes && field.wire() != wireBytes
	switch {
	case !packed && w.wire != field.wire():
		f.refuse(fmt.Sprintf("field %s has another type than its descriptor says", clip(field.name)))
		return false
	case n == nil:
		return true
	case !field.repeated:
		n.enter(f.scanner.message)
		return f.single(p, w, field, n, depth)
	}
	if n.entered != f.scanner.message { // the first of its elements
		n.slot.set(f.scanner, array)
		n.entered, n.count = f.scanner.message, 0
		if n.explodes {
			f.items, f.array = f.items[:0], field
		}
	}
	if !packed {
		return f.element(p, w, field, n, depth)
	}
	for i := 0; i < len(w.data); {
		var e wireField
		next := f.content(w.data, i, &e, field.wire())
		if next < 0 {
			return false
		}
		e.from += w.from
		if !f.element(p, e, field, n, depth) {
			return false
		}
		i = next
	}
	return true
}

// element reads one more element of a repeated field.
func (f *protobufFormat) element(p []byte, w wireField, field *pbField, n *node, depth int) bool {
	k := n.count
	n.count++
	if n.explodes {
		return f.item(w.from, w.from+len(w.data))
	}
	if c := n.items[k]; c != nil {
		c.enter(f.scanner.message)
		return f.single(p, w, field, c, depth)
	}
	return true
}

// single reads a value that is not repeated.
func (f *protobufFormat) single(p []byte, w wireField, field *pbField, n *node, depth int) bool {
	if field.kind != pbSubmessage {
		return f.scalar(w, field, n.slot)
	}
	if !f.deeper(depth) {
		return false
	}
	if field.message.name == pbTimestamp && n.slot != nil {
		return f.timestamp(w, n.slot)
	}
	n.slot.set(f.scanner, object)
	return f.fields(p[:w.from+len(w.data)], w.from, field.message, n, depth+1)
}

func (f *protobufFormat) timestamp(w wireField, v *slot) bool {
	seconds, nanos := int64(0), int64(0)
	for i := 0; i < len(w.data); {
		part, next := f.wireField(w.data, i, 0)
		if next < 0 {
			return false
		}
		switch part.number {
		case 1:
			seconds = int64(part.bits)
		case 2:
			nanos = int64(int32(part.bits))
		}
		i = next
	}
	f.setMoment(v, seconds, nanos)
	return true
}

// scalar gives v a value.
func (f *protobufFormat) scalar(w wireField, field *pbField, v *slot) bool {
	switch field.kind {
	case pbDouble:
		f.setReal(v, math.Float64frombits(w.bits))
	case pbFloat:
		f.setReal(v, float64(math.Float32frombits(uint32(w.bits))))
	case pbInt64, pbSfixed64:
		f.setInt(v, int64(w.bits))
	case pbInt32, pbSfixed32:
		f.setInt(v, int64(int32(w.bits)))
	case pbUint64, pbFixed64:
		f.setWhole(v, false, w.bits)
	case pbUint32, pbFixed32:
		f.setWhole(v, false, uint64(uint32(w.bits)))
	case pbSint32, pbSint64:
		f.setInt(v, int64(w.bits>>1)^-int64(w.bits&1))
	case pbBool:
		f.setTruth(v, w.bits != 0)
	case pbString:
		if !utf8.Valid(w.data) {
			f.refuse(fmt.Sprintf("field %s: a text that is not UTF-8", clip(field.name)))
			return false
		}
		f.setText(v, w.data)
	case pbBytes:
		f.setBlob(v, w.data)
	case pbEnumeration:
		f.setInt(v, int64(int32(w.bits)))
		if name := field.enum.names[int32(w.bits)]; v != nil && name != nil {
			v.shape, v.raw = named, name
		}
	}
	return true
}
