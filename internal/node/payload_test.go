package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/internal/journal"
)

// outOf sends messages, topic and payload in turn, through the first pipeline
// and returns the rows that come out, as JSON, and the reasons of dead letters.
func outOf(t *testing.T, yaml string, messages ...string) (lines []string) {
	t.Helper()
	p := compile(t, load(t, yaml))[0]
	n := &notebook{t: t}
	for i := 0; i < len(messages); i += 2 {
		rec := journal.Record{Offset: uint64(i + 1), Arrived: 1767225600e6, Topic: []byte(messages[i]), Payload: []byte(messages[i+1])}
		if err := p.Process([]journal.Record{rec}, n); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(n.text.String()) {
		if at := strings.IndexByte(line, '{'); at >= 0 {
			line = line[at:]
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func checkOut(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAMetricLevelPivots(t *testing.T) {
	checkOut(t, outOf(t, `
pipelines:
  p:
    from: shellies/{device}/sensor/{metric}
    steps: [{where: temperature > 30 or battery < 10}]
    to: [{topic: "alerts/{device}"}]
`, "shellies/a/sensor/temperature", "31.5", "shellies/a/sensor/battery", "50", "shellies/b/sensor/battery", "5", "shellies/b/sensor/flood", "wet"),
		`{"time":"2026-01-01T00:00:00.000Z","device":"a","topic":"shellies/a/sensor/temperature","temperature":31.5}`,
		`{"time":"2026-01-01T00:00:00.000Z","device":"b","topic":"shellies/b/sensor/battery","battery":5}`,
		`dead 7 decode: payload: not JSON: want a value at byte 0`)
}

func TestAnArrayIsExplodedWithTimes(t *testing.T) {
	checkOut(t, outOf(t, `
pipelines:
  p:
    from: plant/{device}/block
    explode: samples
    time: {field: start, step: 10ms}
    steps: [{where: value > 1}]
    to: [{file: {path: x, fields: [device, value, unit]}}]
    fields: {unit: text}
`, "plant/m/block", `{"start":1767225600000,"samples":[1,2,3],"unit":"g"}`),
		`{"time":"2026-01-01T00:00:00.010Z","device":"m","unit":"g","value":2}`, `{"time":"2026-01-01T00:00:00.020Z","device":"m","unit":"g","value":3}`)
}

func TestCSVAndZonesComeFromTheFile(t *testing.T) {
	checkOut(t, outOf(t, `
pipelines:
  p:
    from: loggers/{device}
    decode: {format: csv, columns: [at, temp, ""], separator: ";", charset: latin1}
    time: {field: at, unit: rfc3339, zone: Europe/Berlin}
    fields: {temp: number}
    to: [{file: {path: x, fields: [device, temp]}}]
`, "loggers/a", "2026-01-01T01:00:01;20.5;gr\xfcn\n2026-01-01T01:00:02;;"),
		`{"time":"2026-01-01T00:00:01.000Z","device":"a","temp":20.5}`, `{"time":"2026-01-01T00:00:02.000Z","device":"a"}`)
}

func TestAMissingDescriptorIsToldWithItsPlace(t *testing.T) {
	f := load(t, "pipelines: {p: {from: a, decode: {format: protobuf, descriptor: none.pb, message: M}, to: [{topic: b}]}}")
	broken := filepath.Join(filepath.Dir(f.Path), "broken.pb")
	if err := os.WriteFile(broken, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	rt, err := NewRuntime(t.Context(), f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(context.Background())
	for _, descriptor := range []string{"none.pb", "broken.pb"} {
		f.Pipelines[0].Decode.Descriptor = descriptor
		_, err := Compile(t.Context(), f, rt)
		var ps config.Problems
		if !errors.As(err, &ps) || len(ps) != 1 || ps[0].Line != 1 {
			t.Errorf("%s: got %v, want one problem with its place", descriptor, err)
		}
	}
}

// A pressBox is a publisher that tells what is published.
type pressBox chan [2]string

func (p pressBox) Publish(topic, payload []byte, _ byte, _ bool, _ uint8) error {
	p <- [2]string{string(topic), string(payload)}
	return nil
}

func TestEdgeNodesThatAreNotKnownAreAskedForRebirth(t *testing.T) {
	p := compile(t, load(t, "pipelines: {p: {from: spBv1.0/#, decode: sparkplug, to: [{file: {path: x}}]}}"))[0]
	box := make(pressBox, rebirthsMax)
	r := newRebirths(box, slog.New(slog.DiscardHandler))
	p.rebirth = r.ask
	rec := journal.Record{Offset: 1, Arrived: 1767225600e6, Topic: []byte("spBv1.0/g/NDATA/n"), Payload: []byte("\x18\x01")}
	if err := p.Process([]journal.Record{rec}, &notebook{t: t}); err != nil {
		t.Fatal(err)
	}
	for range 2 * rebirthsMax {
		r.ask("g", "other") // does not wait
	}
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	g.Go(func() { r.run(ctx) })
	if got := <-box; got[0] != decode.RebirthTopic("g", "n") || !strings.Contains(got[1], "Node Control/Rebirth") {
		t.Errorf("got %q", got)
	}
	for range rebirthsMax - 1 {
		<-box
	}
	cancel()
	g.Wait()
	if len(box) > 0 {
		t.Errorf("got %d requests more than the most", len(box))
	}
}
