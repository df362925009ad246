package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"millrace.dev/millrace/broker"
)

// rewrite puts another configuration in the place of the one that runs, at
// once, as careful editors do.
func (r *running) rewrite(yaml string) {
	r.t.Helper()
	next := r.path + ".new"
	if err := os.WriteFile(next, []byte(listenAnywhere+yaml), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, r.path); err != nil {
		r.t.Fatal(err)
	}
}

// counted is a configuration with a window of 100 messages and a copy of
// each; changed says what is different in the copy.
func counted(changed string) string {
	return `
pipelines:
  windows:
    from: in/{device}
    time: n
    key: device
    idle: never
    steps:
      - window: {tumbling: 100ms, fields: {n: count(), first: first(n), last: last(n)}}
    to:
      - topic: windows/{device}
        qos: 1
  copies:
    from: in/{device}
    time: n
    key: device
    fields: {n: int}
    steps:
` + changed + `
    to:
      - file: {path: copies.ndjson, fields: [device, n]}
`
}

// number is what the results of counted have.
type number struct {
	Device         string
	N, First, Last float64
}

func TestNothingIsLostOrTwiceWhileAConfigurationChanges(t *testing.T) {
	t.Parallel()
	r := start(t, counted("      - where: n >= 0"))
	windows := r.sub("5", "windows/#")
	var all sync.WaitGroup
	changed := make(chan struct{})
	sent := make([]int, 2)
	for c := range sent {
		all.Go(func() { sent[c] = publishNumbers(t, r, c, changed) })
	}
	for i := range 3 {
		r.rewrite(counted(fmt.Sprintf("      - where: n >= -%d\n      - set: {k: n + %d}", i+1, i)))
		r.metric(`millrace_reloads_total{result="done"}`, fmt.Sprint(i+1))
	}
	close(changed)
	all.Wait()
	r.metric(`millrace_pipeline_messages_in_total{pipeline="copies"}`, fmt.Sprint(sent[0]+sent[1]))
	for c, n := range sent {
		wait(t, windows, fmt.Sprintf(`"device":"m%d","window_start":%d,`, c, n*1000-200_000))
	}
	if code := r.stop(); code != exitDone {
		t.Errorf("got exit code %d", code)
	}
	checkCopies(t, filepath.Join(filepath.Dir(r.path), "copies.ndjson"), sent)
	for line := range strings.Lines(windows.String()) {
		topic, body, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(topic, "windows/") {
			continue
		}
		var w number
		if err := json.Unmarshal([]byte(body), &w); err != nil || w.N != 100 || w.Last-w.First != 99 {
			t.Errorf("got %s (%v), want windows of 100 messages: they did not change", line, err)
		}
	}
}

// publishNumbers publishes n = 0, 1, 2 … of one device, each when the one
// before it is acknowledged, up to the next thousand after done is closed. It
// returns how many.
func publishNumbers(t *testing.T, r *running, client int, done chan struct{}) int {
	ctx := context.Background()
	c, err := broker.Dial(ctx, broker.ClientConfig{Address: "127.0.0.1:" + r.broker, ClientID: fmt.Sprint("numbers", client)})
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	for i := 0; ; i++ {
		select {
		case <-done:
			if i > 0 && i%1000 == 0 {
				return i
			}
		default:
		}
		if err := c.Publish(ctx, fmt.Sprint("in/m", client), fmt.Appendf(nil, `{"n":%d}`, i), 1); err != nil {
			t.Errorf("message %d: %v", i, err)
			return i
		}
	}
}

// checkCopies makes sure that every message came out once.
func checkCopies(t *testing.T, path string, sent []int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	lines := 0
	for line := range strings.Lines(string(b)) {
		var n number
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		seen[fmt.Sprint(n.Device, " ", n.N)]++
		lines++
	}
	all := 0
	for c, n := range sent {
		all += n
		for i := range n {
			if got := seen[fmt.Sprintf("m%d %v", c, float64(i))]; got != 1 {
				t.Fatalf("message %d of m%d came out %d times, want once", i, c, got)
			}
		}
	}
	if lines != all {
		t.Errorf("got %d lines of %d messages", lines, all)
	}
	t.Logf("%d messages", all)
}

func TestAChangedPipelineGoesOnWithItsWindow(t *testing.T) {
	t.Parallel()
	pipe := func(where, size string) string {
		return "pipelines:\n  p:\n    from: in/{device}\n    time: n\n    key: device\n    idle: never\n    steps:\n      - where: " + where +
			"\n      - window: {tumbling: " + size + ", fields: {count: count()}}\n    to:\n      - topic: out/{device}\n"
	}
	r := start(t, pipe("n >= 0", "10s"))
	out := r.sub("5", "out/#")
	r.pub("5", "in/m1", `{"n":1000}`, `{"n":2000}`)
	r.metric(`millrace_pipeline_messages_in_total{pipeline="p"}`, "2")
	r.rewrite(pipe("n >= 1", "10s"))
	r.waitFor("configuration reloaded")
	r.pub("5", "in/m1", `{"n":3000}`, `{"n":11000}`)
	wait(t, out, `"count":3`)
	r.rewrite(pipe("n >= 1", "20s"))
	r.waitFor("state lost in the change")
	r.waitFor("another size, columns or aggregates")
	r.pub("5", "in/m1", `{"n":12000}`, `{"n":41000}`)
	wait(t, out, `"window_end":20000000,"count":1`)
}

func TestAMistakeLeavesWhatRunsAlone(t *testing.T) {
	t.Parallel()
	good := "pipelines: {p: {from: in, to: [{topic: out}]}}\n"
	r := start(t, good)
	out := r.sub("5", "out")
	r.rewrite("pipelines: {p: {frm: in, steps: [{where: temp >}], to: [{topic: out}]}}\n")
	r.waitFor("configuration not reloaded")
	for _, text := range []string{`unknown key \"frm\"`, `did you mean \"from\"?`, "pipelines.p.steps[0].where"} {
		r.waitFor(text)
	}
	r.metric(`millrace_reloads_total{result="refused"}`, "1")
	r.pub("5", "in", `{"v":1}`)
	wait(t, out, `"v":1`)
	r.rewrite("pipelines: {p: {from: in, to: [{file: {path: /proc/nothing/x}}]}}\n")
	r.metric(`millrace_reloads_total{result="refused"}`, "2")
	r.pub("5", "in", `{"v":2}`)
	wait(t, out, `"v":2`)
}

func TestPipelinesAndSinksComeAndGo(t *testing.T) {
	t.Parallel()
	r := start(t, "pipelines: {a: {from: in/a, to: [{topic: out/a}]}}\n")
	out := r.sub("5", "out/#")
	r.rewrite("pipelines: {b: {from: in/b}, c: {from: {pipeline: b}, to: [{topic: out/b}, {file: b}]}}\nsinks: {b: {file: {path: b.ndjson}}}\n")
	for _, text := range []string{"pipeline added", "pipeline removed", "configuration reloaded"} {
		r.waitFor(text)
	}
	r.pub("5", "in/a", `{"v":1}`)
	r.pub("5", "in/b", `{"v":2}`)
	wait(t, out, `out/b {`)
	if health := r.get("/healthz"); strings.Contains(health, `"a"`) || !strings.Contains(health, `"c":"ok"`) {
		t.Errorf("got %s, want b and c", health)
	}
	r.rewrite("log: {level: debug}\npipelines: {b: {from: in/b, to: [{topic: out/b2}]}}\n")
	r.waitFor("this needs a restart; until then it stays as it was\" section=log")
	if got := strings.Count(out.String(), "out/a"); got != 0 {
		t.Errorf("got %d messages of a pipeline that was gone", got)
	}
}

func TestAFunctionThatChangesOnDiskIsLoadedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var modules [][]byte
	for _, name := range []string{"zscore", "rate-of-change"} {
		b, err := os.ReadFile("../../functions/builtin/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, b)
	}
	wasm := filepath.Join(dir, "f.wasm")
	if err := os.WriteFile(wasm, modules[0], 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, "pipelines:\n  p:\n    from: in/{device}\n    key: device\n    steps: [{function: "+wasm+", input: {value: v}}]\n    to: [{topic: out}]\n")
	out := r.sub("5", "out")
	r.pub("5", "in/m1", `{"v":1}`)
	wait(t, out, `"anomaly"`)
	if err := os.WriteFile(wasm, modules[1], 0o600); err != nil {
		t.Fatal(err)
	}
	r.waitFor("configuration reloaded")
	r.pub("5", "in/m1", `{"v":1}`)
	wait(t, out, `"exceeded"`)
	if text := r.err.String(); !strings.Contains(text, "state lost in the change") {
		t.Errorf("got %s, want the loss of the other function's state", text)
	}
}

func TestAHangupReloads(t *testing.T) {
	t.Parallel()
	o := &output{}
	path := writeFile(t, "node.yaml", listenAnywhere+"pipelines: {p: {from: in, to: [{stdout: }]}}\n")
	cmd := exec.Command(build(t), "run", path)
	cmd.Stdout, cmd.Stderr = o, o
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	wait(t, o, "msg=ready")
	cmd.Process.Signal(syscall.SIGHUP)
	wait(t, o, "configuration reloaded")
}
