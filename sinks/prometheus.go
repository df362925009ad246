package sinks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/snappy"

	"millrace.dev/millrace/pipeline"
)

// PrometheusConfig is what a Prometheus sink needs.
type PrometheusConfig struct {
	URL     string // of the receiver: http://host:9090/api/v1/write
	Login   Login
	Prefix  string   // of the metrics' names
	Labels  []string // columns written as labels
	Fields  []string // columns that become metrics; all numbers and truths unless said
	Timeout time.Duration
}

// Prometheus writes rows with the remote-write protocol, version 1.0: a sample
// for each field, of the metric called as the prefix and the field, with the
// event time in milliseconds. Integers become floats; true is 1. What a name
// of a metric or a label cannot have becomes _.
//
// NaN is a value. A text in a field that is named refuses its row. Two rows of
// one millisecond and the same labels are the same sample; of those in one
// batch the last is written. A row that Prometheus finds too old, or out of
// order, is refused with its words, after halves have shown which one it is.
type Prometheus struct {
	c       PrometheusConfig
	url     string
	caller  *caller
	written atomic.Uint64

	mu     sync.Mutex
	layout layout
	names  map[string]string // of metrics, by field
	labels []promLabel
	rows   []int // of the batch, in the order of time
	series map[string]*promSeries
	order  []*promSeries
	key    []byte
	value  []byte
	body   []byte
	packed []byte
}

// A promLabel is a label and the column of its value; the column is empty for
// the metric's name.
type promLabel struct{ name, column string }

// A promSeries is what is written of one series: its labels, encoded, and samples.
type promSeries struct {
	labels  []byte
	samples []byte
	time    int64 // of the last sample, in ms
	last    int   // where it begins
}

// NewPrometheus returns a sink for the receiver at c.URL, which need not be there yet.
func NewPrometheus(c PrometheusConfig) (*Prometheus, error) {
	l, server, err := compileAddress(c.URL)
	if err != nil || len(l.names()) > 0 {
		return nil, errors.New("url: this is no URL of a receiver\n\thint: such as http://localhost:9090/api/v1/write")
	}
	p := &Prometheus{c: c, url: c.URL, caller: newCaller(server, c.Login, c.Timeout), names: map[string]string{}, series: map[string]*promSeries{}}
	p.labels = []promLabel{{name: "__name__"}}
	for _, name := range c.Labels {
		p.labels = append(p.labels, promLabel{promName("", name, false), name})
	}
	slices.SortFunc(p.labels, func(a, b promLabel) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(p.labels); i++ {
		if p.labels[i].name == p.labels[i-1].name {
			return nil, fmt.Errorf("labels: %s and %s have the same name %s", p.labels[i-1].column, p.labels[i].column, p.labels[i].name)
		}
	}
	p.layout.except = append([]string{timeName}, c.Labels...)
	if len(c.Fields) > 0 {
		p.layout.only = c.Fields
	}
	return p, nil
}

// promName returns a name of a metric or label.
func promName(prefix, s string, colons bool) string {
	name := []byte(prefix + s)
	for i, c := range name {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' && colons:
		case c >= '0' && c <= '9' && i > 0:
		default:
			name[i] = '_'
		}
	}
	return string(name)
}

// Write implements Sink.
func (p *Prometheus) Write(ctx context.Context, b *pipeline.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	p.layout.fit(b)
	var ours []Refusal
	p.rows = p.rows[:0]
	for i := range b.Rows() {
		if reason := p.lacks(b, i); reason != "" {
			ours = append(ours, Refusal{i, reason})
		} else {
			p.rows = append(p.rows, i)
		}
	}
	no, done, err := halve(len(p.rows), func(from, to int) (string, error) { return p.send(ctx, b, p.rows[from:to]) })
	return settle(p.rows, ours, no, done, err)
}

// lacks says why row i cannot be written, if it cannot.
func (p *Prometheus) lacks(b *pipeline.Batch, i int) string {
	n := 0
	for k := range p.layout.fields {
		f := &p.layout.fields[k]
		c := f.column(b, i)
		switch {
		case c == nil:
		case c.Kind != pipeline.Text && c.Kind != pipeline.Bytes:
			n++
		case p.layout.only != nil:
			return fmt.Sprintf("%s is a text; Prometheus keeps numbers", f.name)
		}
	}
	if n == 0 {
		return "no field has a number"
	}
	return ""
}

// send sends some rows in one request. It returns why they are refused, if they are.
func (p *Prometheus) send(ctx context.Context, b *pipeline.Batch, rows []int) (reason string, err error) {
	p.collect(b, rows)
	p.body = p.body[:0]
	for _, s := range p.order {
		p.body = binary.AppendUvarint(append(p.body, 1<<3|2), uint64(len(s.labels)+len(s.samples))) // WriteRequest.timeseries
		p.body = append(append(p.body, s.labels...), s.samples...)
	}
	p.packed = snappy.Encode(p.packed[:cap(p.packed)], p.body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.packed))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	a, err := p.caller.do(ctx, req)
	switch {
	case err != nil:
		return "", err
	case a.status/100 == 2:
		p.written.Add(uint64(len(p.body)))
		return "", nil
	case a.isAboutRows():
		return a.String(), nil
	}
	return "", p.caller.later(a)
}

// collect sorts the samples of rows by series. Those of a series have to be in
// the order of time.
func (p *Prometheus) collect(b *pipeline.Batch, rows []int) {
	clear(p.series)
	p.order = p.order[:0]
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(i, k int) int { return cmp.Compare(b.Time[i], b.Time[k]) })
	for _, i := range sorted {
		for k := range p.layout.fields {
			f := &p.layout.fields[k]
			c := f.column(b, i)
			if c == nil || c.Kind == pipeline.Text || c.Kind == pipeline.Bytes {
				continue
			}
			p.appendLabels(b, i, f.name)
			s := p.series[string(p.key)]
			if s == nil {
				s = &promSeries{labels: slices.Clone(p.key), time: math.MinInt64}
				p.series[string(p.key)] = s
				p.order = append(p.order, s)
			}
			s.add(floorMilli(b.Time[i]), promValue(c, i))
		}
	}
}

// floorMilli returns µs in ms.
func floorMilli(us int64) int64 { return time.UnixMicro(us).UnixMilli() }

func promValue(c *pipeline.Column, i int) float64 {
	switch c.Kind {
	case pipeline.Int:
		return float64(c.Ints[i])
	case pipeline.Bool:
		return float64(c.Bools[i])
	}
	if v := c.Floats[i]; v == v {
		return v
	}
	return math.Float64frombits(0x7ff8000000000001) // other NaNs have a meaning of their own
}

// add adds a sample; one of the same time takes the place of the last.
func (s *promSeries) add(ms int64, v float64) {
	if ms == s.time && len(s.samples) > 0 {
		s.samples = s.samples[:s.last]
	}
	s.time, s.last = ms, len(s.samples)
	var sample [1 + 8 + 1 + binary.MaxVarintLen64]byte
	dst := binary.LittleEndian.AppendUint64(append(sample[:0], 1<<3|1), math.Float64bits(v)) // Sample.value
	dst = binary.AppendUvarint(append(dst, 2<<3|0), uint64(ms))                              // Sample.timestamp
	s.samples = binary.AppendUvarint(append(s.samples, 2<<3|2), uint64(len(dst)))            // TimeSeries.samples
	s.samples = append(s.samples, dst...)
}

// appendLabels sets key to the labels of a field of row i, in the order of
// their names. One without a value, or with an empty one, is not there.
func (p *Prometheus) appendLabels(b *pipeline.Batch, i int, fieldName string) {
	p.key = p.key[:0]
	for _, l := range p.labels {
		p.value = p.value[:0]
		if l.column == "" {
			p.value = append(p.value, p.metric(fieldName)...)
		} else if c := b.Column(l.column, i); c == nil {
			continue
		} else if c.Kind == pipeline.Text || c.Kind == pipeline.Bytes {
			p.value = appendUTF8(p.value, c, i)
		} else {
			p.value = appendPlain(p.value, c, i)
		}
		if len(p.value) == 0 {
			continue
		}
		size := 1 + varintBytes(len(l.name)) + len(l.name) + 1 + varintBytes(len(p.value)) + len(p.value)
		p.key = binary.AppendUvarint(append(p.key, 1<<3|2), uint64(size))                             // TimeSeries.labels
		p.key = append(binary.AppendUvarint(append(p.key, 1<<3|2), uint64(len(l.name))), l.name...)   // Label.name
		p.key = append(binary.AppendUvarint(append(p.key, 2<<3|2), uint64(len(p.value))), p.value...) // Label.value
	}
}

func (p *Prometheus) metric(fieldName string) string {
	name, ok := p.names[fieldName]
	if !ok && len(p.names) < columnsMax {
		name = promName(p.c.Prefix, fieldName, true)
		p.names[fieldName] = name
	} else if !ok {
		name = promName(p.c.Prefix, fieldName, true)
	}
	return name
}

// varintBytes returns how many bytes n takes as a varint.
func varintBytes(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// Written implements Meter.
func (p *Prometheus) Written() uint64 { return p.written.Load() }

// Close implements Sink.
func (p *Prometheus) Close() error {
	p.caller.client.CloseIdleConnections()
	return nil
}
