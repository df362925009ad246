package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const motors = `
pipelines:
  motors:
    from: plant/{line}/motor/{device}/reading
    time: ts
    key: device
    steps:
      - where: temp > -40 and temp < 150
      - window: {tumbling: 1s, fields: {mean: mean(temp), n: count()}}
    to:
      - topic: means/{line}/{device}
    dead_letters:
      - topic: dead/motors
`

func reading(second int, temp string) string {
	return fmt.Sprintf(`{"ts":%d,"temp":%s}`, 1767225600000+second*1000, temp)
}

func TestReadingsBecomeWindowsForMosquittosClients(t *testing.T) {
	for _, version := range []string{"311", "5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := start(t, motors)
			means := r.sub(version, "means/#")
			r.pub(version, "plant/a/motor/m1/reading", reading(0, "20"), reading(0, "30"), reading(0, "999"), reading(1, "40"))
			wait(t, means, `means/a/m1 {"time":"2026-01-01T00:00:01.000Z","device":"m1","line":"a","window_start":1767225600000000,"window_end":1767225601000000,"mean":25,"n":2}`)
			r.metric(`millrace_pipeline_messages_in_total{pipeline="motors"}`, "4")
			r.metric(`millrace_pipeline_windows_total{pipeline="motors"}`, "1")
			if code := r.stop(); code != exitDone {
				t.Errorf("got exit code %d, want %d", code, exitDone)
			}
		})
	}
}

func TestBadPayloadsAreSetAsideAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	r := start(t, motors)
	dead, means := r.sub("5", "dead/#"), r.sub("5", "means/#")
	topic := "plant/a/motor/m1/reading"
	r.pub("5", topic, `{"ts":1767225600000,"temp":`, `no json`, `{"temp":1}`, `{"ts":1767225600000,"temp":"n/a"}`, `{"ts":9999999999999,"temp":1}`)
	for _, reason := range []string{"in the future", `temp: want number, have text`, "ts"} {
		wait(t, dead, reason)
	}
	r.pub("5", topic, reading(0, "20"), reading(5, "20"))
	wait(t, means, `"mean":20,"n":1`)
	r.metric(`millrace_pipeline_dead_letters_total{pipeline="motors"}`, "5")
}

func TestAPipelineReadsWhatAnotherPublishes(t *testing.T) {
	t.Parallel()
	r := start(t, `
pipelines:
  first:
    from: in/{device}
    decode: json
    to: [{topic: "middle/{device}"}]
  second:
    from: middle/{device}
    to: [{topic: "out/{device}"}]
`)
	out := r.sub("5", "out/#")
	r.pub("5", "in/m1", `{"v":7}`)
	wait(t, out, `"v":7`)
}

func TestALoopThatIsAllowedIsCutAtTheHopLimit(t *testing.T) {
	t.Parallel()
	r := start(t, `
pipelines:
  echo:
    from: echo/{device}
    allow_loop: true
    to: [{topic: "echo/{device}"}]
`)
	r.pub("5", "echo/m1", `{"v":7}`)
	r.metric("millrace_broker_hops_refused_total", "1")
	r.metric(`millrace_pipeline_messages_in_total{pipeline="echo"}`, "9")
}

func TestAnUnreachableSinkHoldsNobodyElse(t *testing.T) {
	t.Parallel()
	r := start(t, motors+`      - influx: {url: "http://127.0.0.1:1", database: x, measurement: m}
  other:
    from: plant/{line}/motor/{device}/reading
    time: ts
    to:
      - influx: {url: "http://127.0.0.1:1", database: x, measurement: m}
      - topic: copy/{device}
`)
	copies := r.sub("5", "copy/#")
	r.pub("5", "plant/a/motor/m1/reading", reading(0, "20"))
	wait(t, copies, `"temp":20`)
	r.waitFor("connection refused")
}

func TestATakenPortIsSaidWithTheWayOut(t *testing.T) {
	t.Parallel()
	first := start(t, motors)
	path := writeFile(t, "second.yaml", "broker: {listen: [\"mqtt://127.0.0.1:"+first.broker+"\"]}\nhttp: {listen: \"\"}\n"+motors)
	o := &output{}
	code := run(context.Background(), []string{"run", path}, streams{strings.NewReader(""), o, o})
	if code != exitFailed || !strings.Contains(o.String(), "address already in use") || !strings.Contains(o.String(), "hint:") {
		t.Errorf("got exit code %d and %s, want %d and a hint", code, o, exitFailed)
	}
}

func TestAnUnwritableFileSinkIsSaidAtStart(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "node.yaml", listenAnywhere+`
pipelines:
  raw:
    from: a/#
    to: [{file: {path: /proc/nothing/raw.ndjson}}]
`)
	o := &output{}
	code := run(context.Background(), []string{"run", path}, streams{strings.NewReader(""), o, o})
	if code == exitDone || !strings.Contains(o.String(), "/proc/nothing") {
		t.Errorf("got exit code %d and %s, want the path that cannot be written", code, o)
	}
}

func TestTheQuickStartRaisesAnAlert(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../configs/quickstart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	yaml := strings.NewReplacer("broker:\n  listen: [mqtt://:1883]", "", "../data/", "data/").Replace(string(b))
	r := start(t, yaml)
	alerts := r.sub("5", "alerts/#")
	wait(t, alerts, "alerts/b/motor-4")
	wait(t, r.out, "ALERT  motor-4 on line b")
}

// build makes the program as a user would.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "millrace")
	if b, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return bin
}

func TestSignalsDrainAndStop(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for _, c := range []struct {
		name    string
		yaml    string
		signals int
		says    string
	}{
		{"one signal drains", motors, 1, "drained"},
		{"two signals stop although a sink cannot deliver", "pipelines: {p: {from: a, to: [{influx: {url: \"http://127.0.0.1:1\", database: x, measurement: m}}]}}\n", 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &output{}
			cmd := exec.Command(bin, "run", writeFile(t, "node.yaml", listenAnywhere+c.yaml))
			cmd.Stdout, cmd.Stderr = o, o
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			wait(t, o, "msg=ready")
			if c.signals == 2 {
				r := &running{t: t, broker: find1(t, o.String(), `broker on \[127\.0\.0\.1:(\d+)`)}
				r.pub("5", "a", `{"v":1}`)
				wait(t, o, "connection refused")
			}
			for range c.signals {
				cmd.Process.Signal(syscall.SIGTERM)
				time.Sleep(300 * time.Millisecond)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code == 2 || code < 0 {
				t.Errorf("got exit code %d; output:\n%s", code, o)
			}
			if !strings.Contains(o.String(), c.says) {
				t.Errorf("got %s, want %q", o, c.says)
			}
		})
	}
}
