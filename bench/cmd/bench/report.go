package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A report is all that was measured; -json prints it.
type report struct {
	Messages, Publishers, Batch, Runs, Rate int
	PayloadBytes                            int
	Start                                   *startReport `json:",omitempty"`
	Cases                                   []*caseReport
}

// A caseReport is a job done by all contenders.
type caseReport struct {
	Job        string
	QoS        byte
	Results    int // that millrace and floor gave, the same
	Contenders []standing
}

// A standing is the medians of a contender, and how they compare.
type standing struct {
	Name      string
	CPU       float64 // s per million messages
	Ratio     float64 // median of millrace's CPU / this one's, run by run
	Rate      float64 // messages a second
	PeakMB    float64
	Generator float64 // CPU s per million messages, of what sends and observes
	samples   []sample
}

func newCase(j job, all []contender) *caseReport {
	rep := &caseReport{Job: j.kind.String(), QoS: j.qos, Results: all[0].load.Results}
	for _, c := range all {
		rep.Contenders = append(rep.Contenders, standing{Name: c.name})
	}
	return rep
}

// sum fills in the medians.
func (c *caseReport) sum() {
	first := c.Contenders[0].samples
	for i := range c.Contenders {
		s := &c.Contenders[i]
		s.CPU = s.median(func(x sample) float64 { return x.CPU })
		s.Rate = s.median(func(x sample) float64 { return x.Rate })
		s.PeakMB = s.median(func(x sample) float64 { return mb(x.Peak) })
		s.Generator = s.median(func(x sample) float64 { return x.Generator })
		var ratios []float64
		for run, x := range s.samples {
			ratios = append(ratios, first[run].CPU/x.CPU)
		}
		s.Ratio = median(ratios)
	}
}

func (s *standing) median(of func(sample) float64) float64 {
	var all []float64
	for _, x := range s.samples {
		all = append(all, of(x))
	}
	return median(all)
}

// median returns the middle one, of an even number the mean of the middle two; 0 of none.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// table writes the report for people.
func (r *report) table(w io.Writer) {
	if s := r.Start; s != nil {
		s.table(w)
	}
	if len(r.Cases) == 0 {
		return
	}
	how := "closed loop"
	if r.Rate > 0 {
		how = fmt.Sprintf("%d messages/s", r.Rate)
	}
	fmt.Fprintf(w, "\n%d publishers, %d messages of %d bytes, %d in a write, %s; medians of %d runs\n", r.Publishers, r.Messages, r.PayloadBytes, r.Batch, how, r.Runs)
	for _, c := range r.Cases {
		fmt.Fprintf(w, "\n%s at QoS %d, %d results\n", c.Job, c.QoS, c.Results)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "\tCPU s/million\tmillrace is\tmessages/s\tpeak RSS MB\tgenerator CPU s/million\t")
		for _, s := range c.Contenders {
			fmt.Fprintf(t, "%s\t%.2f\t%.2f ×\t%.0f\t%.1f\t%.2f\t\n", s.Name, s.CPU, s.Ratio, s.Rate, s.PeakMB, s.Generator)
		}
		t.Flush()
	}
}
