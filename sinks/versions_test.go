package sinks

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// An influx3 answers as the API of InfluxDB 3 is published (write_lp, checked
// in October 2026); no such server runs here.
func influx3(t *testing.T, lines *[]string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/api/v3/write_lp" || q.Get("precision") != "microsecond" || q.Get("accept_partial") != "false":
			w.WriteHeader(http.StatusNotFound)
			return
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error": "the request was not authenticated"}`)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(body), `v="n/a"`) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error": "parsing failed for write_lp endpoint", "data": {"original_line": "m v=\"n/a\"", "line_number": 2, "error_message": "invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::string"}}`)
			return
		}
		for line := range strings.Lines(string(body)) {
			*lines = append(*lines, strings.TrimSpace(line))
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestInflux3IsWrittenAsItsAPIIsPublished(t *testing.T) {
	var lines []string
	server := influx3(t, &lines)
	c := InfluxConfig{URL: server.URL, Version: 3, Database: "plant", Token: "hunter2", Measurement: "m"}
	s, err := NewInflux(c)
	if err != nil {
		t.Fatal(err)
	}
	v := pipeline.Field{Name: "v", Kind: pipeline.Float}
	var no *Refused
	err = s.Write(t.Context(), batch(columns(v, pipeline.Field{Name: "v", Kind: pipeline.Text}), []any{1.0, nil}, []any{nil, "n/a"}, []any{3.0, nil}))
	if !errors.As(err, &no) || len(no.Rows) != 1 || no.Rows[0].Row != 1 || !strings.Contains(no.Rows[0].Reason, "invalid column type") || len(lines) != 2 {
		t.Errorf("got %v, %q, want row 1 refused in the server's words", err, lines)
	}
	for change, want := range map[string]string{"token": "check token", "path": "url and database"} {
		c := c
		if change == "token" {
			c.Token = "wrong"
		} else {
			c.URL += "/elsewhere"
		}
		s, err := NewInflux(c)
		if err != nil {
			t.Fatal(err)
		}
		var later *Later
		if err := s.Write(t.Context(), batch(columns(v), []any{1.0})); !errors.As(err, &later) || !later.Mistake || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a mistake, %s", err, want)
		}
	}
	if got := lineError([]byte(`[{"error_message": "one"}, {"error_message": "two"}]`)); got != ": one" {
		t.Errorf("got %q", got)
	}
}

func TestAFileMayBeLineProtocol(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.lp")
	s, err := NewFile(FileConfig{Path: path, Format: "line", Measurement: "m", Tags: []string{"device"}, Rotate: Rotate{Bytes: 200}})
	if err != nil {
		t.Fatal(err)
	}
	var no *Refused
	err = s.Write(t.Context(), batch(columns(device, temp), []any{"a", 1.5}, []any{"b", nil}, []any{"c\n", 1.5}, []any{"d", 2.5}, []any{"e", nil}))
	if !errors.As(err, &no) || len(no.Rows) != 3 || no.Rows[2].Row != 4 {
		t.Errorf("got %v, want rows 1, 2 and 4 refused", err)
	}
	for range 10 {
		write(t, s, batch(columns(device, temp), []any{"a", 1.5}))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(filepath.Join(filepath.Dir(path), "rows*.lp"))
	if err != nil || len(all) < 3 {
		t.Errorf("got %q, %v, want it rotated", all, err)
	}
	n := 0
	for _, p := range all {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if n++; !strings.HasPrefix(line, "m,device=") || !strings.HasSuffix(line, "\n") {
				t.Errorf("got %q", line)
			}
		}
	}
	if n != 12 {
		t.Errorf("got %d lines, want 12", n)
	}
	if _, err := NewFile(FileConfig{Path: path, Format: "line"}); err == nil {
		t.Error("got no error for a file without a measurement")
	}
}

func TestRefusalsOfRowsThatAreWrittenAgainAreNotTold(t *testing.T) {
	all := []Refusal{{Row: 1}, {Row: 4}, {Row: 7}}
	for row, want := range map[int]int{0: 0, 1: 0, 2: 1, 4: 1, 5: 2, 7: 2, 8: 3} {
		if got := until(all, row); len(got) != want {
			t.Errorf("until row %d: got %v, want %d", row, got, want)
		}
	}
	var part *Partial
	err := settle([]int{2, 5, 9}, []Refusal{{Row: 3}, {Row: 7}}, []Refusal{{Row: 0}}, 2, errors.New("away"))
	if !errors.As(err, &part) || part.Done != 9 || len(part.Refused) != 3 || part.Refused[0].Row != 2 {
		t.Errorf("got %+v, want rows 2, 3 and 7 refused, 9 next", err)
	}
}
