package functions

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// The shipped functions again, in plain Go: what is written here is what
// docs/functions.md says, in the simplest way.

type zscoreRef struct {
	weight, weight2, mean, squares float64
	rows, lasting                  int
}

func (z *zscoreRef) learn(x, kept float64) {
	z.weight, z.weight2 = z.weight*kept+1, z.weight2*kept*kept+1
	off := x - z.mean
	z.mean += off / z.weight
	z.squares = z.squares*kept + off*(x-z.mean)
}

// row returns score, anomaly and expected; NaN and -1 are none.
func (z *zscoreRef) row(x, threshold, halfLife float64, warmup, relearn int) (score float64, anomaly int, expected float64) {
	score, anomaly, expected = math.NaN(), -1, math.NaN()
	if math.IsNaN(x) {
		return
	}
	kept := math.Exp2(-1 / halfLife)
	if z.rows > 0 {
		expected = z.mean
	}
	if z.rows < warmup {
		z.rows++
		z.learn(x, kept)
		return score, 0, expected
	}
	sd := math.Sqrt(z.squares / (z.weight - z.weight2/z.weight))
	score, anomaly = min(max((x-z.mean)/sd, -1000), 1000), 0
	if math.Abs(score) <= threshold {
		z.lasting = max(z.lasting-2, 0)
		z.learn(x, kept)
		return
	}
	anomaly = 1
	if z.lasting++; z.lasting >= relearn {
		*z = zscoreRef{rows: 1}
		z.learn(x, kept)
	} else if math.Abs(score) <= 2*threshold {
		z.learn(z.mean+math.Copysign(threshold*sd, score), kept)
	}
	return
}

// stream runs rows, one key each by turns, through a function and gives what
// its columns say to check.
func stream(t *testing.T, r *rand.Rand, name string, with map[string]float64, check func(i int, in reading, b *pipeline.Batch, row int)) {
	t.Helper()
	keys := pipeline.NewKeys(10)
	s := bind(t, load(t, newRuntime(t, Options{}), name), Binding{With: with}, readings, keys)
	var all []reading
	level := 0.0
	for i := range 5000 {
		if r.IntN(300) == 0 {
			level = 50 * r.NormFloat64()
		}
		x := level + r.NormFloat64()*float64(1+i%2)
		all = append(all, reading{int64(i)*100_000 + r.Int64N(90_000), fmt.Sprint("k", r.IntN(3)), x, r.IntN(30) == 0})
	}
	for from := 0; from < len(all); {
		n := min(1+r.IntN(300), len(all)-from)
		b := pipeline.NewBatch(readings, keys)
		fill(b, all[from:from+n], uint64(from))
		var out pipeline.Outputs
		if err := s.Process(b, &out); err != nil || len(out.Dead) > 0 {
			t.Fatal(err, out.Dead)
		}
		if out.Main.Rows() != n {
			t.Fatalf("got %d rows, want %d", out.Main.Rows(), n)
		}
		for i := range n {
			check(from+i, all[from+i], out.Main, i)
		}
		from += n
	}
}

// near compares a column's value with v, of which NaN is none.
func near(t *testing.T, b *pipeline.Batch, name string, i int, v, tolerance float64) {
	t.Helper()
	c := b.Column(name, i)
	if (c == nil) != math.IsNaN(v) {
		t.Fatalf("row %d: %s: got a value: %v, want %v", i, name, c != nil, v)
	}
	if c != nil && math.Abs(c.Floats[i]-v) > tolerance*(1+math.Abs(v)) {
		t.Fatalf("row %d: %s: got %v, want %v", i, name, c.Floats[i], v)
	}
}

// flag compares a bool with v: 1, 0, or -1 for none.
func flag(t *testing.T, b *pipeline.Batch, name string, i, v int) {
	t.Helper()
	got := -1
	if c := b.Column(name, i); c != nil {
		got = int(c.Bools[i])
	}
	if got != v {
		t.Fatalf("row %d: %s: got %d, want %d", i, name, got, v)
	}
}

func TestZscoreIsWhatTheDocsSay(t *testing.T) {
	ref := map[string]*zscoreRef{}
	with := map[string]float64{"threshold": 3, "warmup": 20, "half_life": 100, "relearn": 40}
	alarms := 0
	stream(t, seeded(t), "zscore", with, func(_ int, in reading, b *pipeline.Batch, i int) {
		if ref[in.key] == nil {
			ref[in.key] = &zscoreRef{}
		}
		if in.null {
			in.value = math.NaN()
		}
		score, anomaly, expected := ref[in.key].row(in.value, 3, 100, 20, 40)
		near(t, b, "score", i, score, 1e-6)
		flag(t, b, "anomaly", i, anomaly)
		near(t, b, "expected", i, expected, 1e-9)
		alarms += max(anomaly, 0)
	})
	if alarms == 0 {
		t.Error("no anomaly: nothing is shown")
	}
}

func TestRateOfChangeIsWhatTheDocsSay(t *testing.T) {
	last := map[string]*reading{}
	stream(t, seeded(t), "rate-of-change", map[string]float64{"limit": 20, "gap_max": 0.9}, func(_ int, in reading, b *pipeline.Batch, i int) {
		rate := math.NaN()
		if before := last[in.key]; before != nil && !in.null {
			if s := float64(in.time-before.time) * 1e-6; s > 0 && s <= 0.9 {
				rate = (in.value - before.value) / s
			}
		}
		if !in.null {
			last[in.key] = &in
		}
		near(t, b, "rate", i, rate, 1e-12)
		exceeded := 0
		if math.Abs(rate) > 20 {
			exceeded = 1
		}
		flag(t, b, "exceeded", i, exceeded)
	})
}

func TestThresholdIsWhatTheDocsSay(t *testing.T) {
	side := map[string]int{}
	stream(t, seeded(t), "threshold", map[string]float64{"above": 30, "below": -30, "hysteresis": 5}, func(_ int, in reading, b *pipeline.Batch, i int) {
		before := side[in.key]
		now := before
		if !in.null {
			if before > 0 && in.value <= 25 || before < 0 && in.value >= -25 {
				now = 0
			}
			if in.value > 30 {
				now = 1
			} else if in.value < -30 {
				now = -1
			}
		}
		side[in.key] = now
		if got := b.Column("side", i).Ints[i]; got != int64(now) {
			t.Fatalf("row %d: got side %d, want %d", i, got, now)
		}
		flag(t, b, "alarm", i, now*now)
		changed := 0
		if now != before {
			changed = 1
		}
		flag(t, b, "changed", i, changed)
	})
}

func TestWindowsAreWhatTheDocsSay(t *testing.T) {
	r := seeded(t)
	keys := pipeline.NewKeys(10)
	rt := newRuntime(t, Options{})
	ops := []string{"count", "sum", "mean", "min", "max", "stddev", "first", "last", "range", "quantile"}
	w := newWindow(t, rt, keys, ops...)
	type paneOf struct {
		key   string
		start int64
	}
	values, rows := map[paneOf][]float64{}, map[paneOf]int{}
	marks := &pipeline.Marks{Idle: -1}
	got := 0
	check := func(b *pipeline.Batch) {
		for i := range b.Rows() {
			p := paneOf{string(b.Column("device", i).Text(i)), b.Column("window_start", i).Ints[i]}
			if b.Time[i] != p.start+1e6 || b.Column("window_end", i).Ints[i] != b.Time[i] {
				t.Fatalf("%v: got time %d", p, b.Time[i])
			}
			checkPane(t, b, i, values[p], rows[p])
			delete(rows, p)
			got++
		}
	}
	now := int64(0)
	for range 60 {
		var all []reading
		for range 100 {
			now += r.Int64N(40_000)
			x := reading{now, fmt.Sprint("k", r.IntN(3)), math.Exp(3 * r.NormFloat64()), r.IntN(9) == 0}
			p := paneOf{x.key, pipeline.FloorTo(x.time, 1e6)}
			rows[p]++
			if !x.null {
				values[p] = append(values[p], x.value)
			}
			all = append(all, x)
		}
		b := pipeline.NewBatch(readings, keys)
		fill(b, all, 0)
		marks.Observe(b)
		var out pipeline.Outputs
		if err := w.Process(b, &out); err != nil || len(out.Dead) > 0 || out.Late != nil {
			t.Fatal(err, out)
		}
		if out.Main != nil {
			check(out.Main)
		}
	}
	if got < 100 || len(rows) > 6 {
		t.Errorf("got %d panes and %d open, want all but the last of each key", got, len(rows))
	}
}

func checkPane(t *testing.T, b *pipeline.Batch, i int, values []float64, rows int) {
	t.Helper()
	near(t, b, "count", i, float64(rows), 0)
	if len(values) == 0 {
		for _, name := range []string{"sum", "mean", "min", "max", "stddev", "first", "last", "range", "quantile"} {
			near(t, b, name, i, math.NaN(), 0)
		}
		return
	}
	sum, n := 0.0, float64(len(values))
	for _, v := range values {
		sum += v
	}
	squares := 0.0
	for _, v := range values {
		squares += (v - sum/n) * (v - sum/n)
	}
	least, most := slices.Min(values), slices.Max(values)
	near(t, b, "sum", i, sum, 1e-12)
	near(t, b, "mean", i, sum/n, 1e-12)
	near(t, b, "min", i, least, 0)
	near(t, b, "max", i, most, 0)
	near(t, b, "range", i, most-least, 1e-12)
	near(t, b, "first", i, values[0], 0)
	near(t, b, "last", i, values[len(values)-1], 0)
	sd := math.NaN()
	if n > 1 {
		sd = math.Sqrt(squares / (n - 1))
	}
	near(t, b, "stddev", i, sd, 1e-9)
	slices.Sort(values)
	want := values[int(math.Ceil(0.95*n))-1]
	if q := b.Column("quantile", i).Floats[i]; math.Abs(q-want) > 0.01*want {
		t.Fatalf("row %d: got p95 %v, want %v within 1 %%", i, q, want)
	}
}
