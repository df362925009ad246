package config

import (
	"os"
	"strings"
	"testing"
)

// TestTheReferenceInTheDocsIsTheOneOfTheTags compares docs/pipelines.md with
// the tags; -update writes it.
func TestTheReferenceInTheDocsIsTheOneOfTheTags(t *testing.T) {
	const path, begin, end = "../../docs/pipelines.md", "<!-- reference begin -->\n", "<!-- reference end -->\n"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(doc), begin)
	have, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s: the lines %q and %q are not there", path, begin, end)
	}
	want := "\n" + Reference() + "\n"
	if have == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the tags say; go test -update ./internal/config writes it", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEveryKeyHasAMeaning(t *testing.T) {
	for line := range strings.Lines(Reference()) {
		if strings.HasPrefix(line, "| `") && strings.HasSuffix(line, "|  |\n") {
			t.Errorf("got %swant a doc tag", line)
		}
	}
}
