package sinktest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// StartPrometheus returns a Prometheus that is up and takes remote writes at
// /api/v1/write. It takes samples that come late by up to outOfOrder, such as
// 1h; "" for not at all.
func StartPrometheus(t *testing.T, outOfOrder string) *Server {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "prometheus.yml")
	text := "global: {}\n"
	if outOfOrder != "" {
		text += "storage: {tsdb: {out_of_order_time_window: " + outOfOrder + "}}\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "prometheus", "/-/ready", port,
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--storage.tsdb.retention.time=100y",
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--web.enable-remote-write-receiver", "--log.level=error")
}

// Samples asks a Prometheus for all samples of metrics that begin with prefix,
// as rows: labels and time make a row, and the rest of the metric's name is a field.
func (s *Server) Samples(prefix string) []Row {
	s.t.Helper()
	end := Begin/1e6 + 3600
	body := s.Get("/api/v1/query", url.Values{"query": {fmt.Sprintf("{__name__=~%q}[2h]", prefix+".+")}, "time": {fmt.Sprint(end)}})
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	rows := map[string]Row{}
	var order []string
	for _, series := range answer.Data.Result {
		field := series.Metric["__name__"][len(prefix):]
		delete(series.Metric, "__name__")
		for _, v := range series.Values {
			at := fmt.Sprint(string(v[0]), series.Metric)
			if rows[at] == nil {
				rows[at] = Row{}
				order = append(order, at)
				for name, label := range series.Metric {
					rows[at][name] = label
				}
			}
			var value string
			if err := json.Unmarshal(v[1], &value); err != nil {
				s.t.Fatal(err)
			}
			rows[at][field] = value
		}
	}
	slices.Sort(order)
	all := make([]Row, len(order))
	for i, at := range order {
		all[i] = rows[at]
	}
	return all
}
