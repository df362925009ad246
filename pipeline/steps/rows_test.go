package steps

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// temps are readings of one device, a second apart; nil is null.
func temps(values ...any) []row {
	var rows []row
	for i, v := range values {
		rows = append(rows, row{at: int64(i) * 1e6, offset: uint64(i + 1), device: "m1", values: []any{v}})
	}
	return rows
}

// times returns the seconds of what came out.
func times(lines []string) []string {
	var all []string
	for _, l := range lines {
		var at int64
		fmt.Sscan(l, &at)
		all = append(all, fmt.Sprint(float64(at)/1e6))
	}
	return all
}

func TestADeadbandTellsWhatIsNew(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		band  Band
		every int64
		temps []any
		want  []string
	}{
		{Band{"temp", 1, 0}, 0, []any{20, 21, 19, 21.1, 20.2, 22.2}, []string{"0", "3", "5"}},
		{Band{"temp", 0, 10}, 0, []any{-100, -110, -111, -100, -99, 0, 0, 0.1}, []string{"0", "2", "4", "5", "7"}},
		{Band{"temp", 1, 10}, 0, []any{100, 111, 111.1}, []string{"0", "2"}},
		{Band{"temp", 0, 0}, 0, []any{1, 1, 2, 2, 1}, []string{"0", "2", "4"}},
		{Band{"temp", 1, 0}, 3e6, []any{20, 20, 20, 20, 20, 30, 30, 30, 30}, []string{"0", "3", "5", "8"}},
		{Band{"temp", 1, 0}, 0, []any{nil, nil, 1, nil, nil, 1}, []string{"0", "2", "3", "5"}},
		{Band{"temp", 1, 0}, 0, []any{nan, nan, 1, nan}, []string{"0", "2", "3"}},
		{Band{"temp", 1, 50}, 0, []any{math.Inf(1), math.Inf(1), 5, math.Inf(-1)}, []string{"0", "2", "3"}},
	} {
		keys := pipeline.NewKeys(10)
		d := must(NewDeadband([]Band{c.band}, c.every, readings, keys))
		check(t, times(through(t, d, keys, temps(c.temps...)...)), c.want)
	}
	_, err := NewDeadband([]Band{{"temp", -1, 0}}, 0, readings, nil)
	wrong(t, err, "fields.temp", "not negative")
	_, err = NewDeadband([]Band{{"tmp", 1, 0}}, 0, readings, nil)
	wrong(t, err, "fields.tmp", `unknown column "tmp"`)
	_, err = NewDeadband([]Band{{"state", 1, 0}}, 0, readings, nil)
	wrong(t, err, "fields.state", "column state is text, and number is wanted")
}

// What is left out of compressed readings is on the lines between those that
// are left, give or take the deviation; and much is left out.
func TestCompressedReadingsAreOnTheLine(t *testing.T) {
	r := seeded(t)
	for range 50 {
		keys := pipeline.NewKeys(10)
		deviation := r.Float64()
		every := int64(0)
		if r.IntN(2) == 0 {
			every = 40e6
		}
		c := must(NewCompress(CompressConfig{Field: "temp", Deviation: deviation, Every: every}, readings, keys))
		var rows []row
		level, slope, at := 0.0, 0.0, int64(0)
		for i := range 500 {
			dt := 1 + r.Int64N(2e6)
			at += dt
			if r.IntN(30) == 0 {
				slope = r.NormFloat64() / 5e6
			}
			level += slope * float64(dt)
			rows = append(rows, row{at: at, offset: uint64(i + 1), device: "m1", values: []any{level + deviation*(r.Float64()-0.5)}})
		}
		b := pipeline.NewBatch(readings, keys)
		fill(b, rows...)
		var out pipeline.Outputs
		if err := c.Process(b, &out); err != nil {
			t.Fatal(err)
		}
		left := out.Main
		if left.Rows() > len(rows)/2 {
			t.Errorf("got %d rows of %d, want fewer", left.Rows(), len(rows))
		}
		for i := range left.Rows() - 1 {
			if gap := left.Time[i+1] - left.Time[i]; every > 0 && gap > every {
				t.Fatalf("got %d µs without a row, the most is %d", gap, every)
			}
			for _, x := range rows {
				if x.at <= left.Time[i] || x.at >= left.Time[i+1] {
					continue
				}
				from, to := left.Columns[1].Floats[i], left.Columns[1].Floats[i+1]
				line := from + (to-from)*float64(x.at-left.Time[i])/float64(left.Time[i+1]-left.Time[i])
				if off := math.Abs(line - x.values[0].(float64)); off > deviation*(1+1e-9) {
					t.Fatalf("got a reading %v off the line, the most is %v", off, deviation)
				}
			}
		}
	}
}

func TestACompressedSeriesBendsWhereItBends(t *testing.T) {
	keys := pipeline.NewKeys(10)
	c := must(NewCompress(CompressConfig{Field: "temp", Deviation: 0.1}, readings, keys))
	check(t, times(through(t, c, keys, temps(0, 1, 2, 3, 3, 3, 3, nil, nil, 5, math.Inf(1), 5, 6)...)), []string{"0", "3", "6", "7", "8", "9", "10", "11"})
	_, err := NewCompress(CompressConfig{Field: "temp", Deviation: -1}, readings, keys)
	wrong(t, err, "deviation", "not negative")
	_, err = NewCompress(CompressConfig{Field: "on"}, readings, keys)
	wrong(t, err, "field", "column on is bool")
}

func TestASampleIsTheFirstOfMany(t *testing.T) {
	for _, c := range []struct {
		rows  int
		every int64
		want  []string
	}{
		{1, 0, []string{"0", "1", "2", "3", "4", "5", "6"}},
		{2, 0, []string{"0", "2", "4", "6"}},
		{3, 0, []string{"0", "3", "6"}},
		{0, 2e6, []string{"0", "2", "4", "6"}},
		{0, 5e6, []string{"0", "5"}},
	} {
		keys := pipeline.NewKeys(10)
		s := must(NewSample(c.rows, c.every, readings, keys))
		check(t, times(through(t, s, keys, temps(1, 2, 3, 4, 5, 6, 7)...)), c.want)
	}
	_, err := NewSample(1, 1, readings, nil)
	wrong(t, err, "", "a sample is one of")
}

// No stretch of the length has more rows than are allowed, and no row is
// dropped that could have passed.
func TestAThrottleAllowsSoManyInAnyStretch(t *testing.T) {
	r := seeded(t)
	const per = 10e6
	for range 50 {
		most := 1 + r.IntN(5)
		keys := pipeline.NewKeys(10)
		th := must(NewThrottle(most, per, readings, keys))
		var rows []row
		at := int64(0)
		for i := range 200 {
			at += r.Int64N(5e6)
			rows = append(rows, row{at: at, offset: uint64(i + 1), device: "m1"})
		}
		b := pipeline.NewBatch(readings, keys)
		fill(b, rows...)
		var out pipeline.Outputs
		if err := th.Process(b, &out); err != nil {
			t.Fatal(err)
		}
		var want []int64
		for _, x := range rows {
			in := 0
			for _, p := range want {
				if x.at-p < per {
					in++
				}
			}
			if in < most {
				want = append(want, x.at)
			}
		}
		if !slices.Equal(out.Main.Time, want) {
			t.Fatalf("%d in a stretch: got %v, want %v", most, out.Main.Time, want)
		}
	}
	_, err := NewThrottle(ThrottleRowsMax+1, 1, readings, nil)
	wrong(t, err, "rows", "1 to 1000")
	_, err = NewThrottle(1, 0, readings, nil)
	wrong(t, err, "per", "above 0")
}

// Dedupe is a list of what passed, the oldest forgotten.
func TestADedupeDropsWhatItRemembers(t *testing.T) {
	r := seeded(t)
	for range 50 {
		c := DedupeConfig{Columns: []string{"count", "state"}, Time: r.IntN(2) == 0, Within: 20e6, Most: 1 + r.IntN(12)}
		keys := pipeline.NewKeys(10)
		d := must(NewDedupe(c, readings, false, keys))
		type key struct {
			device, value string
			arrived       int64
		}
		var list []key
		var rows []row
		var want []int64
		at := int64(0)
		for i := range 300 {
			at += r.Int64N(4e6)
			x := row{at: at - r.Int64N(3)*1e6, arrived: at, offset: uint64(i + 1), device: device(r), values: []any{r.Float64(), r.IntN(3), fmt.Sprint(r.IntN(2))}}
			if r.IntN(5) == 0 {
				x.values[1] = nil
			}
			rows = append(rows, x)
			k := key{x.device, fmt.Sprint(x.values[1:]), at}
			if c.Time {
				k.value += fmt.Sprint(x.at)
			}
			for len(list) > 0 && at-list[0].arrived > c.Within {
				list = list[1:]
			}
			if slices.ContainsFunc(list, func(o key) bool { return o.device == k.device && o.value == k.value }) {
				continue
			}
			if len(list) == c.Most {
				list = list[1:]
			}
			list, want = append(list, k), append(want, x.at)
		}
		b := pipeline.NewBatch(readings, keys)
		fill(b, rows...)
		var out pipeline.Outputs
		if err := d.Process(b, &out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out.Main.Time, want) {
			t.Fatalf("%+v: got %d rows, want %d", c, out.Main.Rows(), len(want))
		}
	}
	for _, c := range []struct {
		c         DedupeConfig
		at, words string
	}{
		{DedupeConfig{Within: 1, Most: 1, Columns: []string{"x"}}, "by", "unknown column"},
		{DedupeConfig{Most: 1, All: true}, "within", "above 0"},
		{DedupeConfig{Within: 1, All: true}, "most", "at least one"},
	} {
		_, err := NewDedupe(c.c, readings, false, nil)
		wrong(t, err, c.at, c.words)
	}
}

func TestAFillMakesWhatIsMissing(t *testing.T) {
	two := func(from, to any, seconds int64) []row {
		return []row{{at: 0, offset: 1, device: "m1", values: []any{from, 1}}, {at: seconds * 1e6, offset: 2, device: "m1", values: []any{to, 4}}}
	}
	for _, c := range []struct {
		how  string
		most int
		rows []row
		want []string
	}{
		{FillLinear, 9, two(1, 4, 3), []string{`0 count=1 device="m1" temp=1`, `1000000 count=2 device="m1" temp=2`, `2000000 count=3 device="m1" temp=3`, `3000000 count=4 device="m1" temp=4`}},
		{FillLast, 9, two(1, 4, 2), []string{`0 count=1 device="m1" temp=1`, `1000000 count=1 device="m1" temp=1`, `2000000 count=4 device="m1" temp=4`}},
		{FillValue, 9, two(1, 4, 2), []string{`0 count=1 device="m1" temp=1`, `1000000 count=7 device="m1" temp=7`, `2000000 count=4 device="m1" temp=4`}},
		{FillLinear, 9, two(nil, 4, 2), []string{`0 count=1 device="m1"`, `1000000 count=3 device="m1"`, `2000000 count=4 device="m1" temp=4`}},
		{FillLinear, 1, two(1, 4, 3), []string{`0 count=1 device="m1" temp=1`, `3000000 count=4 device="m1" temp=4`}},
		{FillLast, 1, two(1, 4, 3), []string{`0 count=1 device="m1" temp=1`, `1000000 count=1 device="m1" temp=1`, `3000000 count=4 device="m1" temp=4`}},
		{FillLast, 9, two(1, 4, 1), []string{`0 count=1 device="m1" temp=1`, `1000000 count=4 device="m1" temp=4`}},
		{FillLast, 9, two(1, 4, -5), []string{`0 count=1 device="m1" temp=1`, `-5000000 count=4 device="m1" temp=4`}},
	} {
		keys := pipeline.NewKeys(10)
		f := must(NewFill(FillConfig{Every: 1e6, How: c.how, Value: 7, Fields: []string{"temp", "count"}, Most: c.most}, readings, keys))
		check(t, through(t, f, keys, c.rows...), c.want)
	}
	for _, c := range []struct {
		c         FillConfig
		at, words string
	}{
		{FillConfig{How: FillLast, Most: 1}, "every", "above 0"},
		{FillConfig{Every: 1, How: FillLast}, "most", "0 rows"},
		{FillConfig{Every: 1, How: FillLast, Most: FillMost + 1}, "most", "1 to 100000"},
		{FillConfig{Every: 1, How: "next", Most: 1}, "with", `unknown way to fill "next"`},
		{FillConfig{Every: 1, How: FillLinear, Most: 1}, "", "nothing says which columns"},
		{FillConfig{Every: 1, How: FillLast, Most: 1, Fields: []string{"state"}}, "fields", "column state is text"},
	} {
		_, err := NewFill(c.c, readings, nil)
		wrong(t, err, c.at, c.words)
	}
}
