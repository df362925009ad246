package functions

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// Ways of the guest hostile.
const (
	howNothing = iota
	howTrap
	howLoop
	howRecurse
	howEat
	howEmit
	howFlood
	howFail
	howWild
	howFill
	howOutput
	howDead
	howDivide
	howFrame
)

// hostileRun sends values, of the keys a and b by turns, through hostile.
func hostileRun(t *testing.T, how int, values []float64, o Options) (*sheet, *Stage) {
	t.Helper()
	if o.StepsMax == 0 {
		o.StepsMax = 300_000
	}
	m := loadGuest(t, newRuntime(t, o), "hostile")
	keys := pipeline.NewKeys(10)
	s := bind(t, m, Binding{Stage: "steps[0]", With: map[string]float64{"how": float64(how)}}, readings, keys)
	b := pipeline.NewBatch(readings, keys)
	var all []reading
	for i, v := range values {
		all = append(all, reading{int64(i), string(rune('a' + i%2)), v, false})
	}
	fill(b, all, 0)
	got := &sheet{}
	if err := (&pipeline.Chain{Stages: []pipeline.Stage{s}}).Process(b, got); err != nil {
		t.Fatal(err)
	}
	return got, s
}

func TestABadRowHurtsNobodyElse(t *testing.T) {
	for _, c := range []struct {
		how    int
		reason string
	}{
		{howTrap, "trap: unreachable"},
		{howLoop, "out of steps (300,000 in one call)"},
		{howRecurse, ""},
		{howEat, "trap: unreachable"},
		{howEmit, "broke the contract: emit code 7"},
		{howFlood, "out of steps (300,000 in one call)"},
		{howFail, "failed: mr1_frame answered -3"},
		{howWild, "trap: out of bounds memory access"},
		{howFill, "out of steps"},
		{howOutput, "broke the contract: 5 bytes of free-form output"},
		{howDead, "set aside by the function"},
		{howDivide, "trap: integer divide by zero"},
	} {
		var values []float64
		bad := map[int]bool{0: true, 77: true, 78: true, 255: true, 256: true}
		for i := range 300 {
			v := 1.0
			if bad[i] {
				v = 13
			}
			values = append(values, v)
		}
		got, s := hostileRun(t, c.how, values, Options{})
		counts := map[int]int{}
		at := 0
		for i := range values {
			if bad[i] && c.how != howDead {
				continue
			}
			counts[i%2]++
			if bad[i] {
				counts[i%2] += 1000
				continue
			}
			if want := fmt.Sprintf(" n=%d", counts[i%2]); at >= len(got.main) || !strings.HasSuffix(got.main[at], want) || !strings.HasPrefix(got.main[at], fmt.Sprintf("@%d+", i)) {
				t.Fatalf("how %d: row %d: got %.200q, want it to end in %q", c.how, i, got.main[min(at, len(got.main)-1)], want)
			}
			at++
		}
		if at != len(got.main) || len(got.dead) != len(bad) {
			t.Fatalf("how %d: got %d rows and %d dead letters, want %d and %d", c.how, len(got.main), len(got.dead), at, len(bad))
		}
		for _, d := range got.dead {
			if !strings.Contains(d, "steps[0]: function hostile: "+c.reason) {
				t.Errorf("how %d: got reason %q, want %q", c.how, d, c.reason)
			}
		}
		if n := s.Stats(); c.how != howDead && n.Traps == 0 || n.Steps == 0 || n.Calls == 0 || n.MemoryBytes == 0 {
			t.Errorf("how %d: got %+v", c.how, n)
		}
	}
}

func TestEndlessRecursionIsContained(t *testing.T) {
	got, _ := hostileRun(t, howRecurse, []float64{1, 13, 1}, Options{StepsMax: StepsMaxDefault})
	if len(got.main) != 2 || len(got.dead) != 1 || !strings.Contains(got.dead[0], "trap: stack overflow") {
		t.Errorf("got %q and %q, want one row dead for a stack overflow", got.main, got.dead)
	}
}

func TestTheFrameIsTheHostsOwn(t *testing.T) {
	got, _ := hostileRun(t, howFrame, []float64{1, 1, 13, 1, 1, 1}, Options{})
	if len(got.main)+len(got.dead) != 6 && len(got.main) != 3 {
		t.Errorf("got %q and %q", got.main, got.dead)
	}
}

func TestMemoryStaysWithinItsLimit(t *testing.T) {
	_, s := hostileRun(t, howEat, []float64{1, 13, 1}, Options{MemoryMax: 1 << 20})
	if n := s.Stats().MemoryBytes; n > 1<<20 {
		t.Errorf("got %d bytes, want at most 1 MiB", n)
	}
}

func TestAFunctionThatKeepsFailingIsQuarantinedAndTriedAgain(t *testing.T) {
	var values []float64
	for range badRowsMax + 50 {
		values = append(values, 13)
	}
	for range 3 * probeRows {
		values = append(values, 1)
	}
	var log strings.Builder
	got, s := hostileRun(t, howTrap, values, Options{Log: textLog(&log)})
	dead := badRowsMax + probeRows
	if len(got.dead) != dead || len(got.main) != len(values)-dead {
		t.Errorf("got %d dead and %d rows, want %d dead", len(got.dead), len(got.main), dead)
	}
	if n := strings.Count(log.String(), "quarantine"); n != 2 {
		t.Errorf("got %d lines about it, want one in and one out:\n%s", n, log.String())
	}
	if n := s.Stats().Traps; n > 3*badRowsMax {
		t.Errorf("got %d failed calls: it was not left alone", n)
	}
	if !strings.Contains(got.dead[badRowsMax], "quarantine") {
		t.Errorf("got %q, want the quarantine as the reason", got.dead[badRowsMax])
	}
}

func TestQuarantineDoesNotDependOnTheCut(t *testing.T) {
	r := seeded(t)
	m := loadGuest(t, newRuntime(t, Options{}), "hostile")
	var all []event
	for i := range 5000 {
		v := 1.0
		if i%2500 < 300 {
			v = 13
		}
		all = append(all, event{reading: reading{int64(i), fmt.Sprintf("m%d", r.IntN(7)), v, false}})
	}
	build := func(t *testing.T, keys *pipeline.Keys) []pipeline.Stage {
		return []pipeline.Stage{bind(t, m, Binding{With: map[string]float64{"how": howTrap}}, readings, keys)}
	}
	never := func() bool { return false }
	want := play(t, build, all, func() int { return 256 }, never, r)
	got := play(t, build, all, func() int { return 1 + r.IntN(300) }, func() bool { return r.IntN(10) == 0 }, r)
	sameRows(t, got.main, want.main)
	sameRows(t, got.dead, want.dead)
	if len(want.dead) < 2*probeRows {
		t.Errorf("only %d dead letters: there was no quarantine", len(want.dead))
	}
}

func TestAnEndlessLoopIsQuarantinedSooner(t *testing.T) {
	got, s := hostileRun(t, howLoop, slices.Repeat([]float64{13}, 40), Options{})
	most := badRowsMax / spentRows
	if strings.Contains(got.dead[most-1], "quarantine") || !strings.Contains(got.dead[most], "quarantine") {
		t.Errorf("got %q then %q, want quarantine after %d rows", got.dead[most-1], got.dead[most], most)
	}
	if n := s.Stats().Steps; n > 300_000*int64(3*most+10) {
		t.Errorf("got %d steps", n)
	}
}

func TestALogFloodIsBounded(t *testing.T) {
	var log strings.Builder
	_, s := hostileRun(t, howFlood, []float64{13, 1, 13}, Options{Log: textLog(&log)})
	if n := s.log.lines + s.log.leftOut; n > 5*400 {
		t.Errorf("got %d lines in 5 calls: a line costs %d of 300,000 steps", n, logSteps)
	}
	if n := strings.Count(log.String(), "and again"); n < 1 || n > 2*logBurst {
		t.Errorf("got %d lines, want %d or few more", n, logBurst)
	}
}

func TestEveryLieIsFoundOut(t *testing.T) {
	r := newRuntime(t, Options{})
	for name, want := range map[string][]string{
		"alloc-zero":    {"a frame", "memory is used up"},
		"alloc-odd":     {"mr1_alloc", "aligned"},
		"alloc-outside": {"mr1_alloc", "not in its memory"},
		"alloc-past":    {"mr1_alloc", "not in its memory"},
		"state-small":   {"mr1_state", "4 bytes"},
		"state-large":   {"mr1_state", "bytes"},
		"state-trap":    {"mr1_state", "trap: unreachable"},
		"init-refuses":  {"refuses its parameters: p must be even"},
		"init-silent":   {"refuses its parameters", "-7"},
		"init-loops":    {"mr1_init", "out of steps"},
		"log-outside":   {"mr1_init", "it logs what is not in its memory"},
	} {
		m := loadGuest(t, r, name)
		_, err := m.Bind(t.Context(), Binding{}, readings, pipeline.NewKeys(2))
		checkError(t, err, append(want, "function "+name)...)
	}
	for name, want := range map[string]string{"far-manifest": "not in its memory", "no-json": "manifest: "} {
		_, err := r.Load(t.Context(), name, guest(t, name))
		checkError(t, err, want, "function "+name)
	}
}

func TestKeysWithoutMemoryAreSetAside(t *testing.T) {
	r := newRuntime(t, Options{})
	for name, want := range map[string]string{"alloc-twice": "the same memory twice", "alloc-trap": "trap", "alloc-short": "no memory for another key after 0"} {
		keys := pipeline.NewKeys(10)
		s := bind(t, loadGuest(t, r, name), Binding{}, readings, keys)
		b := pipeline.NewBatch(readings, keys)
		fill(b, []reading{{1, "a", 1, false}, {2, "b", 1, false}}, 0)
		got := &sheet{}
		if err := (&pipeline.Chain{Stages: []pipeline.Stage{s}}).Process(b, got); err != nil {
			t.Fatal(err)
		}
		if len(got.dead) != 2 || !strings.Contains(got.dead[1], want) {
			t.Errorf("%s: got %q, want both dead for %q", name, got.dead, want)
		}
	}
}
