package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guest builds the hostile function and returns its path.
func guest(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if said, err := exec.Command("../../scripts/functions.sh", "-o", dir, "../../functions/testdata/hostile.c").CombinedOutput(); err != nil {
		t.Fatalf("scripts/functions.sh: %v\n%s\nhint: scripts/test-deps installs what it needs", err, said)
	}
	return filepath.Join(dir, "hostile.wasm")
}

func TestAHostileFunctionCostsItsOwnMessageAndNobodyElse(t *testing.T) {
	t.Parallel()
	misdeeds := []struct{ name, reason string }{
		{"traps", "unreachable"}, {"loops", "out of steps"}, {"recurses", "stack"}, {"eats-memory", "unreachable"},
	}
	yaml := "functions: {steps: 2000000, memory: 4MiB}\npipelines:\n"
	wasm := guest(t)
	for i, m := range misdeeds {
		yaml += fmt.Sprintf(`  %[1]s:
    from: plant/{device}
    key: device
    steps:
      - function: %[2]s
        with: {how: %[3]d}
    to:
      - topic: out/%[1]s/{device}
    dead_letters:
      - topic: dead/%[1]s
`, m.name, wasm, i+1)
	}
	r := start(t, yaml+`  honest:
    from: plant/{device}
    key: device
    steps:
      - where: value >= 0
    to:
      - topic: copy/{device}
`)
	out, copies, dead := r.sub("5", "out/#"), r.sub("5", "copy/#"), r.sub("5", "dead/#")
	r.pub("5", "plant/m1", `{"value":1}`, `{"value":13}`, `{"value":2}`)
	wait(t, copies, `"value":2`)
	for _, m := range misdeeds {
		wait(t, out, fmt.Sprintf("out/%s/m1 ", m.name))
		r.metric(fmt.Sprintf(`millrace_pipeline_rows_out_total{pipeline=%q}`, m.name), "2")
		r.metric(fmt.Sprintf(`millrace_pipeline_dead_letters_total{pipeline=%q}`, m.name), "1")
		wait(t, dead, "dead/"+m.name)
		if !regexp.MustCompile("dead/" + m.name + " .*" + m.reason).MatchString(dead.String()) {
			t.Errorf("got %s, want %q as the reason of the one that %s", dead, m.reason, m.name)
		}
	}
	if got := out.String(); strings.Count(got, `"n":2`) != len(misdeeds) || strings.Contains(got, `"n":1002`) {
		t.Errorf("got %s, want counts as if the bad message had not come", got)
	}
	r.metric(`millrace_pipeline_dead_letters_total{pipeline="honest"}`, "0")
	if page := r.get("/metrics"); !regexp.MustCompile(`millrace_function_traps_total\{pipeline="traps",[^}]*\} [1-9]`).MatchString(page) {
		t.Errorf("got %s, want the trap counted", page)
	}
}
