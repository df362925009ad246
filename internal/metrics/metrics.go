// Package metrics counts what happens and shows it in the text format of
// Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).
package metrics

import (
	"fmt"
	"io"
	"strings"

	vm "github.com/VictoriaMetrics/metrics"
)

// A Registry holds the metrics of one node.
type Registry struct{ set *vm.Set }

// A Counter only grows. Its methods may be called at the same time.
type Counter = vm.Counter

// New returns an empty registry.
func New() *Registry { return &Registry{vm.NewSet()} }

// Counter returns the counter of that name and labels, given as pairs of name
// and value; it makes one the first time.
func (r *Registry) Counter(name string, labels ...string) *Counter {
	return r.set.GetOrCreateCounter(Name(name, labels...))
}

// Gauge shows what value returns when asked. A second gauge of the same name
// and labels replaces the first.
func (r *Registry) Gauge(name string, value func() float64, labels ...string) {
	full := Name(name, labels...)
	r.set.UnregisterMetric(full)
	r.set.NewGauge(full, value)
}

// WriteTo writes all metrics to w.
func (r *Registry) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	r.set.WritePrometheus(&b)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
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
		fmt.Fprintf(&b, `%s="%s"`, labels[i], escape.Replace(labels[i+1]))
	}
	b.WriteByte('}')
	return b.String()
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
