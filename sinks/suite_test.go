package sinks_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/sinks"
	"millrace.dev/millrace/sinks/sinktest"
)

// A paper takes lines from several writers, unless it is full.
type paper struct {
	mu   sync.Mutex
	b    bytes.Buffer
	full bool
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.full {
		return p.b.Write(b)
	}
	n, _ := p.b.Write(b[:len(b)/3]) // within a line
	p.full = p.b.Len() < 20000
	return n, io.ErrShortWrite
}

func (p *paper) fill(full bool) func() {
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.full = full
	}
}

func (p *paper) rows(t *testing.T) func() []sinktest.Row {
	return func() []sinktest.Row {
		p.mu.Lock()
		defer p.mu.Unlock()
		return jsonLines(t, p.b.Bytes())
	}
}

func jsonLines(t *testing.T, text []byte) (rows []sinktest.Row) {
	t.Helper()
	for line := range bytes.Lines(text) {
		r, err := sinktest.ParseJSON(line)
		if err != nil || !bytes.HasSuffix(line, []byte("}\n")) {
			t.Fatalf("%v: not a whole line: %q", err, line)
		}
		rows = append(rows, r)
	}
	return rows
}

func TestStdoutSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Open: func(t *testing.T) sinktest.Place {
		p := &paper{}
		s, err := sinks.NewStdout(sinks.StdoutConfig{}, p)
		if err != nil {
			t.Fatal(err)
		}
		return sinktest.Place{Sink: s, Rows: p.rows(t), Down: p.fill(true), Up: p.fill(false)}
	}})
}

// A board keeps what is published, unless its journal is full.
type board struct {
	paper
	topics []string
}

func (b *board) Publish(topic, payload []byte, _ byte, _ bool, _ uint8) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return errors.Join(errors.New("board"), journal.ErrFull)
	}
	b.topics = append(b.topics, string(topic))
	b.b.Write(append(bytes.Clone(payload), '\n'))
	return nil
}

func TestTopicSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{BadDevice: "a/b", Open: func(t *testing.T) sinktest.Place {
		b := &board{}
		s, err := sinks.NewTopic(sinks.TopicConfig{Topic: "x/{device}"}, b)
		if err != nil {
			t.Fatal(err)
		}
		return sinktest.Place{Sink: s, Rows: b.rows(t), Down: b.fill(true), Up: b.fill(false)}
	}})
}

func TestFileSurvives(t *testing.T) {
	for _, format := range []string{"ndjson", "csv"} {
		t.Run(format, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{Open: func(t *testing.T) sinktest.Place { return openFile(t, format) }})
		})
	}
}

// openFile opens a file in a folder that can be made to vanish: another file
// stands in its place then. What is in the folder comes back with it.
func openFile(t *testing.T, format string) sinktest.Place {
	dir := filepath.Join(t.TempDir(), "data")
	c := sinks.FileConfig{Path: filepath.Join(dir, "rows."+format), Format: format, Rotate: sinks.Rotate{Bytes: 2000}}
	s, err := sinks.NewFile(c)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return sinktest.Place{
		Sink: s,
		Rows: func() (rows []sinktest.Row) {
			paths, err := filepath.Glob(filepath.Join(dir, "rows*"))
			must(err)
			for _, path := range paths {
				text, err := os.ReadFile(path)
				must(err)
				if format == "csv" {
					rows = append(rows, csvLines(t, text)...)
				} else {
					rows = append(rows, jsonLines(t, text)...)
				}
			}
			return rows
		},
		Down: func() {
			must(os.Rename(dir, dir+".away"))
			must(os.WriteFile(dir, nil, 0o600))
		},
		Up: func() {
			must(os.Remove(dir))
			must(os.Rename(dir+".away", dir))
		},
	}
}

func csvLines(t *testing.T, text []byte) (rows []sinktest.Row) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	for i, record := range records {
		if i == 0 {
			if want := "time,id,device,temp,n,on,note,raw"; strings.Join(record, ",") != want {
				t.Errorf("got header %q, want %s", record, want)
			}
			continue
		}
		r := sinktest.Row{}
		for k, v := range record {
			if name := records[0][k]; v != "" && name != "time" {
				r[name] = v
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func TestInfluxSurvives(t *testing.T) {
	server := sinktest.StartInflux(t)
	n := 0
	sinktest.Run(t, sinktest.Harness{Overwrites: true, Escapes: true, BadDevice: `a\`, Open: func(t *testing.T) sinktest.Place {
		n++
		database := "db" + string(rune('a'+n))
		server.Post("/query", map[string][]string{"q": {"CREATE DATABASE " + database}})
		return sinktest.Place{
			Sink: openInflux(t, server.URL, database),
			Rows: func() []sinktest.Row { return server.Rows(database, "m") },
			Down: server.Kill, Up: server.Start,
		}
	}})
}

func TestVictoriaMetricsSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{NumbersOnly: true, BadDevice: `a\`, Open: func(t *testing.T) sinktest.Place {
		server := sinktest.StartVictoria(t)
		return sinktest.Place{
			Sink: openInflux(t, server.URL, "db"),
			Rows: func() []sinktest.Row { return server.Export("m") },
			Down: server.Stop, // killed, it loses what it took in the last seconds
			Up:   server.Start,
		}
	}})
}

func openInflux(t *testing.T, url, database string) *sinks.Influx {
	t.Helper()
	s, err := sinks.NewInflux(sinks.InfluxConfig{URL: url, Database: database, Measurement: "m", Tags: []string{"id", "device"}, Gzip: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
