package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/bench/native"
)

func TestCPUIsReadFromTheKernel(t *testing.T) {
	stat := "7 (a ) (b) 1 2) S 1 7 7 0 -1 4194304 99 0 0 0 150 25 3 4 20 0 9 0 100 1000 50"
	if got, err := parseStat(stat); err != nil || got != 1750*time.Millisecond {
		t.Errorf("got %v, %v, want 1.75s", got, err)
	}
	for _, bad := range []string{"", "7 (x) S 1 2 3", strings.Replace(stat, "150", "x", 1)} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for now := before; now == before; {
		for range 1_000_000 {
			math.Sqrt(2)
		}
		if now, err = cpuOf(os.Getpid()); err != nil || now < before {
			t.Fatalf("got %v, %v after %v", now, err, before)
		}
	}
}

func TestMemoryIsReadFromTheKernel(t *testing.T) {
	if got, err := parseStatus("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS"); err != nil || got != 1<<20 {
		t.Errorf("got %d, %v, want 1 MiB", got, err)
	}
	if _, err := parseStatus("Name:\tx\n", "VmRSS"); err == nil {
		t.Error("got no error, want one")
	}
	now, err := memoryOf(os.Getpid(), "VmRSS")
	most, err2 := memoryOf(os.Getpid(), "VmHWM")
	if err != nil || err2 != nil || now < 1<<20 || most < now/2 {
		t.Errorf("got %d of at most %d bytes, %v, %v", now, most, err, err2)
	}
}

func TestMedianIsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.all); got != c.want {
			t.Errorf("%v: got %v, want %v", c.all, got, c.want)
		}
	}
}

func TestRatiosAreThoseOfPairs(t *testing.T) {
	c := &caseReport{Contenders: []standing{
		{Name: "millrace", samples: []sample{{CPU: 2}, {CPU: 30}, {CPU: 4}}},
		{Name: "floor", samples: []sample{{CPU: 1}, {CPU: 10}, {CPU: 2}}},
	}}
	c.sum()
	if m, f := c.Contenders[0], c.Contenders[1]; m.Ratio != 1 || f.Ratio != 2 || m.CPU != 4 || f.CPU != 2 {
		t.Errorf("got %+v, want medians 4 and 2, ratios 1 and 2", c.Contenders)
	}
}

func TestCountersAreReadFromMetrics(t *testing.T) {
	text := "# HELP x\na_total{pipeline=\"main\"} 12\nb_total{pipeline=\"main\"} x\n"
	for series, want := range map[string]int{`a_total{pipeline="main"}`: 12, `b_total{pipeline="main"}`: -1, `a_total`: -1, "c": -1} {
		if got := counter(text, series); got != want {
			t.Errorf("%s: got %d, want %d", series, got, want)
		}
	}
}

func TestLossesAreFound(t *testing.T) {
	text := "# TYPE millrace_x_dropped_total counter\nmillrace_x_dropped_total{sink=\"a b\"} 0\nmillrace_pipeline_late_total{pipeline=\"a\"} 2\nmillrace_messages_total 9\nother_dropped 7\n"
	if got, want := losses(text), "millrace_pipeline_late_total{pipeline=\"a\"} 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatAServerSaysIsKeptToALimit(t *testing.T) {
	var kept tail
	for range 3 {
		kept.Write(bytes.Repeat([]byte("x"), logMax/2))
	}
	kept.Write([]byte("end"))
	if got := kept.String(); len(got) != logMax || !strings.HasSuffix(got, "xend") {
		t.Errorf("got %d bytes that end in %q, want %d", len(got), got[len(got)-4:], logMax)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-qos", "2"}, {"-only", "x"}, {"-runs", "0"}, {"-rate", "-1"}, {"x"}, {"-nope"}} {
		if err := run(context.Background(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v: got no error, want one", args)
		}
	}
}

// All contenders, as make bench runs them, but with few messages.
func TestEverybodyDoesTheSameWork(t *testing.T) {
	var out bytes.Buffer
	args := []string{"-runs", "2", "-messages", "20000", "-publishers", "5", "-only", "filter,main", "-json"}
	if err := run(t.Context(), args, &out, testLog{t}); err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range rep.Cases {
		for _, s := range c.Contenders {
			got = append(got, c.Job+" "+s.Name)
			if s.CPU < 0 || s.Rate <= 0 || s.PeakMB <= 0 {
				t.Errorf("%s: got %+v", c.Job, s)
			}
		}
		if c.Results == 0 {
			t.Errorf("%s: got no results", c.Job)
		}
	}
	each := []string{"filter millrace", "filter floor", "main millrace", "main floor", "main mosquitto 5→1", "main mosquitto 1→1"}
	if want := slices.Concat(each, each); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var table bytes.Buffer
	rep.table(&table)
	if !strings.Contains(table.String(), "mosquitto 1→1") {
		t.Errorf("got the table %s", table.String())
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	h := &harness{dir: t.TempDir()}
	if err := h.compile(t.Context(), "bench/floor"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.start(floor, job{native.Kind(9), 0}); err == nil || !strings.Contains(err.Error(), `unknown job`) {
		t.Errorf("got %v, want what floor says", err)
	}
}
