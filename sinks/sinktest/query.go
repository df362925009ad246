package sinktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
)

// A Row is what has arrived of a row: its fields, as text. Numbers are as
// JSON has them; fields without a value are not there. The event time is
// not among the fields.
type Row map[string]string

// ParseJSON returns the row of a JSON object with a time.
func ParseJSON(object []byte) (Row, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("%q: %w", object, err)
	}
	r := Row{}
	for name, v := range fields {
		if v != nil && name != "time" {
			r[name] = fmt.Sprint(v)
		}
	}
	return r, nil
}

// Rows asks an InfluxDB for all rows of a measurement.
func (s *Server) Rows(database, measurement string) []Row {
	s.t.Helper()
	body := s.Get("/query", url.Values{"db": {database}, "q": {fmt.Sprintf("SELECT * FROM %q", measurement)}})
	var answer struct {
		Results []struct {
			Error  string
			Series []struct {
				Columns []string
				Values  [][]any
			}
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil || len(answer.Results) != 1 || answer.Results[0].Error != "" {
		s.t.Fatalf("%v: %s", err, body)
	}
	var rows []Row
	for _, series := range answer.Results[0].Series {
		for _, values := range series.Values {
			r := Row{}
			for k, v := range values {
				if v != nil && series.Columns[k] != "time" {
					r[series.Columns[k]] = fmt.Sprint(v)
				}
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// Export asks a VictoriaMetrics for all it has of a measurement. It keeps
// numbers alone, each with its own labels, so labels and time make a row.
func (s *Server) Export(measurement string) []Row {
	s.t.Helper()
	s.Get("/internal/force_flush", nil)
	body := s.Get("/api/v1/export", url.Values{"match[]": {fmt.Sprintf("{__name__=~%q}", measurement+"_.*")}})
	rows := map[string]Row{}
	var order []string
	for line := range bytes.Lines(body) {
		var series struct {
			Metric     map[string]string
			Values     []json.Number
			Timestamps []int64
		}
		if err := json.Unmarshal(line, &series); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		field := series.Metric["__name__"][len(measurement)+1:]
		delete(series.Metric, "__name__")
		delete(series.Metric, "db")
		seen := map[string]int{} // duplicates are rows of their own
		for k, v := range series.Values {
			at := fmt.Sprint(series.Timestamps[k], series.Metric)
			seen[at]++
			at += fmt.Sprint(" ", seen[at])
			if rows[at] == nil {
				rows[at] = Row{}
				order = append(order, at)
				for name, label := range series.Metric {
					rows[at][name] = label
				}
			}
			rows[at][field] = v.String()
		}
	}
	slices.Sort(order)
	all := make([]Row, len(order))
	for i, at := range order {
		all[i] = rows[at]
	}
	return all
}
