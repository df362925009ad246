package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"millrace.dev/millrace/bench/native"
)

// settle is how long a server without clients is left alone before its memory is read.
const settle = 3 * time.Second

// startRunsMin is the fewest starts; they are cheap and scatter.
const startRunsMin = 15

// A startReport compares what a program costs before it has done anything.
// Floor is what a bare Go program with a listener takes.
type startReport struct {
	Runs                      int
	ReadyMS, FloorReadyMS     float64 // from start to the first CONNACK, median
	ReadyRatio                float64 // median of the runs'
	IdleRSSMB, FloorIdleRSSMB float64
	BinaryMB, FloorBinaryMB   float64 // stripped
	MosquittoReadyMS          float64 // 0: it is not there
	MosquittoIdleRSSMB        float64
}

// startup measures starts and idle memory with the main job. The folder of
// compiled functions is warm: the first start is not counted.
func (h *harness) startup(ctx context.Context) (*startReport, error) {
	rep := &startReport{Runs: max(h.Runs, startRunsMin)}
	j := job{native.Main, 0}
	ready := map[system][]float64{}
	var ratios []float64
	for run := range rep.Runs + 1 {
		for _, s := range h.systems() {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r, err := h.start(s, j)
			if err != nil {
				return nil, err
			}
			if err := r.stop(); err != nil {
				return nil, err
			}
			if run > 0 {
				ready[s] = append(ready[s], float64(r.ready.Microseconds())/1000)
			}
		}
		if run > 0 {
			ratios = append(ratios, ready[millrace][run-1]/ready[floor][run-1])
		}
	}
	rep.ReadyMS, rep.FloorReadyMS, rep.ReadyRatio = median(ready[millrace]), median(ready[floor]), median(ratios)
	rep.MosquittoReadyMS = median(ready[mosquitto])
	h.say("start to ready: %.1f ms, %.2f × a bare listener", rep.ReadyMS, rep.ReadyRatio)
	for _, s := range h.systems() {
		idle, err := h.idle(s, j)
		if err != nil {
			return nil, err
		}
		switch s {
		case millrace:
			rep.IdleRSSMB = idle
		case floor:
			rep.FloorIdleRSSMB = idle
		case mosquitto:
			rep.MosquittoIdleRSSMB = idle
		}
	}
	return rep, rep.sizes(h)
}

// systems are those that are there.
func (h *harness) systems() []system {
	if h.mosquitto == "" {
		return []system{millrace, floor}
	}
	return []system{millrace, floor, mosquitto}
}

func (h *harness) idle(s system, j job) (float64, error) {
	r, err := h.start(s, j)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	time.Sleep(settle)
	rss, err := memoryOf(r.Process.Pid, "VmRSS")
	return mb(rss), err
}

func (s *startReport) sizes(h *harness) error {
	for name, to := range map[string]*float64{"millrace": &s.BinaryMB, "floor": &s.FloorBinaryMB} {
		info, err := os.Stat(h.bin(name))
		if err != nil {
			return err
		}
		*to = mb(info.Size())
	}
	return nil
}

func (s *startReport) table(w io.Writer) {
	fmt.Fprintf(w, "before the first message, main job, functions compiled before; medians of %d starts\n", s.Runs)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tready ms\tidle RSS MB\tbinary MB\t")
	fmt.Fprintf(t, "millrace\t%.1f (%.2f ×)\t%.1f\t%.1f\t\n", s.ReadyMS, s.ReadyRatio, s.IdleRSSMB, s.BinaryMB)
	fmt.Fprintf(t, "bare listener (floor)\t%.1f\t%.1f\t%.1f\t\n", s.FloorReadyMS, s.FloorIdleRSSMB, s.FloorBinaryMB)
	if s.MosquittoIdleRSSMB > 0 {
		fmt.Fprintf(t, "mosquitto\t%.1f\t%.1f\t\t\n", s.MosquittoReadyMS, s.MosquittoIdleRSSMB)
	}
	t.Flush()
}
