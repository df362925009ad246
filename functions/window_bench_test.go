package functions

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// benchWindowBatches is how many batches a pass of BenchmarkWindowAlone goes
// through.
const benchWindowBatches = 16

// BenchmarkWindowAlone times the step by itself, next to the same windows
// written by hand in Go, in turns over the same batches of 50 keys that each
// speak every 50 ms. Both get rows whose keys are numbers already (ratio); the
// work of finding a key by its name is measured beside it (keyed-ratio).
func BenchmarkWindowAlone(b *testing.B) {
	r := newRuntime(b, Options{})
	second := pipeline.Window{Size: 1e6, PanesMax: 64}
	hopping := pipeline.Window{Kind: pipeline.Hopping, Size: 10e6, Every: 1e6, PanesMax: 64}
	for _, c := range []struct {
		name string
		rule pipeline.Window
		ops  []string
	}{
		{"tumbling", second, []string{"mean", "min", "max", "count"}},
		{"hopping-10", hopping, []string{"mean", "min", "max", "count"}},
		{"p95", second, []string{"quantile"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			keys := pipeline.NewKeys(1000)
			step := newWindowOf(b, r, keys, c.rule, c.ops...)
			hand := &handWindow{rule: c.rule, quantile: c.ops[0] == "quantile", names: map[string]uint32{}, out: pipeline.NewBatch(step.Schema(), keys)}
			t := windowTimes{b: b, batches: benchWindows(keys)}
			t.run(step, hand)
		})
	}
}

// benchWindows makes batches of one row each millisecond.
func benchWindows(keys *pipeline.Keys) []*pipeline.Batch {
	var all []*pipeline.Batch
	for range benchWindowBatches {
		all = append(all, benchBatch(keys, pipeline.RowsMax))
	}
	at := int64(0)
	for _, b := range all {
		for i := range b.Time {
			b.Time[i], b.Mark[i] = at, at
			at += 1000
		}
	}
	return all
}

// A windowTimes is what both sides have taken so far.
type windowTimes struct {
	b       *testing.B
	batches []*pipeline.Batch
	spent   [3]time.Duration // the step, by hand, the keys of both
	said    [2]int
}

func (t *windowTimes) run(step *Window, hand *handWindow) {
	var out pipeline.Outputs
	pass := int64(benchWindowBatches*pipeline.RowsMax) * 1000
	t.b.ReportAllocs()
	for t.b.Loop() {
		begin := time.Now()
		for _, in := range t.batches {
			out.Main = nil
			if err := step.Process(in, &out); err != nil {
				t.b.Fatal(err)
			}
			if out.Main != nil {
				t.said[0] += out.Main.Rows()
			}
		}
		middle := time.Now()
		for _, in := range t.batches {
			hand.process(in)
			t.said[1] += hand.out.Rows()
		}
		end := time.Now()
		for _, in := range t.batches {
			hand.find(in)
		}
		t.spent[0] += middle.Sub(begin)
		t.spent[1] += end.Sub(middle)
		t.spent[2] += time.Since(end)
		for _, in := range t.batches {
			for i := range in.Time {
				in.Time[i] += pass
				in.Mark[i] += pass
			}
		}
	}
	if t.said[0] != t.said[1] || len(out.Dead) > 0 || out.Late != nil {
		t.b.Fatalf("got %d windows, by hand %d; %d rows dead, late %v", t.said[0], t.said[1], len(out.Dead), out.Late)
	}
	n := float64(t.b.N * benchWindowBatches * pipeline.RowsMax)
	t.b.ReportMetric(float64(t.spent[0].Nanoseconds())/n, "ns/row")
	t.b.ReportMetric(float64(t.spent[1].Nanoseconds())/n, "native-ns/row")
	t.b.ReportMetric(float64(t.spent[0])/float64(t.spent[1]), "ratio")
	t.b.ReportMetric(float64(t.spent[0]+t.spent[2])/float64(t.spent[1]+t.spent[2]), "keyed-ratio")
	t.b.ReportMetric(0, "ns/op")
}

// A handWindow does with a map and slices what one would write for the job:
// panes of a key in order, plain sums, and for a percentile all values.
type handWindow struct {
	rule     pipeline.Window
	quantile bool
	names    map[string]uint32
	keys     []handKey
	found    []uint32
	out      *pipeline.Batch
}

type handKey struct {
	panes []handPane
	spoke int64 // the end of the last window
}

type handPane struct {
	start         int64
	n             int64
	sum, min, max float64
	values        []float64
}

// find finds the number of each row's key by its device.
func (h *handWindow) find(in *pipeline.Batch) {
	h.found = h.found[:0]
	for i := range in.Time {
		name := in.Columns[1].Text(i)
		code, ok := h.names[string(name)]
		if !ok {
			code = uint32(len(h.names))
			h.names[string(name)] = code
		}
		h.found = append(h.found, code)
	}
}

func (h *handWindow) process(in *pipeline.Batch) {
	h.out.Reset()
	length := h.rule.Pane()
	for i, at := range in.Time {
		code := in.Key[i]
		for int(code) >= len(h.keys) {
			h.keys = append(h.keys, handKey{spoke: math.MinInt64})
		}
		k := &h.keys[code]
		h.close(k, code, in, i)
		h.pane(k, at-at%length).add(in.Columns[2].Floats[i], h.quantile)
	}
}

func (h *handWindow) pane(k *handKey, start int64) *handPane {
	at := len(k.panes)
	for ; at > 0 && k.panes[at-1].start >= start; at-- {
		if k.panes[at-1].start == start {
			return &k.panes[at-1]
		}
	}
	var values []float64 // of a pane that is over
	if cap(k.panes) > len(k.panes) {
		values = k.panes[:len(k.panes)+1][len(k.panes)].values[:0]
	}
	k.panes = slices.Insert(k.panes, at, handPane{start: start, values: values})
	return &k.panes[at]
}

func (p *handPane) add(x float64, keep bool) {
	if p.n == 0 {
		p.min, p.max = x, x
	}
	p.n++
	p.sum += x
	p.min, p.max = min(p.min, x), max(p.max, x)
	if keep {
		p.values = append(p.values, x)
	}
}

// close lets the windows speak that the mark of row i has passed.
func (h *handWindow) close(k *handKey, code uint32, in *pipeline.Batch, i int) {
	every := h.rule.Size
	if h.rule.Every > 0 {
		every = h.rule.Every
	}
	for len(k.panes) > 0 {
		end := max(k.panes[0].start+every, k.spoke+every)
		if end > in.Mark[i] {
			return
		}
		k.spoke = end
		h.speak(k, code, end, in, i)
		if first := k.panes[0]; first.start <= end-h.rule.Size {
			copy(k.panes, k.panes[1:])
			k.panes[len(k.panes)-1] = first // for its memory
			k.panes = k.panes[:len(k.panes)-1]
		}
	}
}

func (h *handWindow) speak(k *handKey, code uint32, end int64, in *pipeline.Batch, i int) {
	all := handPane{}
	for p := range k.panes {
		p := &k.panes[p]
		if p.start >= end || p.start < end-h.rule.Size {
			continue
		}
		if all.n == 0 {
			all = *p
			continue
		}
		all.n, all.sum = all.n+p.n, all.sum+p.sum
		all.min, all.max = min(all.min, p.min), max(all.max, p.max)
	}
	if all.n == 0 {
		return
	}
	row := in.Row(i)
	row.Time = end
	h.out.AppendRow(row)
	c := h.out.Columns
	line, device, _ := strings.Cut(in.Keys.Name(code), "\x00")
	c[0].AppendText([]byte(line))
	c[1].AppendText([]byte(device))
	c[2].AppendInt(end - h.rule.Size)
	c[3].AppendInt(end)
	if h.quantile {
		slices.Sort(all.values)
		c[4].AppendFloat(all.values[int(math.Ceil(0.95*float64(len(all.values))))-1])
		return
	}
	c[4].AppendFloat(all.sum / float64(all.n))
	c[5].AppendFloat(all.min)
	c[6].AppendFloat(all.max)
	c[7].AppendFloat(float64(all.n))
}
