package sinks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

func openAt(t *testing.T, c FileConfig) *File {
	t.Helper()
	f, err := NewFile(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, s Sink, b *pipeline.Batch) {
	t.Helper()
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// names returns the files beside path.
func names(t *testing.T, path string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func at(s string) func() time.Time {
	return func() time.Time {
		now, err := time.Parse(time.DateTime, s)
		if err != nil {
			panic(err)
		}
		return now
	}
}

func TestCSVHasAHeaderAndQuotesWhatItMust(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "rows.csv")
	f := openAt(t, FileConfig{Path: path, Format: "csv"})
	write(t, f, batch(columns(device, temp, count, on, raw), []any{"a,b", 25.0, 7, true, "\xff"}, []any{"say \"x\"\n", nil, nil, nil, nil}, []any{"", 1e-7, -1, false, "plain"}))
	want := "time,device,temp,n,on,raw\n" +
		"2026-01-01T00:00:01.000Z,\"a,b\",25,7,true,base64:/w==\n" +
		"2026-01-01T00:00:01.001Z,\"say \"\"x\"\"\n\",,,,\n" +
		"2026-01-01T00:00:01.002Z,\"\",1e-7,-1,false,plain\n"
	if got := contents(t, path); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f.Written() != uint64(len(want)) {
		t.Errorf("got %d bytes written, want %d", f.Written(), len(want))
	}
}

func TestAColumnThatComesLaterBeginsANewCSVFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.csv")
	f := openAt(t, FileConfig{Path: path, Format: "csv"})
	f.now = at("2026-01-01 00:00:00")
	write(t, f, batch(columns(temp), []any{1.0}))
	write(t, f, batch(columns(count, temp), []any{2, 2.0}))
	write(t, f, batch(columns(temp), []any{3.0})) // fits the wider header
	if got, want := contents(t, path), "time,temp,n\n2026-01-01T00:00:01.000Z,2,2\n2026-01-01T00:00:01.000Z,3,\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := contents(t, filepath.Join(filepath.Dir(path), "rows-20260101T000000.csv")), "time,temp\n2026-01-01T00:00:01.000Z,1\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var many []pipeline.Field
	for i := range columnsMax {
		many = append(many, pipeline.Field{Name: fmt.Sprint(i), Kind: pipeline.Int})
	}
	b := pipeline.NewBatch(many, nil)
	b.AppendRow(pipeline.Row{})
	for k := range b.Columns {
		b.Columns[k].AppendNull()
	}
	var no *Refused
	if err := f.Write(t.Context(), b); !errors.As(err, &no) || !strings.Contains(err.Error(), "1026 columns") {
		t.Errorf("got %v, want the row refused", err)
	}
}

func TestAFileThatCannotBeSetAsideTakesNothingUntilItCan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.csv")
	f := openAt(t, FileConfig{Path: path, Format: "csv"})
	f.now = at("2026-01-01 00:00:00")
	write(t, f, batch(columns(temp), []any{1.0}))
	inTheWay := filepath.Join(filepath.Dir(path), "rows-20260101T000000.csv")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Write(t.Context(), batch(columns(count), []any{2})); err == nil || errors.As(err, new(*Refused)) {
			t.Errorf("got %v, want a temporary error", err)
		}
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	write(t, f, batch(columns(count), []any{2}))
	if got, want := contents(t, inTheWay)+contents(t, path), "time,temp\n2026-01-01T00:00:01.000Z,1\ntime,temp,n\n2026-01-01T00:00:01.000Z,,2\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAFileGoesOnAfterARestartIfItCan(t *testing.T) {
	const line = "2026-01-01T00:00:01.000Z,1\n"
	for _, c := range []struct {
		name, before string
		fields       []string
		want         string
	}{
		{"rows.csv", "time,temp\n" + line, nil, "time,temp\n" + line + line},
		{"rows.csv", "time,temp\n" + line, []string{"temp"}, "time,temp\n" + line + line},
		{"rows.csv", "time,other\n" + line, []string{"temp"}, "time,temp\n" + line},
		{"rows.csv", "time,other\n" + line, nil, "time,other,temp\n2026-01-01T00:00:01.000Z,,1\n"},
		{"rows.csv", "when,temp\n" + line, nil, "time,temp\n" + line},
		{"rows.csv", "time,temp\n2026-01-01T00:0", nil, "time,temp\n" + line},
		{"rows.csv", "", nil, "time,temp\n" + line},
		{"rows.ndjson", "{}\n", nil, "{}\n{\"time\":\"2026-01-01T00:00:01.000Z\",\"temp\":1}\n"},
		{"rows.ndjson", "{}\n{\"time\":", nil, "{\"time\":\"2026-01-01T00:00:01.000Z\",\"temp\":1}\n"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
			t.Fatal(err)
		}
		f := openAt(t, FileConfig{Path: path, Format: filepath.Ext(path)[1:], Fields: c.fields})
		write(t, f, batch(columns(temp), []any{1.0}))
		if got := contents(t, path); got != c.want {
			t.Errorf("%q: got %q, want %q", c.before, got, c.want)
		}
		all := names(t, path)
		if isKept := strings.HasPrefix(c.want, c.before) && (c.before == "" || strings.HasSuffix(c.before, "\n")); isKept != (len(all) == 1) || !isKept && contents(t, filepath.Join(filepath.Dir(path), all[0])) != c.before {
			t.Errorf("%q: got files %v, want the old one as it was", c.before, all)
		}
	}
}

func TestAFileIsRotatedBeforeItIsTooLargeAndSomeOldOnesStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my-rows.ndjson")
	bystanders := []string{"my-rows-20260101T00000.ndjson", "my-rows-x.ndjson", "my-rows-20250101T000000-1.ndjson", "rows-20250101T000000.ndjson"}
	for _, name := range bystanders {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := len(jsonOf(numbered(1), 0)) + 1
	f := openAt(t, FileConfig{Path: path, Rotate: Rotate{Bytes: int64(3 * line), Keep: 2}})
	f.now = at("2026-01-01 00:00:09")
	write(t, f, numbered(3))
	if got := names(t, path); len(got) != 1+len(bystanders) {
		t.Errorf("got %v, want a file that is just full to stay", got)
	}
	write(t, f, numbered(10))         // 3 | 3 3 3 1
	f.now = at("2026-01-01 00:00:01") // the clock goes back
	write(t, f, numbered(3))          // 3 | 1 2
	got := names(t, path)
	want := append(slices.Clone(bystanders), "my-rows-20260101T000009-4.ndjson", "my-rows-20260101T000009-5.ndjson", "my-rows.ndjson")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, name := range got {
		if n := len(contents(t, filepath.Join(filepath.Dir(path), name))); n > 3*line {
			t.Errorf("%s has %d bytes, the most is %d", name, n, 3*line)
		}
	}
}

func TestARowLargerThanAFileHasOneOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.csv")
	f := openAt(t, FileConfig{Path: path, Format: "csv", Rotate: Rotate{Bytes: 50}})
	write(t, f, batch(columns(device), []any{"a"}, []any{strings.Repeat("x", 100)}, []any{"b"}))
	for _, name := range names(t, path) {
		if got := strings.Count(contents(t, filepath.Join(filepath.Dir(path), name)), "\n"); got != 2 {
			t.Errorf("%s: got %d lines, want the header and a row", name, got)
		}
	}
	if got := len(names(t, path)); got != 3 {
		t.Errorf("got %d files, want 3", got)
	}
}

func TestAFileIsRotatedWhenItsTimeIsOverEvenAcrossARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows") // no extension
	c := FileConfig{Path: path, Rotate: Rotate{Age: 24 * time.Hour}}
	f := openAt(t, c)
	f.now = at("2026-01-01 23:59:58")
	f.period = f.periodOf(f.now())
	write(t, f, numbered(1))
	write(t, f, numbered(1))
	f.now = at("2026-01-02 00:00:00")
	write(t, f, numbered(1))
	if got, want := names(t, path), []string{"rows", "rows-20260102T000000"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	f.Close()
	old := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	write(t, openAt(t, c), numbered(1))
	if got := names(t, path); len(got) != 3 {
		t.Errorf("got %v, want yesterday's file set aside", got)
	}
}

func TestAFileThatIsMovedAwayIsBegunAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "rows.ndjson")
	f := openAt(t, FileConfig{Path: path})
	line := jsonOf(numbered(1), 0) + "\n"
	for _, away := range []func() error{
		func() error { return os.Rename(path, path+".1") },
		func() error { return os.Remove(path) },
		func() error { return os.RemoveAll(dir) },
		func() error { os.Remove(path); return os.WriteFile(path, nil, 0o600) },
	} {
		write(t, f, numbered(1))
		if err := away(); err != nil {
			t.Fatal(err)
		}
		write(t, f, numbered(1))
		if got := contents(t, path); got != line {
			t.Errorf("got %q, want %q", got, line)
		}
		os.Remove(path)
	}
}

func TestAFileThatCannotBeWrittenIsToldAtStart(t *testing.T) {
	dir := t.TempDir()
	taken := openAt(t, FileConfig{Path: filepath.Join(dir, "taken")})
	for path, want := range map[string]string{
		"/proc/nothing/rows":                    "hint:",
		dir:                                     "is a directory",
		"/dev/null":                             "not a regular file",
		taken.c.Path:                            "hint: describe the file once",
		filepath.Join(taken.c.Path, "x", "row"): "not a directory",
	} {
		if _, err := NewFile(FileConfig{Path: path}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	if _, err := NewFile(FileConfig{Path: filepath.Join(dir, "x"), Format: "xml"}); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Errorf("got %v, want xml refused", err)
	}
	taken.Close()
	if err := taken.Write(t.Context(), numbered(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want %v", err, os.ErrClosed)
	}
	openAt(t, taken.c)
}

// TestAFullDiskLeavesWholeLinesAndIsRecoveredFrom runs itself again in a
// process whose files may not grow beyond a size: the last write is cut.
func TestAFullDiskLeavesWholeLinesAndIsRecoveredFrom(t *testing.T) {
	const variable = "MILLRACE_TEST_FULL_DISK"
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join(t.TempDir(), "rows.ndjson")
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"="+path)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v:\n%s", err, b)
		}
		if got := strings.Count(contents(t, path), "\n"); got != 300 {
			t.Errorf("got %d lines, want 300", got)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	f := openAt(t, FileConfig{Path: path})
	limit := func(n uint64) {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
			t.Fatal(err)
		}
		now.Cur = min(n, now.Max)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
			t.Fatal(err)
		}
	}
	write(t, f, numbered(100))
	good := contents(t, path)
	limit(uint64(len(good)) + 1000)
	for range 2 {
		if err := f.Write(t.Context(), numbered(100)); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("got %v, want %v", err, syscall.EFBIG)
		}
		if got := contents(t, path); got != good {
			t.Errorf("got %d bytes, want the %d before", len(got), len(good))
		}
	}
	limit(1 << 40)
	write(t, f, numbered(200))
}
