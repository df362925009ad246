package main

import (
	"context"
	"fmt"
	"time"

	"millrace.dev/millrace/bench/load"
	"millrace.dev/millrace/bench/native"
)

// resultsMin is the fewest results that make a run worth comparing.
const resultsMin = 1

// A contender is a system with the load it gets.
type contender struct {
	name   string
	system system
	load   *load.Load
	filter string // of the observer
}

// A sample is one run of a contender.
type sample struct {
	CPU       float64 // s per million messages, of the server
	Generator float64 // the same, of ourselves
	Rate      float64 // messages a second
	Peak      int64   // bytes resident at most
	Results   int
}

// measure runs job j by all contenders in turn, h.Runs times, every second
// time in the opposite order, and returns their samples.
func (h *harness) measure(ctx context.Context, j job) (*caseReport, error) {
	all, err := h.contenders(j)
	if err != nil {
		return nil, err
	}
	rep := newCase(j, all)
	for run := range h.Runs {
		for i := range all {
			if run%2 == 1 {
				i = len(all) - 1 - i
			}
			s, err := h.once(ctx, &all[i], j)
			if err != nil {
				return nil, fmt.Errorf("%v at QoS %d, %s: %w", j.kind, j.qos, all[i].name, err)
			}
			rep.Contenders[i].samples = append(rep.Contenders[i].samples, s)
			h.say("%v at QoS %d, run %d: %-16s %6.2f CPU s per million", j.kind, j.qos, run+1, all[i].name, s.CPU)
		}
	}
	rep.sum()
	return rep, nil
}

// contenders are millrace and floor; beside the main job, mosquitto forwards
// the same messages to one subscriber, from all publishers and from one.
func (h *harness) contenders(j job) ([]contender, error) {
	l, err := h.build(j, h.Publishers)
	if err != nil {
		return nil, err
	}
	if l.Results < resultsMin {
		return nil, fmt.Errorf("%v: %d messages bring no result; take more", j.kind, l.Messages)
	}
	all := []contender{
		{"millrace", millrace, l, native.TopicPrefix + "#"},
		{"floor", floor, l, native.TopicPrefix + "#"},
	}
	if j.kind != native.Main || h.mosquitto == "" {
		return all, nil
	}
	many, err := h.build(job{0, j.qos}, h.Publishers)
	if err != nil {
		return nil, err
	}
	one, err := h.build(job{0, j.qos}, 1)
	if err != nil {
		return nil, err
	}
	return append(all,
		contender{fmt.Sprintf("mosquitto %d→1", h.Publishers), mosquitto, many, "plant/#"},
		contender{"mosquitto 1→1", mosquitto, one, "plant/#"},
	), nil
}

// build makes the load of a job; of kind 0, that of a broker that forwards.
func (h *harness) build(j job, publishers int) (*load.Load, error) {
	results := 0
	alone := native.NewJob(j.kind, func(*native.Result) { results++ })
	c := load.Config{
		Publishers: publishers, Messages: h.Messages, QoS: j.qos, Batch: h.Batch, Step: h.Step,
		Start: time.Now().Add(-24 * time.Hour),
		Results: func(_ int, payload []byte) int {
			if j.kind == 0 {
				return 1
			}
			before := results
			if err := alone.Message(payload); err != nil {
				panic("BUG: " + string(payload))
			}
			return results - before
		},
	}
	if h.Rate > 0 {
		c.Batch = 1
	}
	return load.New(c)
}

// once starts a contender, sends it its load and reads what that took.
func (h *harness) once(ctx context.Context, c *contender, j job) (s sample, err error) {
	r, err := h.start(c.system, j)
	if err != nil {
		return s, err
	}
	defer func() {
		if stopped := r.stop(); err == nil {
			err = stopped
		}
	}()
	var before time.Duration
	rep, err := c.load.Run(ctx, load.Options{Addr: r.addr, Filter: c.filter, Rate: h.Rate, Begin: func() { before, _ = cpuOf(r.Process.Pid) }})
	if err != nil {
		return s, fmt.Errorf("%w\n%s", err, r.story())
	}
	after, err := cpuOf(r.Process.Pid)
	if err != nil {
		return s, err
	}
	if rep.Results != c.load.Results {
		return s, fmt.Errorf("got %d results, want %d", rep.Results, c.load.Results)
	}
	if c.system == millrace || c.system == profiled {
		if err := r.check(j, rep.Messages); err != nil {
			return s, err
		}
	}
	millions := float64(rep.Messages) / 1e6
	s = sample{CPU: (after - before).Seconds() / millions, Generator: rep.CPU.Seconds() / millions, Rate: float64(rep.Messages) / rep.Wall.Seconds(), Results: rep.Results}
	s.Peak, err = memoryOf(r.Process.Pid, "VmHWM")
	return s, err
}
