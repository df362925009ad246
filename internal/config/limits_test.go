package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const small = "pipelines: {p: {from: a, to: [{topic: b}]}}\n"

// only returns the one problem of src.
func only(t *testing.T, src string) Problem {
	t.Helper()
	_, err := Parse("f", []byte(src))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 1 {
		t.Fatalf("got %v, want one problem", err)
	}
	return ps[0]
}

func TestAConfigurationHasAtMostAMebibyte(t *testing.T) {
	comment := func(n int) string { return small + "#" + strings.Repeat("x", n-len(small)-1) }
	path := filepath.Join(t.TempDir(), "f.yaml")
	for n, want := range map[int]bool{BytesMax: true, BytesMax + 1: false, BytesMax * 3: false} {
		if err := os.WriteFile(path, []byte(comment(n)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if (err == nil) != want {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
}

func TestNestingHasALimit(t *testing.T) {
	nested := func(n int) string { return "pipelines: " + strings.Repeat("[", n) + strings.Repeat("]", n) }
	if p := only(t, nested(depthMax-1)); !strings.Contains(p.Msg, "want pipelines by name") {
		t.Errorf("got %v", p)
	}
	for _, n := range []int{depthMax + 1, 100_000} {
		if p := only(t, nested(n)); !strings.Contains(p.Msg, "nested deeper than 32") {
			t.Errorf("%d: got %v", n, p)
		}
	}
}

func TestAnAliasCountsAsOftenAsItIsUsed(t *testing.T) {
	repeated := func(n int) string { // each where is a mapping, its key and its value
		var b strings.Builder
		b.WriteString("pipelines:\n  p0: {from: a, to: [{stdout: }], steps: &s [" + strings.Repeat("{where: a},", 100) + "]}\n")
		for i := range n {
			fmt.Fprintf(&b, "  p%d: {from: a, to: [{stdout: }], steps: *s}\n", i+1)
		}
		return b.String()
	}
	if _, err := Parse("f", []byte(repeated(100))); err != nil {
		t.Errorf("got %v", err)
	}
	if p := only(t, repeated(5000)); !strings.Contains(p.Msg, "more than 50000 values") {
		t.Errorf("got %v", p)
	}
}

func TestAKeyHasALimit(t *testing.T) {
	for n, want := range map[int]string{
		keyBytesMax: "unknown key", keyBytesMax + 1: "a key has 1 to 128 bytes", 1 << 19: "",
	} {
		_, err := Parse("f", []byte(small+"? "+strings.Repeat("k", n)+"\n: x\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: got %v, want %s", n, err, want)
		}
	}
}

func TestOnlyTheFirstHundredProblemsAreTold(t *testing.T) {
	for _, n := range []int{problemsMax, problemsMax + 1, 10_000} {
		var b strings.Builder
		b.WriteString(small)
		for i := range n {
			fmt.Fprintf(&b, "key%d: 1\n", i)
		}
		_, err := Parse("f", []byte(b.String()))
		var ps Problems
		errors.As(err, &ps)
		last := ps[len(ps)-1].Msg
		if want := fmt.Sprintf("%d more problems", n-problemsMax); n == problemsMax && len(ps) != n || n > problemsMax && last != want {
			t.Errorf("%d: got %d problems, the last %s", n, len(ps), last)
		}
	}
}

func TestTheSearchForLoopsHasALimit(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("pipelines:\n  p:\n    from: [")
		for i := range n {
			fmt.Fprintf(&b, "i%d,", i)
		}
		b.WriteString("]\n    to:\n")
		for i := range n {
			fmt.Fprintf(&b, "      - topic: o%d\n", i)
		}
		return b.String()
	}
	if _, err := Parse("f", []byte(many(2048))); err != nil {
		t.Errorf("got %v", err)
	}
	if p := only(t, many(2049)); !strings.Contains(p.Msg, "2049 filters and 2049 topics are more than can be searched") {
		t.Errorf("got %v", p)
	}
}

// hostile are files that cost much to those who do not look.
func hostile() map[string]string {
	const size = BytesMax / 4 // reading takes the same time for each byte
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	count := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	var manySinks string
	for i := range 6000 {
		manySinks += fmt.Sprintf(" s%d: {stdout: }\n", i)
	}
	half := strings.Repeat("n", size/2)
	return map[string]string{
		"open lists":      fill("["),
		"dashes":          fill("- "),
		"anchors":         "[" + strings.Repeat("&a b,", 40_000) + "]",
		"one key":         "{" + strings.Repeat("a: 1,", 40_000) + "}",
		"unknown keys":    count("key%d: 1\n"),
		"long name":       "pipelines: {" + half + ": {steps: [" + strings.Repeat("1,", size/4) + "]}}",
		"long step":       "pipelines: {p: {steps: [{where: " + half + "}," + strings.Repeat("1,", size/4) + "]}}",
		"secrets":         "pipelines: [" + strings.Repeat("{token: abc},", 15_000) + "]",
		"secret lines":    "pipelines:\n" + count("- token: a%d\n"),
		"wrong sinks":     "pipelines:\n p:\n  from: a\n  to:\n" + count("   - influx: s%d\n"),
		"many sinks":      "sinks:\n" + manySinks + "pipelines: {p: {from: a, to: [" + strings.Repeat("{file: s},", 9000) + "]}}",
		"many pipelines":  "pipelines:\n" + count(" p%d: {from: '#', to: [{topic: a}]}\n"),
		"tabs":            fill("\t"),
		"no end of lines": fill("\n"),
		"separators":      fill("\u2028"),
	}
}

func TestHostileFilesAreRefused(t *testing.T) {
	for name, src := range hostile() {
		_, err := Parse("f", []byte(src))
		var ps Problems
		if !errors.As(err, &ps) {
			t.Fatalf("%s: got %v", name, err)
		}
		lines := splitLines(src)
		for _, p := range ps {
			if !inside(p, lines) {
				t.Errorf("%s: got a problem outside of the file: %d:%d", name, p.Line, p.Col)
			}
		}
		if n := len(ps.Report()); n > 300_000 {
			t.Errorf("%s: the report has %d bytes", name, n)
		}
	}
}
