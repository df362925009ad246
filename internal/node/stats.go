package node

import (
	"millrace.dev/millrace/functions"
	"millrace.dev/millrace/internal/metrics"
)

// A measured step runs WebAssembly and counts what it does.
type measured struct {
	step  string // such as steps[1] function zscore
	stats func() functions.Stats
}

// measure notes that step i runs the function called name.
func (p *Pipeline) measure(i int, name string, stats func() functions.Stats) {
	p.measured = append(p.measured, measured{p.stage(&p.Config.Steps[i]) + " " + name, stats})
}

// showFunctions shows what the functions of a pipeline do.
func showFunctions(p *Pipeline, m *metrics.Registry) {
	for _, f := range p.measured {
		labels := []string{"pipeline", p.Config.Name, "step", f.step}
		m.Gauge("millrace_function_rows_total", func() float64 { return float64(f.stats().Rows) }, labels...)
		m.Gauge("millrace_function_calls_total", func() float64 { return float64(f.stats().Calls) }, labels...)
		m.Gauge("millrace_function_traps_total", func() float64 { return float64(f.stats().Traps) }, labels...)
		m.Gauge("millrace_function_steps_total", func() float64 { return float64(f.stats().Steps) }, labels...)
		m.Gauge("millrace_function_memory_bytes", func() float64 { return float64(f.stats().MemoryBytes) }, labels...)
	}
}
