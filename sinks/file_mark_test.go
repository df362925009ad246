package sinks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// oneNumber is a batch of one row.
func oneNumber(n int) *pipeline.Batch {
	return batch(pipeline.Schema{{Name: "n", Kind: pipeline.Int}}, []any{n})
}

// inOrder returns the lines of rows.
func inOrder(from, to int) string {
	var b strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&b, "{\"time\":\"2026-01-01T00:00:01.000Z\",\"n\":%d}\n", n)
	}
	return b.String()
}

// allLines returns what a file and those set aside before it hold.
func allLines(t *testing.T, path string) string {
	t.Helper()
	f := File{c: FileConfig{Path: path}}
	old, err := f.oldFiles()
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, o := range old {
		all += contents(t, o.path)
	}
	return all + contents(t, path)
}

// writeLines appends rows, each with a number, to a file sink.
func writeLines(t *testing.T, f *File, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		write(t, f, oneNumber(n))
	}
}

func TestAFileTakesBackWhatCameAfterTheMark(t *testing.T) {
	for name, c := range map[string]struct {
		marked, lost int // rows
		rotate       int64
		tear         string // what a power cut leaves at the end
	}{
		"nothing after it":      {marked: 3},
		"rows":                  {marked: 3, lost: 4},
		"a torn line":           {marked: 3, lost: 1, tear: `{"n`},
		"an empty file":         {lost: 5},
		"an empty file, torn":   {tear: "\x00\x00\x00"},
		"a rotation":            {marked: 3, lost: 3, rotate: 5 * 43},
		"several rotations":     {marked: 3, lost: 30, rotate: 5 * 43, tear: `{"`},
		"rotated at the mark":   {marked: 5, lost: 1, rotate: 5 * 43},
		"rotations before, too": {marked: 13, lost: 9, rotate: 5 * 43},
	} {
		t.Run(name, func(t *testing.T) {
			config := FileConfig{Path: filepath.Join(t.TempDir(), "rows.ndjson"), Fields: []string{"n"}, Rotate: Rotate{Bytes: c.rotate}}
			f := openAt(t, config)
			writeLines(t, f, 1, c.marked)
			mark, err := f.Mark()
			if err != nil {
				t.Fatal(err)
			}
			writeLines(t, f, c.marked+1, c.marked+c.lost)
			f.Close()
			tail, err := os.OpenFile(config.Path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			tail.WriteString(c.tear)
			tail.Close()

			f = openAt(t, config)
			if err := f.Resume(mark); err != nil {
				t.Fatal(err)
			}
			writeLines(t, f, c.marked+1, c.marked+c.lost)
			f.Close()
			if got, want := allLines(t, config.Path), inOrder(1, c.marked+c.lost); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestAFileThatIsNotTheMarkedOneStaysAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.ndjson")
	f := openAt(t, FileConfig{Path: path, Fields: []string{"n"}})
	writeLines(t, f, 1, 3)
	mark, err := f.Mark()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.WriteFile(path, []byte(strings.Repeat("of somebody else\n", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	f = openAt(t, FileConfig{Path: path, Fields: []string{"n"}})
	if err := f.Resume(mark); err == nil || !strings.Contains(err.Error(), "rows may be there twice") {
		t.Errorf("got %v", err)
	}
	f.Close()
	if b, _ := os.ReadFile(path); len(b) != 170 {
		t.Errorf("%d bytes are left of the other file's 170", len(b))
	}
}
