package functions

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

var everything = pipeline.Schema{
	{Name: "t", Kind: pipeline.Text}, {Name: "b", Kind: pipeline.Text}, {Name: "topic", Kind: pipeline.Text},
	{Name: "payload", Kind: pipeline.Bytes}, {Name: "i", Kind: pipeline.Int}, {Name: "o", Kind: pipeline.Bool}, {Name: "f", Kind: pipeline.Int},
}

// randomBatch has n rows, a quarter of the values absent where they may be.
func randomBatch(r *rand.Rand, keys *pipeline.Keys, n int) *pipeline.Batch {
	b := pipeline.NewBatch(everything, keys)
	for i := range n {
		code, _ := keys.Code([]byte{byte(r.IntN(5))})
		b.AppendRow(pipeline.Row{Time: int64(i), Key: code, Offset: uint64(i)})
		for k := range b.Columns {
			switch c := &b.Columns[k]; {
			case r.IntN(4) == 0:
				c.AppendNull()
			case c.Kind == pipeline.Int:
				c.AppendInt(r.Int64N(1000))
			case c.Kind == pipeline.Bool:
				c.AppendBool(r.IntN(2) == 0)
			default:
				text := make([]byte, r.IntN(40))
				for j := range text {
					text[j] = byte(r.UintN(256))
				}
				c.AppendText(text)
			}
		}
	}
	return b
}

func sumOf(text []byte) int64 {
	s := int64(len(text))
	for _, c := range text {
		s = s*31 + int64(c)
	}
	return s
}

// textsOf is what the guest texts should answer for row i.
func textsOf(b *pipeline.Batch, i int, raw bool, rows int64) string {
	c := b.Columns
	sum := sumOf(c[0].Text(i)) + 3*sumOf(c[1].Text(i)) + c[4].Ints[i] + int64(c[5].Bools[i]) + rows
	if raw {
		sum += 5*sumOf(c[2].Text(i)) + 7*sumOf(c[3].Text(i))
	}
	if sum%7 == 0 {
		return ""
	}
	has, f, odd := 0, "-", "-"
	for k, at := range []int{0, 1, 4, 5, 6} {
		if c[at].Has(i) {
			has |= 1 << k
		}
	}
	if c[6].Has(i) {
		f = fmt.Sprint(float64(c[6].Ints[i]))
		if c[6].Ints[i] == 0 {
			f = "1e-300"
		}
	}
	if sum&1 != 0 {
		odd = "true"
	}
	return fmt.Sprintf("f=%s sum=%d has=%d odd=%s", f, sum, has, odd)
}

func TestColumnsOfEveryKindArriveWhole(t *testing.T) {
	r := seeded(t)
	rt := newRuntime(t, Options{OutputMax: 600}) // so that frames are cut
	for _, raw := range []bool{false, true} {
		m := loadGuest(t, rt, map[bool]string{false: "texts", true: "texts-raw"}[raw])
		keys := pipeline.NewKeys(10)
		s := bind(t, m, Binding{}, everything, keys)
		rows := map[uint32]int64{}
		for range 30 {
			in := randomBatch(r, keys, 1+r.IntN(700))
			var want []string
			for i := range in.Rows() {
				rows[in.Key[i]]++
				if w := textsOf(in, i, raw, rows[in.Key[i]]); w != "" {
					want = append(want, w)
				}
			}
			var out pipeline.Outputs
			if err := s.Process(in, &out); err != nil || len(out.Dead) > 0 {
				t.Fatal(err, out.Dead)
			}
			var got []string
			for i := range out.Main.Rows() {
				row := rowText(out.Main, i)
				got = append(got, row[strings.LastIndex(row, " f=")+1:])
				checkClean(t, out.Main, i)
			}
			sameRows(t, got, want)
		}
	}
}

// checkClean checks that a value that is not there is zero, and a bool 0 or 1.
func checkClean(t *testing.T, b *pipeline.Batch, i int) {
	t.Helper()
	f, odd := &b.Columns[slices.IndexFunc(b.Columns, func(c pipeline.Column) bool { return c.Name == "f" })], &b.Columns[len(b.Columns)-1]
	if !f.Has(i) && f.Floats[i] != 0 || odd.Bools[i] > 1 || !odd.Has(i) && odd.Bools[i] != 0 {
		t.Fatalf("row %d: got %v and %v where there is no value", i, f.Floats[i], odd.Bools[i])
	}
}

func TestARowWithTooMuchTextIsSetAside(t *testing.T) {
	rt := newRuntime(t, Options{OutputMax: 600})
	keys := pipeline.NewKeys(10)
	s := bind(t, loadGuest(t, rt, "texts"), Binding{}, everything, keys)
	for n, want := range map[int]int{600: 0, 601: 1} {
		in := pipeline.NewBatch(everything, keys)
		for range 3 {
			in.AppendRow(pipeline.Row{})
			for k := range in.Columns {
				in.Columns[k].AppendNull()
			}
		}
		in.Columns[0].Reset()
		for _, size := range []int{5, n, 5} {
			in.Columns[0].AppendText(make([]byte, size))
		}
		var out pipeline.Outputs
		if err := s.Process(in, &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Dead) != want || want > 0 && !strings.Contains(out.Dead[0].Reason, "601 bytes of text, the most is 600") {
			t.Errorf("%d bytes: got %v", n, out.Dead)
		}
	}
}

func TestRawFunctionsNeedTheMessage(t *testing.T) {
	m := loadGuest(t, newRuntime(t, Options{}), "texts-raw")
	_, err := m.Bind(t.Context(), Binding{}, slices.Delete(slices.Clone(everything), 3, 4), pipeline.NewKeys(2))
	checkError(t, err, "no column payload", "hint: put it before the first window")
}

func TestOutputsReplaceEveryColumnOfTheirName(t *testing.T) {
	keys := pipeline.NewKeys(10)
	s := bind(t, loadGuest(t, newRuntime(t, Options{}), "texts"), Binding{}, everything, keys)
	in := randomBatch(seeded(t), keys, 20)
	for _, f := range []pipeline.Field{{Name: "sum", Kind: pipeline.Text}, {Name: "more", Kind: pipeline.Int}, {Name: "sum", Kind: pipeline.Bool}} {
		c := pipeline.NewColumn(f)
		for range 20 {
			c.AppendNull()
		}
		in.Columns = append(in.Columns, c)
	}
	before := in.Schema()
	var out pipeline.Outputs
	if err := s.Process(in, &out); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(out.Main.Schema())
	if want := "[{t text} {b text} {topic text} {payload bytes} {i int} {o bool} {f number} {sum int} {more int} {has int} {odd bool}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !slices.Equal(in.Schema(), before) {
		t.Errorf("the columns of the input were changed: %v", in.Schema())
	}
}

func TestATimerWithoutEndIsSwitchedOff(t *testing.T) {
	keys := pipeline.NewKeys(10)
	s := bind(t, loadGuest(t, newRuntime(t, Options{}), "again"), Binding{}, readings, keys)
	marks := &pipeline.Marks{Idle: -1}
	chain := &pipeline.Chain{Stages: []pipeline.Stage{s}}
	got := &sheet{}
	for i := range 3 {
		b := pipeline.NewBatch(readings, keys)
		fill(b, []reading{{int64(i+1) * 10, "a", 1, false}}, uint64(i))
		marks.Observe(b)
		if err := chain.Process(b, got); err != nil {
			t.Fatal(err)
		}
	}
	if err := chain.Advance(marks, got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"n=0", fmt.Sprint("n=", ticksMax), fmt.Sprint("n=", 2*ticksMax)} {
		if !strings.HasSuffix(got.main[i], want) {
			t.Errorf("got %q, want %s", got.main[i], want)
		}
	}
	if n := s.Stats().Calls; n > 3*ticksMax+10 {
		t.Errorf("got %d calls", n)
	}
}

func TestNothingIsAllocatedForARow(t *testing.T) {
	rt := newRuntime(t, Options{})
	keys := pipeline.NewKeys(100)
	for name, s := range map[string]pipeline.Stage{
		"zscore":  bind(t, load(t, rt, "zscore"), Binding{}, readings, keys),
		"hold":    bind(t, load(t, rt, "threshold"), Binding{With: map[string]float64{"above": 21}}, readings, keys),
		"rate":    bind(t, load(t, rt, "rate-of-change"), Binding{}, readings, keys),
		"window":  newWindow(t, rt, keys, "mean", "count"),
		"all":     newWindow(t, rt, keys, "variance", "rate", "integral", "distinct", "top", "mode", "quantile"),
		"early":   newWindowOf(t, rt, keys, pipeline.Window{Size: 1e6, Early: 200_000, Correct: 1e6, PanesMax: 64}, "mean", "count"),
		"hopping": newWindowOf(t, rt, keys, pipeline.Window{Kind: pipeline.Hopping, Size: 1e6, Every: 200_000, PanesMax: 64}, "mean", "quantile"),
		"sliding": newWindowOf(t, rt, keys, pipeline.Window{Kind: pipeline.Sliding, Size: 500_000, PanesMax: 64}, "mean"),
		"session": newWindowOf(t, rt, keys, pipeline.Window{Kind: pipeline.Session, Size: 20_000, PanesMax: 64}, "mean"),
		"counted": newWindowOf(t, rt, keys, pipeline.Window{Kind: pipeline.Counted, Size: 10, Every: 2, PanesMax: 64}, "mean"),
	} {
		src, in := benchBatch(keys, 256), pipeline.NewBatch(readings, keys)
		var out pipeline.Outputs
		work := func() {
			for i := range src.Time {
				src.Time[i] += 256_000
				src.Mark[i] = src.Time[i] - 1000
			}
			in.CopyFrom(src)
			if err := s.Process(in, &out); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			work()
		}
		if n := testing.AllocsPerRun(50, work); n != 0 {
			t.Errorf("%s: got %v allocations for 256 rows, want 0", name, n)
		}
	}
}
