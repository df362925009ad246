package decode

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"millrace.dev/millrace/pipeline/topics"
)

// The limits of what is known of Sparkplug edge nodes, and the shortest time
// between two requests to one of them.
const (
	SparkplugNodesMax   = 1 << 14
	SparkplugMetricsMax = 1 << 18
	rebirthEvery        = 10e6 // µs
)

// sparkplugLevels are the levels of spBv1.0/group/type/node/device.
var sparkplugLevels = [...]topics.Level{{Name: "group", Index: 1}, {Name: "type", Index: 2}, {Name: "node", Index: 3}, {Name: "device", Index: 4}}

// SparkplugLevels returns the levels that a filter names and, under the names
// group, type, node and device, those of a Sparkplug topic that it does not.
func SparkplugLevels(named []topics.Level) []topics.Level {
	all := slices.Clone(named)
	for _, l := range sparkplugLevels {
		if !slices.ContainsFunc(named, func(n topics.Level) bool { return n.Index == l.Index || n.Name == l.Name }) {
			all = append(all, l)
		}
	}
	return all
}

// sparkplugFormat reads Sparkplug B 3.0. A message is a row, its metrics are
// the fields; a / in a metric's name is a dot in the field's. Metrics that
// were kept back (is_historical), and values of one metric that came together,
// are rows of their own. Its time is that of a row's first metric, for a birth
// certificate that of the payload.
type sparkplugFormat struct {
	*scanner
	ask     func(group, node string)
	nodes   map[string]*edgeNode // by group/node
	metrics int                  // of all nodes
	mark    uint64               // counts rows, to see that a metric comes twice in one

	edge   *edgeNode // of the present message
	topic  spTopic
	stamp  int64 // µs, the time of the payload; or noMoment
	lookup []byte
}

// An edgeNode is what is known of an edge node.
type edgeNode struct {
	born    bool
	seq     uint8  // of its last message
	bdSeq   uint64 // of its birth certificate
	asked   int64  // µs: when it was last asked for its birth certificate
	aliases map[uint64]*spMetric
	names   map[string]*spMetric // by device, NUL byte, metric
}

// A spMetric is what a birth certificate says of a metric.
type spMetric struct {
	device   string
	name     string // as the certificate has it
	field    []byte // as a field is called
	alias    uint64
	aliased  bool
	datatype uint32
	row      uint64 // the last row that has it
}

// A spTopic is a topic taken apart.
type spTopic struct{ group, kind, node, device []byte }

func newSparkplug(s *scanner, ask func(group, node string)) *sparkplugFormat {
	return &sparkplugFormat{scanner: s, ask: ask, nodes: map[string]*edgeNode{}}
}

// parseTopic takes a topic apart; ok is false where it is none of Sparkplug.
func parseTopic(topic []byte) (t spTopic, ok bool) {
	rest, ok := bytes.CutPrefix(topic, []byte("spBv1.0/"))
	if !ok {
		return t, false
	}
	var more bool
	t.group, rest, _ = bytes.Cut(rest, []byte("/"))
	if string(t.group) == "STATE" {
		t.kind = t.group // spBv1.0/STATE/host
		return t, true
	}
	t.kind, rest, _ = bytes.Cut(rest, []byte("/"))
	t.node, t.device, more = bytes.Cut(rest, []byte("/"))
	ofDevice := len(t.kind) > 0 && t.kind[0] == 'D'
	return t, len(t.group) > 0 && len(t.node) > 0 && ofDevice == more && (!more || len(t.device) > 0)
}

func (f *sparkplugFormat) scan(p []byte, _ *node) bool {
	t, ok := parseTopic(f.record.Topic)
	if !ok {
		f.refuse("its topic is not one of Sparkplug, spBv1.0/group/type/node/device")
		return false
	}
	f.topic = t
	switch string(t.kind) {
	case "STATE", "NCMD", "DCMD":
		return true // for others; they carry no readings
	case "NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH":
	default:
		f.refuse(fmt.Sprintf("unknown type of message %q in its topic", clip(string(t.kind))))
		return false
	}
	if f.edge = f.node(t); f.edge == nil {
		f.refuse(fmt.Sprintf("more than %d edge nodes", SparkplugNodesMax))
		return false
	}
	return f.payload(p)
}

// node returns the edge node of a topic, or nil when there are too many.
func (f *sparkplugFormat) node(t spTopic) *edgeNode {
	f.lookup = append(append(append(f.lookup[:0], t.group...), '/'), t.node...)
	e := f.nodes[string(f.lookup)]
	if e == nil && len(f.nodes) < SparkplugNodesMax {
		e = &edgeNode{asked: math.MinInt64}
		f.nodes[string(f.lookup)] = e
	}
	return e
}

// payload reads what is around the metrics, and then those.
func (f *sparkplugFormat) payload(p []byte) bool {
	const timestamp, seq = 1, 3
	f.stamp = noMoment
	number, numbered := uint64(0), false
	for i := 0; i < len(p); {
		w, next := f.wireField(p, i, 0)
		if next < 0 {
			return false
		}
		switch w.number {
		case timestamp:
			if f.stamp = f.micros(w.bits); f.wrong != "" {
				return false
			}
		case seq:
			number, numbered = w.bits, true
		}
		i = next
	}
	if !f.admit(uint8(number), numbered) {
		return false
	}
	if bytes.HasSuffix(f.topic.kind, []byte("DEATH")) {
		return f.death(p)
	}
	return f.rows(p)
}

// micros returns a time of Sparkplug, in ms since 1970, in µs.
func (f *sparkplugFormat) micros(ms uint64) int64 {
	if ms > uint64(timeMax/1000) {
		f.refuse(fmt.Sprintf("time %d is out of range", ms))
		return noMoment
	}
	return int64(ms) * 1000
}

// admit makes sure that what the message rests on is known, and remembers its
// place in the sequence.
func (f *sparkplugFormat) admit(seq uint8, numbered bool) bool {
	e := f.edge
	switch string(f.topic.kind) {
	case "NBIRTH":
		f.metrics -= e.count()
		e.born, e.seq = true, seq
		e.aliases, e.names = map[uint64]*spMetric{}, map[string]*spMetric{}
		return true
	case "NDEATH":
		return true
	}
	if !e.born {
		f.rebirth()
		f.refuse(fmt.Sprintf("no birth certificate of edge node %s/%s yet", f.topic.group, f.topic.node))
		return false
	}
	if numbered {
		if seq != e.seq+1 {
			f.rebirth() // a message was lost: it may have been a birth certificate
		}
		e.seq = seq
	}
	if string(f.topic.kind) == "DBIRTH" {
		f.metrics -= e.forget(string(f.topic.device))
	}
	return true
}

// rebirth asks the edge node for its birth certificate, if it has not been
// asked a moment ago.
func (f *sparkplugFormat) rebirth() {
	now := f.record.Arrived
	if f.ask == nil || f.edge.asked != math.MinInt64 && now-f.edge.asked < rebirthEvery {
		return
	}
	f.edge.asked = now
	f.ask(string(f.topic.group), string(f.topic.node))
}

func (e *edgeNode) count() int { return len(e.names) }

// forget drops the metrics of a device and returns how many they were.
func (e *edgeNode) forget(device string) (n int) {
	for key, m := range e.names {
		if m.device != device {
			continue
		}
		if delete(e.names, key); m.aliased && e.aliases[m.alias] == m {
			delete(e.aliases, m.alias)
		}
		n++
	}
	return n
}

// death notes that a node or a device is gone, and makes the row that says so.
func (f *sparkplugFormat) death(p []byte) bool {
	if len(f.topic.device) > 0 {
		return f.item(0, 0)
	}
	for i := 0; i < len(p); {
		w, next := f.wireField(p, i, 0)
		if next < 0 {
			return false
		}
		i = next
		if w.number != 2 {
			continue
		}
		m, ok := f.metric(w.data)
		if !ok {
			return false
		}
		if string(m.name) == "bdSeq" && f.edge.born && m.bits != f.edge.bdSeq {
			return true // the will of a connection before the present one
		}
	}
	f.edge.born = false
	f.stamp = noMoment // a will was written when the connection began
	return f.item(0, 0)
}

// rows finds the rows of a payload.
func (f *sparkplugFormat) rows(p []byte) bool {
	var row span
	var last spValue
	for i := 0; i < len(p); {
		w, next := f.wireField(p, i, 0)
		if next < 0 {
			return false
		}
		from := i
		if i = next; w.number != 2 {
			continue
		}
		v, ok := f.metric(w.data)
		if !ok {
			return false
		}
		m := f.known(&v, true)
		if m == nil {
			return false
		}
		if row.to > 0 && (m.row == f.mark || v.historical != last.historical || v.historical && v.time != last.time) {
			if !f.item(row.from, row.to) {
				return false
			}
			row.to = 0
		}
		if row.to == 0 {
			row.from = from
			f.mark++
		}
		m.row, row.to, last = f.mark, next, v
	}
	return f.item(row.from, row.to)
}

// known returns what is known of a metric. A birth certificate tells it; of
// other messages what has a name but is new is taken as it comes.
func (f *sparkplugFormat) known(v *spValue, tell bool) *spMetric {
	e, birth := f.edge, f.topic.kind[1] == 'B'
	if v.aliased && len(v.name) == 0 {
		m := e.aliases[v.alias]
		if m == nil {
			f.rebirth()
			f.refuse(fmt.Sprintf("metric with the unknown alias %d", v.alias))
		}
		return m
	}
	f.lookup = append(append(append(f.lookup[:0], f.topic.device...), 0), v.name...)
	m := e.names[string(f.lookup)]
	if m == nil {
		if m = f.newMetric(v); m == nil {
			return nil
		}
		e.names[string(f.lookup)] = m
	}
	if birth && tell {
		f.learn(m, v)
	}
	return m
}

func (f *sparkplugFormat) newMetric(v *spValue) *spMetric {
	switch {
	case len(v.name) == 0:
		f.refuse("a metric without name and alias")
		return nil
	case len(v.name) > NameBytesMax:
		f.refuse(fmt.Sprintf("a metric's name is longer than %d bytes", NameBytesMax))
		return nil
	case f.metrics == SparkplugMetricsMax:
		f.refuse(fmt.Sprintf("more than %d metrics", SparkplugMetricsMax))
		return nil
	}
	f.metrics++
	return &spMetric{device: string(f.topic.device), name: string(v.name), field: fieldName(string(v.name)), datatype: v.datatype}
}

// fieldName returns what a metric's field is called, or nil for the metrics
// that are the protocol's own.
func fieldName(metric string) []byte {
	if metric == "bdSeq" || strings.HasPrefix(metric, "Node Control/") || strings.HasPrefix(metric, "Device Control/") {
		return nil
	}
	return []byte(strings.ReplaceAll(metric, "/", "."))
}

// learn takes what a birth certificate says of a metric.
func (f *sparkplugFormat) learn(m *spMetric, v *spValue) {
	m.datatype, m.alias, m.aliased = v.datatype, v.alias, v.aliased
	if v.aliased {
		f.edge.aliases[v.alias] = m
	}
	if m.name == "bdSeq" {
		f.edge.bdSeq = v.bits
	}
}

func (f *sparkplugFormat) row(p []byte, at span, n *node) bool {
	f.moment = f.stamp
	for i, k := at.from, 0; i < at.to; k++ {
		w, next := f.wireField(p, i, 0)
		if i = next; w.number != 2 {
			continue
		}
		v, _ := f.metric(w.data) // was read before
		m := f.known(&v, false)
		if k == 0 && v.time != noMoment && f.topic.kind[1] != 'B' {
			f.moment = v.time
		}
		if m.field == nil {
			continue
		}
		s := f.slotOf(n, k, m.field)
		if f.wrong != "" {
			return false
		}
		v.datatype = cmp.Or(v.datatype, m.datatype)
		f.set(s, &v)
	}
	return true
}
