package functions

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// Windows again, in plain Go and by their definitions: rows are kept, and
// everything is computed anew for each result.

// A sample is a row of these tests; at is its place in the input.
type sample struct {
	time, mark int64
	value      float64 // NaN: none
	status     string
	at         int
}

// A said is a result that is to come.
type said struct {
	key              string
	start, end, time int64
	rows             []sample
}

// A model is a window by its definition, of one key.
type model struct {
	key  string
	rule pipeline.Window
	sets map[int64][]sample // hopping: by start; session: by number; else 0
	next int64
}

// add takes a row and returns what is said then; late: the row is in no window.
func (m *model) add(s sample) (all []said, late bool) {
	if m.sets == nil {
		m.sets = map[int64][]sample{}
	}
	switch m.rule.Kind {
	case pipeline.Counted:
		return m.addCounted(s), false
	case pipeline.Sliding:
		return m.addSliding(s)
	case pipeline.Session:
		late = m.addSession(s)
	default:
		late = m.addHopping(s)
	}
	for k, rows := range m.sets {
		slices.SortStableFunc(rows, byTime)
		x := said{m.key, k, k + m.rule.Size, k + m.rule.Size, rows}
		if m.rule.Kind == pipeline.Session {
			x.start, x.end = rows[0].time, rows[len(rows)-1].time
			x.time = x.end + m.rule.Size
		}
		if x.time <= s.mark {
			all = append(all, x)
			delete(m.sets, k)
		}
	}
	slices.SortFunc(all, func(a, b said) int { return cmp.Compare(a.time, b.time) })
	return all, late
}

func byTime(a, b sample) int { return cmp.Compare(a.time, b.time) }

func (m *model) addHopping(s sample) (late bool) {
	late = true
	every := cmp.Or(m.rule.Every, m.rule.Size)
	for start := pipeline.FloorTo(s.time, every); start > s.time-m.rule.Size; start -= every {
		if start+m.rule.Size > s.mark {
			m.sets[start] = append(m.sets[start], s)
			late = false
		}
	}
	return late
}

func (m *model) addSession(s sample) (late bool) {
	rows := []sample{}
	for k, have := range m.sets {
		if slices.ContainsFunc(have, func(o sample) bool { d := o.time - s.time; return d < m.rule.Size && -d < m.rule.Size }) {
			rows = append(rows, have...)
			delete(m.sets, k)
		}
	}
	if len(rows) == 0 && s.time+m.rule.Size <= s.mark {
		return true
	}
	m.next++
	m.sets[m.next] = append(rows, s)
	slices.SortFunc(m.sets[m.next], func(a, b sample) int { return cmp.Compare(a.at, b.at) })
	return false
}

func (m *model) addCounted(s sample) []said {
	m.sets[0] = append(m.sets[0], s)
	rows := m.sets[0]
	over := len(rows) - int(m.rule.Size)
	if over < 0 || over%int(cmp.Or(m.rule.Every, m.rule.Size)) != 0 {
		return nil
	}
	rows = slices.Clone(rows[over:])
	slices.SortStableFunc(rows, byTime)
	end := rows[len(rows)-1].time
	return []said{{m.key, rows[0].time, end, end, rows}}
}

func (m *model) addSliding(s sample) (all []said, late bool) {
	if s.time < s.mark {
		return nil, true
	}
	m.sets[0] = append(m.sets[0], s)
	slices.SortStableFunc(m.sets[0], byTime)
	for int(m.next) < len(m.sets[0]) && m.sets[0][m.next].time <= s.mark {
		m.next++
		rows := m.sets[0][:m.next]
		end := rows[len(rows)-1].time
		rows = rows[slices.IndexFunc(rows, func(o sample) bool { return o.time > end-m.rule.Size }):]
		all = append(all, said{m.key, end - m.rule.Size, end, end, slices.Clone(rows)})
	}
	return all, false
}

var kindOps = []string{
	"count", "sum", "mean", "min", "max", "stddev", "first", "last", "range", "quantile",
	"variance", "rate", "integral", "time_mean", "distinct", "top", "distinct(status)", "top(status)", "mode(status)", "mode",
}

var samples = pipeline.Schema{{Name: "device", Kind: pipeline.Text}, {Name: "value", Kind: pipeline.Float}, {Name: "status", Kind: pipeline.Text}}

// newKind is a window with all aggregates.
func newKind(t testing.TB, r *Runtime, keys *pipeline.Keys, rule pipeline.Window) *Window {
	t.Helper()
	c := WindowConfig{Stage: "window", Window: rule, Key: []string{"device"}}
	for _, op := range kindOps {
		a := Aggregate{Name: op, Op: op, Column: "value"}
		if name, ok := strings.CutSuffix(op, "(status)"); ok {
			a.Op, a.Column = name, "status"
		}
		switch a.Op {
		case "quantile":
			a.Arg = 0.95
		case "rate":
			a.Arg = 60
		case "integral":
			a.Arg = 3600
		case "top":
			a.Arg = 3
		}
		c.Aggregates = append(c.Aggregates, a)
	}
	w, err := r.NewWindow(t.Context(), c, samples, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(t.Context()) })
	return w
}

// sampleBatch is n rows of a few keys, out of order, and the models' words.
func sampleBatch(r *rand.Rand, keys *pipeline.Keys, marks *pipeline.Marks, now *int64, n int) *pipeline.Batch {
	b := pipeline.NewBatch(samples, keys)
	for range n {
		*now += r.Int64N(60_000)
		if r.IntN(40) == 0 {
			*now += 700_000
		}
		code, _ := keys.Code(fmt.Append(nil, "k", r.IntN(3)))
		b.AppendRow(pipeline.Row{Time: *now - r.Int64N(350_000), Arrived: *now, Key: code})
		b.Columns[0].AppendText([]byte(keys.Name(code)))
		if r.IntN(9) == 0 {
			b.Columns[1].AppendNull()
		} else {
			b.Columns[1].AppendFloat(math.Round(50 * math.Exp(r.NormFloat64()/3)))
		}
		b.Columns[2].AppendText([]byte(strings.Repeat("running", r.IntN(5)) + " ä, fault"))
	}
	marks.Observe(b)
	return b
}

// windowKinds are rules of every kind that come about in a few seconds.
func windowKinds() map[string]pipeline.Window {
	return map[string]pipeline.Window{
		"tumbling":         {Size: 1e6, PanesMax: 64},
		"hopping":          {Kind: pipeline.Hopping, Size: 1e6, Every: 250_000, PanesMax: 64},
		"hopping unevenly": {Kind: pipeline.Hopping, Size: 1e6, Every: 300_000, PanesMax: 64},
		"sliding":          {Kind: pipeline.Sliding, Size: 800_000, PanesMax: 200},
		"session":          {Kind: pipeline.Session, Size: 110_000, PanesMax: 64},
		"counted":          {Kind: pipeline.Counted, Size: 7, PanesMax: 64},
		"counted again":    {Kind: pipeline.Counted, Size: 10, Every: 4, PanesMax: 64},
	}
}

func TestEveryWindowIsWhatItsDefinitionSays(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{})
	for name, rule := range windowKinds() {
		t.Run(name, func(t *testing.T) {
			keys := pipeline.NewKeys(10)
			w := newKind(t, rt, keys, rule)
			models := map[uint32]*model{}
			marks := &pipeline.Marks{Lateness: 150_000, Idle: -1}
			now, n, lates := int64(1e9), 0, 0
			for range 30 {
				b := sampleBatch(r, keys, marks, &now, 1+r.IntN(120))
				want, late := expected(models, keys, rule, b)
				var out pipeline.Outputs
				if err := w.Process(b, &out); err != nil || len(out.Dead) > 0 {
					t.Fatal(err, out.Dead)
				}
				if out.Late != nil && out.Late.Rows() != late || out.Late == nil && late > 0 {
					t.Fatalf("got %v late, want %d", out.Late, late)
				}
				checkSaid(t, out.Main, want)
				n, lates = n+len(want), lates+late
			}
			if n < 100 || lates == 0 && rule.Kind != pipeline.Counted && rule.Kind != pipeline.Hopping {
				t.Fatalf("only %d results, %d late: nothing is shown", n, lates)
			}
		})
	}
}

// expected is what the models say to a batch.
func expected(models map[uint32]*model, keys *pipeline.Keys, rule pipeline.Window, b *pipeline.Batch) (all []said, late int) {
	for i, key := range b.Key {
		if models[key] == nil {
			models[key] = &model{key: keys.Name(key), rule: rule}
		}
		m := models[key]
		s := sample{b.Time[i], b.Mark[i], math.NaN(), string(b.Columns[2].Text(i)), int(b.Arrived[i])}
		if b.Columns[1].Has(i) {
			s.value = b.Columns[1].Floats[i]
		}
		more, isLate := m.add(s)
		all = append(all, more...)
		if isLate {
			late++
		}
	}
	return all, late
}

func checkSaid(t *testing.T, b *pipeline.Batch, want []said) {
	t.Helper()
	got := 0
	if b != nil {
		got = b.Rows()
	}
	for i := range min(got, len(want)) {
		x := want[i]
		if k := string(b.Column("device", i).Text(i)); k != x.key || b.Time[i] != x.time || b.Column("window_start", i).Ints[i] != x.start || b.Column("window_end", i).Ints[i] != x.end {
			t.Fatalf("result %d: got %s, want %s from %d to %d at %d", i, rowText(b, i), x.key, x.start, x.end, x.time)
		}
		checkSample(t, b, i, x)
	}
	if got != len(want) {
		t.Fatalf("got %d results, want %d", got, len(want))
	}
}

// checkSample computes every aggregate from the rows, which are in order of time.
func checkSample(t *testing.T, b *pipeline.Batch, i int, x said) {
	t.Helper()
	var values []float64
	var with []sample
	for _, s := range x.rows {
		if s.value == s.value {
			values, with = append(values, s.value), append(with, s)
		}
	}
	checkPane(t, b, i, slices.Clone(values), len(x.rows))
	none := math.NaN()
	variance, rate, area, mean := none, none, none, none
	if n := float64(len(values)); n > 0 {
		first, last := with[0], with[len(with)-1]
		if apart := float64(last.time - first.time); apart > 0 {
			rate = (last.value - first.value) / apart * 60e6
			area, mean = overTime(with, x)
		} else {
			mean = sumOfAll(values) / n
		}
		if n > 1 {
			variance = 0
			for _, v := range values {
				variance += (v - sumOfAll(values)/n) * (v - sumOfAll(values)/n) / (n - 1)
			}
		}
	}
	near(t, b, "variance", i, variance, 1e-9)
	near(t, b, "rate", i, rate, 1e-9)
	near(t, b, "integral", i, area, 1e-9)
	near(t, b, "time_mean", i, mean, 1e-9)
	numbers, words := map[string]int{}, map[string]int{}
	for _, s := range with {
		numbers[fmt.Sprint(s.value)]++
	}
	for _, s := range x.rows {
		words[firstBytes(s.status)]++
	}
	nearCount(t, b, "distinct", i, len(numbers))
	nearCount(t, b, "distinct(status)", i, len(words))
	checkTop(t, b, i, "top", 3, numbers)
	checkTop(t, b, i, "top(status)", 3, words)
	checkTop(t, b, i, "mode(status)", 1, words)
	checkTop(t, b, i, "mode", 1, numbers)
}

// nearCount lets two values share a register of the sketch.
func nearCount(t *testing.T, b *pipeline.Batch, name string, i, want int) {
	t.Helper()
	if c := b.Column(name, i); c == nil || math.Abs(c.Floats[i]-float64(want)) > 1+0.05*float64(want) {
		t.Fatalf("row %d: %s: got %s, want about %d", i, name, rowText(b, i), want)
	}
}

// firstBytes is what a ranking keeps of a text.
func firstBytes(s string) string {
	if len(s) <= itemBytes {
		return s
	}
	return strings.ToValidUTF8(s[:itemBytes], "")
}

func sumOfAll(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}

// overTime is the trapezoidal rule, in hours, with both ends held on for as
// long as readings are apart, but not beyond the window.
func overTime(rows []sample, x said) (area, mean float64) {
	first, last := rows[0], rows[len(rows)-1]
	apart := float64(last.time-first.time) / float64(len(rows)-1)
	before := min(max(float64(first.time-x.start), 0), apart)
	after := min(max(float64(x.end-last.time), 0), apart)
	area = first.value*before + last.value*after
	for k := 1; k < len(rows); k++ {
		area += (rows[k-1].value + rows[k].value) / 2 * float64(rows[k].time-rows[k-1].time)
	}
	return area / 3600e6, area / (before + after + float64(last.time-first.time))
}

// checkTop compares how often the values are there: which of equals comes
// first is not said here.
func checkTop(t *testing.T, b *pipeline.Batch, i int, column string, n int, counts map[string]int) {
	t.Helper()
	c := b.Column(column, i)
	if (c == nil) != (len(counts) == 0) {
		t.Fatalf("%s: got a value: %v, want %v", column, c != nil, counts)
	}
	if c == nil {
		return
	}
	have := []string{cell(c, i)}
	if strings.HasPrefix(column, "top") {
		have = strings.Split(strings.ReplaceAll(have[0], "ä, f", "ä; f"), ", ")
	}
	var got, want []int
	seen := map[string]bool{}
	for _, v := range have {
		if v = strings.ReplaceAll(v, "ä; f", "ä, f"); seen[v] {
			t.Fatalf("%s: %q is there twice: %s", column, v, cell(c, i))
		}
		seen[v] = true
		got = append(got, counts[v])
	}
	for _, n := range counts {
		want = append(want, n)
	}
	slices.SortFunc(want, func(a, b int) int { return b - a })
	want = want[:min(n, len(want))]
	if len(counts) <= 32 && !slices.Equal(got, want) {
		t.Fatalf("%s: got %s, seen %v times, want %v", column, cell(c, i), got, want)
	}
}
