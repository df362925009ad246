package steps

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/expr"
)

// A happening is a reading, time that passes (now), or a change of a table.
type happening struct {
	row
	now    int64
	change bool
}

// story makes readings of a few devices, some late, some without values,
// with time passing and gaps in between.
func story(r *rand.Rand, n int) []happening {
	var all []happening
	at, level := int64(1e12), 20.0
	for i := range n {
		at += r.Int64N(2e6)
		switch r.IntN(40) {
		case 0:
			at += r.Int64N(60e6)
			all = append(all, happening{now: at})
			continue
		case 1:
			level += r.NormFloat64() * 10
		case 2:
			all = append(all, happening{change: true, row: row{device: device(r), values: []any{float64(r.IntN(50))}}})
			continue
		}
		x := row{at: at, arrived: at + r.Int64N(1000), offset: uint64(i + 1), device: device(r)}
		if r.IntN(10) == 0 {
			x.at -= r.Int64N(20e6)
		}
		x.values = []any{level + r.NormFloat64(), r.IntN(5), fmt.Sprint("s", r.IntN(3)), r.IntN(2) == 0, 50 + r.Float64(), 8 + r.Float64()}
		for k := range x.values {
			if r.IntN(15) == 0 {
				x.values[k] = nil
			}
		}
		all = append(all, happening{row: x})
	}
	return append(all, happening{now: at + 300e6})
}

func device(r *rand.Rand) string { return fmt.Sprint("m", r.IntN(6)) }

type maker func(keys *pipeline.Keys) []pipeline.Stage

// makers are all stages, alone and together.
func makers() map[string]maker {
	one := func(make func(keys *pipeline.Keys) (Step, error)) maker {
		return func(keys *pipeline.Keys) []pipeline.Stage { return []pipeline.Stage{must(make(keys))} }
	}
	step := func(s Step, err error) (Step, error) { return s, err }
	limits := pipeline.Schema{{Name: "limit", Kind: pipeline.Float}}
	all := map[string]maker{
		"set": one(func(*pipeline.Keys) (Step, error) { return step(expr.NewSet("temp", "temp * 2 + count", readings)) }),
		"keep": one(func(*pipeline.Keys) (Step, error) {
			return step(NewKeep([]string{"temp", "late", "device"}, readings, true))
		}),
		"drop": one(func(*pipeline.Keys) (Step, error) { return step(NewDrop([]string{"temp", "late"}, readings, true)) }),
		"rename": one(func(*pipeline.Keys) (Step, error) {
			return step(NewRename([]Renaming{{"temp", "state"}, {"state", "temp"}, {"late", "on"}, {"on", "late"}}, readings, true))
		}),
		"round": one(func(*pipeline.Keys) (Step, error) {
			return step(NewRound([]Rounding{{"temp", 1}, {"count", 0}}, readings))
		}),
		"convert": one(func(*pipeline.Keys) (Step, error) {
			return step(NewConvert([]Conversion{{"temp", "F to C"}, {"count", "W to kW"}}, readings))
		}),
		"hash": one(func(*pipeline.Keys) (Step, error) {
			return step(NewHash(HashConfig{Fields: []string{"device", "state"}, Key: []byte("k"), Digits: 16}, readings))
		}),
		"deadband": one(func(k *pipeline.Keys) (Step, error) {
			return step(NewDeadband([]Band{{"temp", 1, 2}, {"count", 1, 0}}, 20e6, readings, k))
		}),
		"compress": one(func(k *pipeline.Keys) (Step, error) {
			return step(NewCompress(CompressConfig{Field: "temp", Deviation: 1, Every: 15e6}, readings, k))
		}),
		"dedupe": one(func(k *pipeline.Keys) (Step, error) {
			return step(NewDedupe(DedupeConfig{Columns: []string{"count", "state", "late"}, Within: 30e6, Most: 20}, readings, true, k))
		}),
		"dedupe all": one(func(k *pipeline.Keys) (Step, error) {
			return step(NewDedupe(DedupeConfig{All: true, Time: true, Within: 30e6, Most: 20}, readings, true, k))
		}),
		"sample rows":     one(func(k *pipeline.Keys) (Step, error) { return step(NewSample(3, 0, readings, k)) }),
		"sample interval": one(func(k *pipeline.Keys) (Step, error) { return step(NewSample(0, 7e6, readings, k)) }),
		"throttle":        one(func(k *pipeline.Keys) (Step, error) { return step(NewThrottle(3, 20e6, readings, k)) }),
		"lookup": one(func(*pipeline.Keys) (Step, error) {
			return step(NewLookup([]string{"device"}, NewTable(limits, 4), true, readings))
		}),
		"geo": one(func(k *pipeline.Keys) (Step, error) {
			return step(NewGeo(GeoConfig{Lat: "lat", Lon: "lon", Cell: 7, Fences: squares()}, readings, k))
		}),
	}
	for _, c := range []FillConfig{
		{Stage: "a", Every: 3e6, How: FillLast, Most: 10},
		{Stage: "a", Every: 3e6, How: FillLinear, Fields: []string{"temp", "count"}, Most: 10},
		{Stage: "a", Every: 3e6, How: FillValue, Value: -1, Fields: []string{"temp"}, Most: 5},
	} {
		all["fill "+c.How] = one(func(k *pipeline.Keys) (Step, error) { return step(NewFill(c, readings, k)) })
	}
	all["together"] = func(k *pipeline.Keys) []pipeline.Stage {
		return []pipeline.Stage{
			must(NewDedupe(DedupeConfig{Columns: []string{"count"}, Within: 1e6, Most: 20}, readings, true, k)),
			must(NewFill(FillConfig{Stage: "b", Every: 5e6, How: FillLast, Most: 10}, readings, k)),
			must(NewCompress(CompressConfig{Field: "temp", Deviation: 1, Every: 15e6}, readings, k)),
			must(NewFill(FillConfig{Stage: "c", Every: 2e6, How: FillLinear, Fields: []string{"temp"}, Most: 10}, readings, k)),
			must(NewDeadband([]Band{{"temp", 0.5, 0}}, 0, readings, k)),
			must(NewRound([]Rounding{{"temp", 1}}, readings)),
		}
	}
	return all
}

// squares are two fences that overlap.
func squares() []Fence {
	fences, err := ReadFences(strings.NewReader(`{"type":"FeatureCollection","features":[
		{"properties":{"name":"west"},"geometry":{"type":"Polygon","coordinates":[[[8,50],[8.5,50],[8.5,51],[8,51],[8,50]]]}},
		{"properties":{"name":"middle","radius":20000},"geometry":{"type":"Point","coordinates":[8.5,50.5]}}]}`))
	if err != nil {
		panic(err)
	}
	return fences
}

// play sends a story through a chain, cut into batches of the sizes that cut
// gives; where stop says so, all is put down as snapshots and taken up by new
// stages whose keys have other codes. Payloads have the field late from a
// certain message on, and batches a column for it from then on.
func play(t *testing.T, make maker, all []happening, cut func() int, stop func() bool, r *rand.Rand) string {
	t.Helper()
	keys := pipeline.NewKeys(100)
	marks := newMarks()
	chain := &pipeline.Chain{Stages: make(keys)}
	got := &sheet{}
	for from := 0; from < len(all); {
		from = advance(t, keys, marks, chain, all, from, cut(), got)
		if !stop() {
			continue
		}
		keys = pipeline.NewKeys(100)
		for _, k := range r.Perm(6) {
			keys.Code(fmt.Append(nil, "m", k))
		}
		marks = newMarks()
		for at := 0; at < from; {
			at = advance(t, keys, marks, &pipeline.Chain{}, all[:from], at, 10, &sheet{})
		}
		chain = &pipeline.Chain{Stages: again(t, chain.Stages, make(keys))}
	}
	return strings.Join(got.lines, "\n")
}

func newMarks() *pipeline.Marks { return &pipeline.Marks{Lateness: 2e6, Idle: 10e6} }

// again restores snapshots of old in fresh.
func again(t *testing.T, old, fresh []pipeline.Stage) []pipeline.Stage {
	t.Helper()
	for i := range old {
		from, ok := old[i].(pipeline.Snapshotter)
		if !ok {
			continue
		}
		snapshot, err := from.Snapshot([]byte("x"))
		if err == nil {
			err = fresh[i].(pipeline.Snapshotter).Restore(snapshot[1:])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fresh
}

// advance takes at most n readings, or one other happening, from all.
func advance(t *testing.T, keys *pipeline.Keys, marks *pipeline.Marks, chain *pipeline.Chain, all []happening, from, n int, got *sheet) int {
	t.Helper()
	if h := all[from]; h.change {
		b := pipeline.NewBatch(pipeline.Schema{{Name: "device", Kind: pipeline.Text}, {Name: "limit", Kind: pipeline.Float}}, pipeline.NewKeys(100))
		if int(h.values[0].(float64))%7 == 0 {
			h.values = nil
		}
		fill(b, h.row)
		for _, s := range chain.Stages {
			if l, ok := s.(*Lookup); ok {
				l.Update(b)
			}
		}
		return from + 1
	}
	if now := all[from].now; now > 0 {
		marks.Advance(now)
		if err := chain.Advance(marks, got); err != nil {
			t.Fatal(err)
		}
		return from + 1
	}
	schema := readings
	if from > len(all)/3 {
		schema = schema.With(pipeline.Field{Name: "late", Kind: pipeline.Float})
	}
	b := pipeline.NewBatch(schema, keys)
	to := from
	for to < len(all) && to-from < n && all[to].now == 0 && !all[to].change {
		if to == len(all)/3+1 && len(schema) == len(readings) {
			break // the column comes with a new batch
		}
		x := all[to].row
		if len(schema) > len(readings) && to%3 > 0 {
			x.values = append(x.values[:6:6], float64(to%5))
		}
		fill(b, x)
		to++
	}
	marks.Observe(b)
	if err := chain.Process(b, got); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestBatchingAndRestartsDoNotShow(t *testing.T) {
	r := seeded(t)
	all := story(r, 1500)
	never := func() bool { return false }
	for name, make := range makers() {
		want := play(t, make, all, func() int { return 1 }, never, r)
		if strings.Count(want, "\n") < 20 {
			t.Errorf("%s: got %d rows, the story shows nothing", name, strings.Count(want, "\n"))
		}
		for how, got := range map[string]string{
			"in large batches":       play(t, make, all, func() int { return 256 }, never, r),
			"in batches":             play(t, make, all, func() int { return 1 + r.IntN(20) }, never, r),
			"with restarts":          play(t, make, all, func() int { return 1 + r.IntN(50) }, func() bool { return r.IntN(8) == 0 }, r),
			"restarted all along":    play(t, make, all[:150], func() int { return 1 }, func() bool { return true }, r),
			"a part with no restart": play(t, make, all[:150], func() int { return 30 }, never, r),
		} {
			want := want
			if strings.HasSuffix(how, "along") || strings.HasPrefix(how, "a part") {
				want = play(t, make, all[:150], func() int { return 1 }, never, r)
			}
			if got != want {
				t.Errorf("%s %s: other results:\n%s", name, how, firstDifference(got, want))
			}
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// Ids of results rest on key, offset and ordinal.
func TestNoTwoRowsAreOneResult(t *testing.T) {
	r := seeded(t)
	all := story(r, 3000)
	for name, make := range makers() {
		seen := map[string]bool{}
		for line := range strings.Lines(play(t, make, all, func() int { return 100 }, func() bool { return false }, r)) {
			_, id, _ := strings.Cut(line, " key ")
			id = strings.Join(strings.Fields(id)[:5], " ")
			if seen[id] {
				t.Fatalf("%s: two rows with %s", name, id)
			}
			seen[id] = true
		}
	}
}

func TestADamagedSnapshotIsRefusedOrHarmless(t *testing.T) {
	r := seeded(t)
	all := story(r, 200)
	for name, make := range makers() {
		keys := pipeline.NewKeys(100)
		chain := &pipeline.Chain{Stages: make(keys)}
		marks := newMarks()
		for at := 0; at < len(all)-1; {
			at = advance(t, keys, marks, chain, all, at, 20, &sheet{})
		}
		for i, s := range chain.Stages {
			s, ok := s.(pipeline.Snapshotter)
			if !ok {
				continue
			}
			good, err := s.Snapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			for cut := range len(good) {
				if err := make(pipeline.NewKeys(100))[i].(pipeline.Snapshotter).Restore(good[:cut]); err == nil {
					t.Fatalf("%s: %d bytes of %d are taken for a snapshot", name, cut, len(good))
				}
			}
			for range 300 {
				bad := append([]byte(nil), good...)
				bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
				keys := pipeline.NewKeys(100)
				stages := make(keys)
				if stages[i].(pipeline.Snapshotter).Restore(bad) == nil { // then it must not hurt
					advance(t, keys, newMarks(), &pipeline.Chain{Stages: stages[i : i+1]}, all, 0, 20, &sheet{})
				}
			}
		}
	}
}
