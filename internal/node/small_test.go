package node

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/internal/metrics"
)

const small = `
pipelines:
  motors:
    from: plant/{device}
    time: ts
    key: device
    idle: 20s
    steps:
      - rename: {temp: celsius, celsius: temp}
      - lookup: {topic: "limits/{device}", fields: {limit: number}}
      - set: {over: celsius - (limit ?? 60), hot: over > 0}
      - dedupe: {within: 1m}
      - fill: {every: 1s, with: linear, fields: [celsius]}
      - deadband: {fields: {celsius: 5}, every: 10s}
      - compress: {field: celsius, deviation: 2, every: 30s}
      - convert: {celsius: C to F}
      - round: {celsius: 1}
    to: [{topic: "out/{device}"}]
`

// smallStory is a story with changes of limits in it.
func smallStory(random *rand.Rand, messages int) []instant {
	all := story(random, messages)
	for i := range all {
		if r := &all[i].rec; r.Offset > 0 {
			r.Topic = fmt.Appendf(nil, "plant/m%d", random.IntN(5))
			switch random.IntN(8) {
			case 0:
				r.Topic, r.Payload = fmt.Appendf(nil, "limits/m%d", random.IntN(5)), fmt.Appendf(nil, `{"limit":%d}`, 40+random.IntN(40))
			case 1:
				r.Topic, r.Payload = fmt.Appendf(nil, "limits/m%d", random.IntN(5)), nil
			}
		}
	}
	return all
}

func TestBatchingOfSmallStepsDoesNotShow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := load(t, small)
	messages := smallStory(random, 3000)
	want := sorted(tell(t, compile(t, f)[0], messages, func() int { return 1 }))
	for _, word := range []string{`"limit":`, `"hot":true`, `"hot":false`, `"celsius":`} {
		if !strings.Contains(want, word) {
			t.Fatalf("the story has no %q; it must have everything:\n%.2000s", word, want)
		}
	}
	for _, cut := range []func() int{func() int { return 1000 }, func() int { return 1 + random.IntN(30) }} {
		if got := sorted(tell(t, compile(t, f)[0], messages, cut)); got != want {
			t.Fatalf("other results when cut in another way:\n%s", firstDifference(got, want))
		}
	}
}

func TestSavingsAreCounted(t *testing.T) {
	p := compile(t, load(t, small))[0]
	m := metrics.New()
	showSavings(p, m)
	n := &notebook{t: t}
	for i := range 20 {
		rec := journal.Record{Offset: uint64(i + 1), Arrived: 1e15, Topic: []byte("plant/m1"), Payload: []byte(`{"ts":1000,"celsius":20}`)}
		if err := p.Process([]journal.Record{rec}, n); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	if _, err := m.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`millrace_step_rows_in_total{pipeline="motors",step="steps[3] dedupe"} 20`,
		`millrace_step_rows_out_total{pipeline="motors",step="steps[3] dedupe"} 1`,
		`millrace_step_rows_in_total{pipeline="motors",step="steps[5] deadband"} 1`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got\n%s\nwant %s", text.String(), want)
		}
	}
}

// A field whose kind a later step tells under its new name is decoded alone.
func TestAPlanKnowsRenamedFields(t *testing.T) {
	for _, c := range []struct {
		steps, to string
		open      bool
		fields    string
	}{
		{"[{rename: {t: temp}}, {where: temp > 3}]", "out/{temp}", false, "[{t number}]"},
		{"[{rename: {t: temp}}]", "out/{temp}", true, "[]"},
		{"[{keep: [temp, device]}, {where: temp > 3}]", "out/{device}", false, "[{temp number}]"},
		{"[{keep: [temp, device]}]", "out/{device}", true, "[]"},
		{"[{set: {temp: volts * 2}}, {where: temp > 3}]", "out/{temp}", false, "[{volts number}]"},
		{"[{rename: {device: machine}}, {where: machine == \"a\"}]", "out/{machine}", false, "[]"},
		{"[{rename: {a: b, b: a}}, {where: a > 3 and b == \"x\"}]", "out/{a}", false, "[{b number} {a text}]"},
		{"[{dedupe: {by: [id, time], within: 1s}}, {where: id == \"x\"}]", "out/{id}", false, "[{id text}]"},
		{"[{drop: [secret]}, {where: id == \"x\"}]", "out/{id}", false, "[{id text}]"},
		{"[{geo: {cell: 5}}, {where: cell == \"u33db\"}]", "out/{cell}", false, "[{lat number} {lon number}]"},
	} {
		f := load(t, fmt.Sprintf("pipelines:\n  p:\n    from: in/{device}\n    steps: %s\n    to: [{topic: %q, fields: [%s]}]\n", c.steps, c.to, strings.Trim(strings.TrimPrefix(c.to, "out/"), "{}")))
		p := compile(t, f)[0]
		if got := fmt.Sprint(p.fields); p.Open != c.open || got != c.fields {
			t.Errorf("%s: got open %v and %s, want %v and %s", c.steps, p.Open, got, c.open, c.fields)
		}
	}
}

func TestMistakesInSmallStepsAreToldWithTheirPlace(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "device,site\nm1,x\nm1,y\n", "bad.geojson": "{}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ step, want string }{
		{"set: {power: volts * }", "the expression ends too early"},
		{"set: {power: volts * 'x'}", "* wants numbers"},
		{"convert: {temp: F to kW}", "kW is no temperature"},
		{"convert: {temp: Foo to C}", `unknown unit "Foo"`},
		{"lookup: {file: a.csv, by: device}", "line 3: m1 is there already, on line 2"},
		{"lookup: {file: none.csv, by: device}", "no such file"},
		{"geo: {fences: bad.geojson}", "want a FeatureCollection"},
		{"rename: {device: topic, x: device, y: device}", `"device" is there twice`},
		{"hash: {fields: [n], secret_file: none}", "no such file"},
	} {
		path := filepath.Join(dir, "p.yaml")
		src := "pipelines:\n  p:\n    from: in/{device}\n    steps:\n      - " + c.step + "\n    to: [{topic: out, fields: [device]}]\n"
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := config.Load(path)
		if err == nil {
			rt, rtErr := NewRuntime(t.Context(), f, slog.New(slog.DiscardHandler))
			if rtErr != nil {
				t.Fatal(rtErr)
			}
			_, err = Compile(t.Context(), f, rt)
			rt.Close(t.Context())
		}
		var ps config.Problems
		if !errors.As(err, &ps) || len(ps) != 1 || ps[0].Line != 5 || !strings.Contains(ps[0].Error(), c.want) {
			t.Errorf("%s: got %v, want one problem in line 5 with %s", c.step, err, c.want)
		}
	}
}
