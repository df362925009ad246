package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// The data types of Sparkplug B that need more than their wire type tells.
const (
	spInt8     = 1
	spInt16    = 2
	spInt32    = 3
	spInt64    = 4
	spDateTime = 13
)

// The fields of a Metric in sparkplug_b.proto.
const (
	spName       = 1
	spAlias      = 2
	spTime       = 3
	spDatatype   = 4
	spHistorical = 5
	spNull       = 7
	spIntValue   = 10
	spLongValue  = 11
	spFloatValue = 12
	spDouble     = 13
	spBool       = 14
	spString     = 15
	spBytes      = 16
)

// A spValue is a metric as it stands in a payload.
type spValue struct {
	name       []byte
	alias      uint64
	aliased    bool
	time       int64 // µs; or noMoment
	datatype   uint32
	historical bool
	null       bool
	field      int // which of the value fields it has; 0: none
	bits       uint64
	data       []byte
}

// metric reads a Metric.
func (f *sparkplugFormat) metric(p []byte) (v spValue, ok bool) {
	v.time = noMoment
	for i := 0; i < len(p); {
		w, next := f.wireField(p, i, 0)
		if next < 0 {
			return v, false
		}
		i = next
		switch w.number {
		case spName:
			v.name = w.data
		case spAlias:
			v.alias, v.aliased = w.bits, true
		case spTime:
			if v.time = f.micros(w.bits); f.wrong != "" {
				return v, false
			}
		case spDatatype:
			v.datatype = uint32(w.bits)
		case spHistorical:
			v.historical = w.bits != 0
		case spNull:
			v.null = w.bits != 0
		case spIntValue, spLongValue, spFloatValue, spDouble, spBool, spString, spBytes:
			v.field, v.bits, v.data = w.number, w.bits, w.data
		}
	}
	return v, true
}

// set gives s the value of a metric. Data sets and templates have none.
func (f *sparkplugFormat) set(s *slot, v *spValue) {
	if s == nil {
		return
	}
	if v.null {
		v.field = 0
	}
	switch v.field {
	case spIntValue, spLongValue:
		f.setNumber(s, v)
	case spFloatValue:
		f.setReal(s, float64(math.Float32frombits(uint32(v.bits))))
	case spDouble:
		f.setReal(s, math.Float64frombits(v.bits))
	case spBool:
		f.setTruth(s, v.bits != 0)
	case spString:
		f.setText(s, v.data)
	case spBytes:
		f.setBlob(s, v.data)
	default:
		s.set(f.scanner, null)
	}
}

// setNumber gives s a whole number. Signed ones are sent as unsigned ones.
func (f *sparkplugFormat) setNumber(s *slot, v *spValue) {
	switch v.datatype {
	case spInt8:
		f.setInt(s, int64(int8(v.bits)))
	case spInt16:
		f.setInt(s, int64(int16(v.bits)))
	case spInt32:
		f.setInt(s, int64(int32(v.bits)))
	case spInt64:
		f.setInt(s, int64(v.bits))
	case spDateTime:
		f.setMoment(s, int64(v.bits/1000), int64(v.bits%1000)*1e6)
	default:
		f.setWhole(s, false, v.bits)
	}
}

// RebirthTopic returns where an edge node takes commands.
func RebirthTopic(group, node string) string { return "spBv1.0/" + group + "/NCMD/" + node }

// RebirthCommand returns the payload that asks an edge node for its birth
// certificate; now is in µs since 1970.
func RebirthCommand(now int64) []byte {
	const name, boolean = "Node Control/Rebirth", 11
	metric := append([]byte{spName<<3 | wireBytes, byte(len(name))}, name...)
	metric = append(metric, spDatatype<<3|wireVarint, boolean, spBool<<3|wireVarint, 1)
	p := binary.AppendUvarint([]byte{1<<3 | wireVarint}, uint64(now/1000))
	p = append(p, 2<<3|wireBytes, byte(len(metric)))
	return append(p, metric...)
}

// snapshotVersion begins a snapshot.
const snapshotVersion = 1

var errSnapshot = errors.New("decode: the snapshot is damaged, or of another version")

// Snapshot appends what the decoder has learnt from messages: of Sparkplug,
// the birth certificates. Other formats learn nothing.
func (d *Decoder) Snapshot(dst []byte) ([]byte, error) {
	f, ok := d.format.(*sparkplugFormat)
	if !ok {
		return dst, nil
	}
	dst = binary.AppendUvarint(append(dst, snapshotVersion), uint64(len(f.nodes)))
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		dst = f.nodes[name].snapshot(appendText(dst, name))
	}
	return dst, nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (e *edgeNode) snapshot(dst []byte) []byte {
	dst = append(dst, flag(e.born), e.seq)
	dst = binary.AppendUvarint(dst, e.bdSeq)
	dst = binary.AppendVarint(dst, e.asked)
	dst = binary.AppendUvarint(dst, uint64(len(e.names)))
	for _, key := range slices.Sorted(maps.Keys(e.names)) {
		m := e.names[key]
		dst = appendText(appendText(dst, m.device), m.name)
		dst = append(dst, flag(m.aliased))
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, m.alias), uint64(m.datatype))
	}
	return dst
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Restore takes what Snapshot has given back.
func (d *Decoder) Restore(snapshot []byte) error {
	f, ok := d.format.(*sparkplugFormat)
	if !ok && len(snapshot) == 0 {
		return nil
	}
	r := reader{p: snapshot}
	if !ok || r.byte() != snapshotVersion {
		return errSnapshot
	}
	f.nodes, f.metrics = map[string]*edgeNode{}, 0
	for n := r.uint(); n > 0 && !r.bad; n-- {
		name := r.text()
		e := &edgeNode{born: r.byte() == 1, seq: r.byte(), bdSeq: r.uint(), asked: r.int()}
		e.restore(&r)
		f.nodes[name] = e
		f.metrics += len(e.names)
	}
	if r.bad || len(r.p) > 0 {
		return fmt.Errorf("%w: it ends at the wrong place", errSnapshot)
	}
	return nil
}

func (e *edgeNode) restore(r *reader) {
	e.aliases, e.names = map[uint64]*spMetric{}, map[string]*spMetric{}
	for n := r.uint(); n > 0 && !r.bad; n-- {
		m := &spMetric{device: r.text(), name: r.text(), aliased: r.byte() == 1, alias: r.uint(), datatype: uint32(r.uint())}
		m.field = fieldName(m.name)
		e.names[m.device+"\x00"+m.name] = m
		if m.aliased {
			e.aliases[m.alias] = m
		}
	}
}

// A reader takes a snapshot apart. Once it is bad it gives zeros.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	x, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.bad, r.p = true, nil
		return 0
	}
	r.p = r.p[n:]
	return x
}

func (r *reader) int() int64 {
	x, n := binary.Varint(r.p)
	if n <= 0 {
		r.bad, r.p = true, nil
		return 0
	}
	r.p = r.p[n:]
	return x
}

func (r *reader) byte() byte {
	if len(r.p) == 0 {
		r.bad = true
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.p)) {
		r.bad, r.p = true, nil
		return ""
	}
	s := string(r.p[:n])
	r.p = r.p[n:]
	return s
}
