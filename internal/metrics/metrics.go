// Package metrics counts what happens and shows it in the text format of
// Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).
package metrics

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A Registry holds the metrics of one node. Its methods may be called at the
// same time.
type Registry struct {
	mu       sync.Mutex
	counters map[string]*Counter       // by name with labels
	gauges   map[string]func() float64 // likewise
}

// A Counter only grows. Its methods may be called at the same time; each is
// one atomic operation.
type Counter struct{ n atomic.Uint64 }

// Add counts n, which is not negative.
func (c *Counter) Add(n int) { c.n.Add(uint64(n)) }

// AddInt64 counts n, which is not negative.
func (c *Counter) AddInt64(n int64) { c.n.Add(uint64(n)) }

// Inc counts one.
func (c *Counter) Inc() { c.n.Add(1) }

// Get returns what was counted.
func (c *Counter) Get() uint64 { return c.n.Load() }

// New returns an empty registry.
func New() *Registry {
	return &Registry{counters: map[string]*Counter{}, gauges: map[string]func() float64{}}
}

// Counter returns the counter of that name and labels, given as pairs of name
// and value; it makes one the first time.
func (r *Registry) Counter(name string, labels ...string) *Counter {
	full := Name(name, labels...)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counters[full]
	if c == nil {
		c = &Counter{}
		r.counters[full] = c
	}
	return c
}

// Gauge shows what value returns when asked, as a counter if the name ends
// with _total. A second gauge of the same name and labels replaces the first.
func (r *Registry) Gauge(name string, value func() float64, labels ...string) {
	full := Name(name, labels...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gauges[full] = value
}

// WriteTo writes all metrics to w, in order of name and labels.
func (r *Registry) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	counters, gauges := maps.Clone(r.counters), maps.Clone(r.gauges)
	r.mu.Unlock()
	names := slices.AppendSeq(slices.Collect(maps.Keys(counters)), maps.Keys(gauges))
	slices.SortFunc(names, func(a, b string) int {
		if c := strings.Compare(family(a), family(b)); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	var b []byte
	last := ""
	for _, full := range names {
		if name := family(full); name != last {
			b = append(append(append(b, "# TYPE "...), name...), kind(name)...)
			last = name
		}
		b = append(append(b, full...), ' ')
		if value, ok := gauges[full]; ok {
			b = strconv.AppendFloat(b, value(), 'f', -1, 64)
		} else {
			b = strconv.AppendUint(b, counters[full].Get(), 10)
		}
		b = append(b, '\n')
	}
	n, err := w.Write(b)
	return int64(n), err
}

// family returns the name of a metric without its labels.
func family(full string) string {
	name, _, _ := strings.Cut(full, "{")
	return name
}

func kind(name string) string {
	if strings.HasSuffix(name, "_total") {
		return " counter\n"
	}
	return " gauge\n"
}

// Name joins a name and pairs of label and value as Prometheus writes them.
func Name(name string, labels ...string) string {
	if len(labels) == 0 {
		return name
	}
	var b strings.Builder
	b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(labels[i] + `="` + escape.Replace(labels[i+1]) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
