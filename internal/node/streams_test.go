package node

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// joined takes the two lines of a story as streams; a branch and all columns
// of the payloads go through it.
const joined = `
pipelines:
  lines:
    from: {a: "plant/a/{device}", b: "plant/b/{device}"}
    time: ts
    lateness: 2s
    idle: 20s
    steps:
      - where: temp > -40 and temp < 200
      - align: {by: device, within: 5s, kind: outer, rows_max: 4}
      - switch:
          hot: {where: a.temp > 70, steps: [{where: b.temp != nil}], to: [{stdout: {}}]}
      - window: {tumbling: 5s, fields: {mean: mean(a.temp), most: max(b.temp), n: count()}}
    to: [{topic: "out/{device}"}]
`

func TestBatchingDoesNotShowInStreamsAndBranches(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for name, yaml := range map[string]string{"window": joined, "all columns": withoutWindow()} {
		f := load(t, yaml)
		messages := story(random, 3000)
		want := parted(tell(t, compile(t, f)[0], messages, func() int { return 1 }))
		for _, word := range []string{"main ", "branch ", "late ", "in the future", "rows waiting", "b.temp"} {
			if !strings.Contains(want, word) && (word != "b.temp" || name != "window") {
				t.Fatalf("%s: the story has no %q; it must have everything:\n%.2000s", name, word, want)
			}
		}
		for _, cut := range []func() int{
			func() int { return 1000 },
			func() int { return 1 + random.IntN(300) },
			func() int { return 1 + random.IntN(5) },
		} {
			if got := parted(tell(t, compile(t, f)[0], messages, cut)); got != want {
				t.Fatalf("%s: other results when cut in another way:\n%s", name, firstDifference(got, want))
			}
		}
	}
}

// withoutWindow is joined with every column to the sinks.
func withoutWindow() string {
	var lines []string
	for line := range strings.Lines(joined) {
		if !strings.Contains(line, "window:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// Branch makes a notebook tell rows of branches from others.
func (n *notebook) Branch(*pipeline.Branch) pipeline.Results { return branchBook{n} }

type branchBook struct{ *notebook }

func (n branchBook) Main(b *pipeline.Batch) { n.rows("branch", b) }

// parted is sorted for a pipeline with branches: within a call the rows of a
// branch are handed over apart.
func parted(text string) string {
	var branch, rest strings.Builder
	var late []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "branch"):
			branch.WriteString(line)
		case strings.HasPrefix(line, "late"): // of two steps
			late = append(late, line)
		default:
			rest.WriteString(line)
		}
	}
	slices.Sort(late)
	return branch.String() + sorted(rest.String()) + strings.Join(late, "")
}
