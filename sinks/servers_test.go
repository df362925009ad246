package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/sinks"
	"millrace.dev/millrace/sinks/sinktest"
)

// A hook is a web server that takes JSON once for each Idempotency-Key, and
// refuses what has a device called bad.
type hook struct {
	*httptest.Server
	paper
	keys map[string]bool
	away atomic.Bool
}

func newHook(t *testing.T) *hook {
	h := &hook{keys: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.take))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) take(w http.ResponseWriter, r *http.Request) {
	if h.away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	key := r.Header.Get("Idempotency-Key")
	switch {
	case err != nil || len(key) != 38 || r.Header.Get("Content-Type") != "application/json":
		w.WriteHeader(http.StatusTeapot)
		return
	case bytes.Contains(body, []byte(`"bad"`)):
		http.Error(w, "a bad device", http.StatusUnprocessableEntity)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys[key] {
		return
	}
	h.keys[key] = true
	if body[0] != '[' {
		body = append(append([]byte("["), body...), ']')
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(body, &rows); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, row := range rows {
		h.b.Write(append(row, '\n'))
	}
}

func TestHTTPSurvives(t *testing.T) {
	for name, array := range map[string]bool{"a request a row": false, "arrays": true} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{Overwrites: true, BadDevice: "bad", Open: func(t *testing.T) sinktest.Place {
				h := newHook(t)
				s, err := sinks.NewHTTP(sinks.HTTPConfig{URL: h.URL + "/in", Array: array})
				if err != nil {
					t.Fatal(err)
				}
				return sinktest.Place{Sink: s, Rows: h.rows(t), Down: func() { h.away.Store(true) }, Up: func() { h.away.Store(false) }}
			}})
		})
	}
}

// query returns the rows of a statement as JSON objects.
func query(t *testing.T, url, sql string) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sinktest.Patience)
	defer cancel()
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows [][]byte
	for _, r := range results {
		for _, row := range r.Rows {
			rows = append(rows, row[0])
		}
	}
	return rows
}

func postgresSurvives(t *testing.T, s *sinktest.Server) {
	n := 0
	sinktest.Run(t, sinktest.Harness{Overwrites: true, BadDevice: "bad", Open: func(t *testing.T) sinktest.Place {
		n++
		table := fmt.Sprintf("rows%d", n)
		query(t, s.URL, "CREATE TABLE "+table+` (time timestamptz, id text, device text CHECK (device <> 'bad'), temp float8, n int, "on" bool, note text, raw text, PRIMARY KEY (id, time))`)
		sink := openPostgres(t, sinks.PostgresConfig{URL: s.URL, Table: "public." + table, Key: []string{"id", "time"}})
		return sinktest.Place{
			Sink: sink,
			Rows: func() (rows []sinktest.Row) {
				for _, object := range query(t, s.URL, "SELECT row_to_json(r) FROM "+table+" r") {
					row, err := sinktest.ParseJSON(object)
					if err != nil {
						t.Fatal(err)
					}
					rows = append(rows, row)
				}
				return rows
			},
			Down: s.Quit, Up: s.Start,
		}
	}})
}

func openPostgres(t *testing.T, c sinks.PostgresConfig) *sinks.Postgres {
	t.Helper()
	s, err := sinks.NewPostgres(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openPrometheus(t *testing.T, url string) *sinks.Prometheus {
	t.Helper()
	s, err := sinks.NewPrometheus(sinks.PrometheusConfig{URL: url + "/api/v1/write", Prefix: "m_", Labels: []string{"id", "device"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrometheusSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{NumbersOnly: true, Overwrites: true, Open: func(t *testing.T) sinktest.Place {
		s := sinktest.StartPrometheus(t, "")
		return sinktest.Place{
			Sink: openPrometheus(t, s.URL), Rows: func() []sinktest.Row { return s.Samples("m_") },
			Down: s.Stop, Up: s.Start,
		}
	}})
}

func TestPrometheusSurvivesWithVictoriaMetrics(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{NumbersOnly: true, Open: func(t *testing.T) sinktest.Place {
		s := sinktest.StartVictoria(t)
		return sinktest.Place{
			Sink: openPrometheus(t, s.URL), Rows: func() []sinktest.Row { return s.Export("m") },
			Down: s.Stop, Up: s.Start,
		}
	}})
}

// startNATS starts a server with JetStream; the port is 0 at first.
func startNATS(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, MaxPayload: 4096})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(sinktest.Patience) {
		t.Fatal("NATS does not begin")
	}
	return s
}

func dialNATS(t *testing.T, s *server.Server) (*nats.Conn, nats.JetStreamContext) {
	t.Helper()
	c, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	js, err := c.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, js
}

func openNATS(t *testing.T, c sinks.NATSConfig) *sinks.NATS {
	t.Helper()
	s, err := sinks.NewNATS(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestNATSSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{BadDevice: "a.b", Open: func(t *testing.T) sinktest.Place {
		s := startNATS(t, t.TempDir(), 0)
		t.Cleanup(s.Shutdown)
		c, _ := dialNATS(t, s)
		p := &paper{}
		if _, err := c.Subscribe("x.*", func(m *nats.Msg) { p.Write(append(m.Data, '\n')) }); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		return sinktest.Place{
			Sink: openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "x.{device}"}),
			Rows: func() []sinktest.Row {
				if err := c.Flush(); err != nil { // all that the server had is on its way
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond) // and is handed to the subscription
				return p.rows(t)()
			},
		}
	}})
}

func TestNATSSurvivesWithJetStream(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Overwrites: true, BadDevice: "a.b", Open: func(t *testing.T) sinktest.Place {
		dir := t.TempDir()
		s := startNATS(t, dir, 0)
		t.Cleanup(func() { s.Shutdown() })
		_, js := dialNATS(t, s)
		if _, err := js.AddStream(&nats.StreamConfig{Name: "all", Subjects: []string{"x.*"}}); err != nil {
			t.Fatal(err)
		}
		var port int
		fmt.Sscanf(s.ClientURL(), "nats://127.0.0.1:%d", &port)
		return sinktest.Place{
			Sink: openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "x.{device}", JetStream: true, Timeout: 2 * time.Second}),
			Rows: func() []sinktest.Row {
				_, js := dialNATS(t, s)
				info, err := js.StreamInfo("all")
				if err != nil {
					t.Fatal(err)
				}
				var text []byte
				for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
					m, err := js.GetMsg("all", seq)
					if err != nil {
						t.Fatal(err)
					}
					text = append(append(text, m.Data...), '\n')
				}
				return jsonLines(t, text)
			},
			Down: func() { s.Shutdown(); s.WaitForShutdown() },
			Up:   func() { s = startNATS(t, dir, port) },
		}
	}})
}

// A cluster is a Kafka in this process, that can be cut off.
type cluster struct {
	*kfake.Cluster
	away atomic.Bool
}

func startKafka(t *testing.T, topics ...string) *cluster {
	t.Helper()
	c := &cluster{}
	var err error
	c.Cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if c.away.Load() {
			return nil, io.ErrUnexpectedEOF, true // the connection is cut
		}
		return nil, nil, false
	})
	return c
}

// records returns all that is in a topic.
func (c *cluster) records(t *testing.T, topic string) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	left := c.ends(t, client, topic)
	ctx, cancel := context.WithTimeout(t.Context(), sinktest.Patience)
	defer cancel()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { all = append(all, r); left-- })
	}
	return all
}

// ends returns how many records a topic has.
func (c *cluster) ends(t *testing.T, client *kgo.Client, topic string) (n int) {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	one := kmsg.NewListOffsetsRequestTopic()
	one.Topic = topic
	for p := range int32(2) {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = p, -1
		one.Partitions = append(one.Partitions, part)
	}
	req.Topics = append(req.Topics, one)
	for _, shard := range client.RequestSharded(t.Context(), req) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, x := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range x.Partitions {
				n += int(p.Offset)
			}
		}
	}
	return n
}

func openKafka(t *testing.T, c sinks.KafkaConfig) *sinks.Kafka {
	t.Helper()
	s, err := sinks.NewKafka(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestKafkaSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Open: func(t *testing.T) sinktest.Place {
		c := startKafka(t, "rows")
		return sinktest.Place{
			Sink: openKafka(t, sinks.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "rows", Key: "{device}", Timeout: 500 * time.Millisecond}),
			Rows: func() []sinktest.Row {
				var text []byte
				for _, r := range c.records(t, "rows") {
					text = append(append(text, r.Value...), '\n')
				}
				return jsonLines(t, text)
			},
			Down: func() { c.away.Store(true) }, Up: func() { c.away.Store(false) },
		}
	}})
}

// A house keeps retained messages, as Home Assistant's broker does.
type house struct {
	paper
	kept map[string]string
}

func (h *house) Publish(topic, payload []byte, qos byte, retain bool, _ uint8) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return fmt.Errorf("house: %w", journal.ErrFull)
	}
	if !retain || qos != 1 {
		return fmt.Errorf("%s is not kept", topic)
	}
	h.kept[string(topic)] = string(payload)
	return nil
}

func TestHomeAssistantSurvives(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{Overwrites: true, Open: func(t *testing.T) sinktest.Place {
		h := &house{kept: map[string]string{}}
		c := sinks.HomeAssistantConfig{Device: "{id}"}
		for _, f := range sinktest.Schema() {
			c.Entities = append(c.Entities, sinks.Entity{ID: f.Name, Value: f.Name})
		}
		s, err := sinks.NewHomeAssistant(c, h)
		if err != nil {
			t.Fatal(err)
		}
		return sinktest.Place{Sink: s, Rows: h.entities, Down: h.fill(true), Up: h.fill(false)}
	}})
}

// entities returns the states of each device.
func (h *house) entities() []sinktest.Row {
	h.mu.Lock()
	defer h.mu.Unlock()
	devices := map[string]sinktest.Row{}
	for topic, payload := range h.kept {
		if levels := strings.Split(topic, "/"); len(levels) == 4 && levels[3] == "state" {
			if devices[levels[1]] == nil {
				devices[levels[1]] = sinktest.Row{}
			}
			devices[levels[1]][levels[2]] = payload
		}
	}
	var rows []sinktest.Row
	for _, row := range devices {
		rows = append(rows, row)
	}
	return rows
}
