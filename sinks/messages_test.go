package sinks_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
	"millrace.dev/millrace/sinks/sinktest"
)

// refusals returns the rows that an error refuses, and their reasons.
func refusals(t *testing.T, err error) (rows []int, reasons string) {
	t.Helper()
	var no *sinks.Refused
	if !errors.As(err, &no) {
		t.Fatalf("got %v, want rows refused", err)
	}
	for _, r := range no.Rows {
		rows = append(rows, r.Row)
		reasons += r.Reason + "\n"
	}
	return rows, reasons
}

// mistake checks that an error is told as one of the configuration.
func mistake(t *testing.T, err error, want string) {
	t.Helper()
	var later *sinks.Later
	if !errors.As(err, &later) || !later.Mistake || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("got %v, want a mistake, %s", err, want)
	}
}

func TestASubjectTakesTokensAlone(t *testing.T) {
	s := startNATS(t, t.TempDir(), 0)
	defer s.Shutdown()
	c, _ := dialNATS(t, s)
	sub, err := c.SubscribeSync(">")
	must(t, err)
	must(t, c.Flush())
	sink := openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "a.{id}.{v}", Payload: sinks.Payload{Format: "value", Fields: []string{"id"}}})
	rows, reasons := refusals(t, sink.Write(t.Context(), table(pipeline.Schema{id, value, whole},
		[]any{"x", 7.0, nil}, []any{"x.y", 7.0, nil}, []any{"*", 7.0, nil}, []any{"", 7.0, nil}, []any{nil, 7.0, nil}, []any{"x", 2.5, nil}, []any{strings.Repeat("x", 1024), 7.0, nil})))
	if !slices.Equal(rows, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("got rows %v refused: %s", rows, reasons)
	}
	m, err := sub.NextMsg(sinktest.Patience)
	must(t, err)
	if m.Subject != "a.x.7" || string(m.Data) != "x" || len(m.Header.Get(nats.MsgIdHdr)) != 36 {
		t.Errorf("got %s %s %v", m.Subject, m.Data, m.Header)
	}
	big := openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "big"})
	rows, reasons = refusals(t, big.Write(t.Context(), table(pipeline.Schema{id}, []any{strings.Repeat("x", 5000)}, []any{"x"})))
	if !slices.Equal(rows, []int{0}) || !strings.Contains(reasons, "4096") {
		t.Errorf("got rows %v refused: %s", rows, reasons)
	}
}

func TestNATSSaysWhatIsWrongWithTheConfiguration(t *testing.T) {
	const secret = "hunter2"
	b := table(pipeline.Schema{id}, []any{"a"})
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, Users: []*server.User{
		{Username: "me", Password: secret, Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"mine", "_INBOX.>", "$JS.>"}}}},
	}})
	must(t, err)
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(sinktest.Patience) {
		t.Fatal("NATS does not begin")
	}
	mine := sinks.Login{User: "me", Password: secret}
	must(t, openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "mine", Login: mine}).Write(t.Context(), b))
	mistake(t, openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "mine"}).Write(t.Context(), b), "user and password")
	mistake(t, openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "mine", Login: sinks.Login{User: "me", Password: "x" + secret}}).Write(t.Context(), b), "user and password")
	mistake(t, openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "theirs", Login: mine}).Write(t.Context(), b), "the right to publish")
	mistake(t, openNATS(t, sinks.NATSConfig{URL: s.ClientURL(), Subject: "mine", Login: mine, JetStream: true}).Write(t.Context(), b), "stream")
	jet := startNATS(t, t.TempDir(), 0)
	defer jet.Shutdown()
	mistake(t, openNATS(t, sinks.NATSConfig{URL: jet.ClientURL(), Subject: "x", JetStream: true}).Write(t.Context(), b), "create a stream that takes the subject x")
	if _, reasons := refusals(t, openNATS(t, sinks.NATSConfig{URL: jet.ClientURL(), Subject: "x.{id}", JetStream: true}).Write(t.Context(), b)); !strings.Contains(reasons, "no stream takes the subject x.a") {
		t.Errorf("got %s", reasons)
	}
	if err := openNATS(t, sinks.NATSConfig{URL: "nats://me:" + secret + "@127.0.0.1:1", Subject: "x"}).Write(t.Context(), b); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, want an error without the secret", err)
	}
	for _, c := range []sinks.NATSConfig{{Subject: ""}, {Subject: "a b"}, {Subject: "a.>"}, {Subject: "{"}, {Subject: "a", URL: "x"}, {Subject: "a", Payload: sinks.Payload{Format: "xml"}}} {
		if c.URL == "" {
			c.URL = "nats://h"
		}
		if _, err := sinks.NewNATS(c); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

func TestAMessageOfKafkaHasKeyHeadersAndEventTime(t *testing.T) {
	c := startKafka(t, "plant-a")
	sink := openKafka(t, sinks.KafkaConfig{
		Brokers: c.ListenAddrs(), Topic: "plant-{id}", Key: "{id}/{n}", Headers: []sinks.Header{{Name: "unit", Value: "°C"}, {Name: "of", Value: "{id}"}},
		Payload: sinks.Payload{Format: "line", Measurement: "m", Fields: []string{"v"}}, Timeout: time.Minute,
	})
	rows, reasons := refusals(t, sink.Write(t.Context(), table(pipeline.Schema{id, value, whole}, []any{"a", 1.5, 7}, []any{nil, 1.5, 7}, []any{"a", nil, 7})))
	if !slices.Equal(rows, []int{1, 2}) {
		t.Errorf("got rows %v refused: %s", rows, reasons)
	}
	all := c.records(t, "plant-a")
	if len(all) != 1 {
		t.Fatalf("got %d messages", len(all))
	}
	r := all[0]
	if string(r.Key) != "a/7" || string(r.Value) != "m v=1.5 1767225600000000" || r.Timestamp.UnixMicro() != sinktest.Begin || len(r.Headers) != 3 {
		t.Errorf("got %s %s %s %v", r.Key, r.Value, r.Timestamp, r.Headers)
	}
	if h := r.Headers; h[0].Key != "id" || len(h[0].Value) != 36 || string(h[1].Value) != "°C" || string(h[2].Value) != "a" {
		t.Errorf("got %v", h)
	}
}

func TestKafkaRefusesAMessageForWhatItIs(t *testing.T) {
	c := startKafka(t, "rows")
	answers := map[int16]bool{kerr.MessageTooLarge.Code: true, kerr.TopicAuthorizationFailed.Code: false}
	for code, isRow := range answers {
		c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			res := req.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range req.(*kmsg.ProduceRequest).Topics {
				to := kmsg.NewProduceResponseTopic()
				to.Topic, to.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					part := kmsg.NewProduceResponseTopicPartition()
					part.Partition, part.ErrorCode = p.Partition, code
					to.Partitions = append(to.Partitions, part)
				}
				res.Topics = append(res.Topics, to)
			}
			return res, nil, true
		})
		err := openKafka(t, sinks.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "rows"}).Write(t.Context(), table(pipeline.Schema{id}, []any{"a"}))
		if isRow {
			refusals(t, err)
		} else {
			mistake(t, err, "right to write")
		}
	}
}

func TestKafkaSaysWhatIsWrongWithTheConfiguration(t *testing.T) {
	c := startKafka(t)
	b := table(pipeline.Schema{id}, []any{"a"})
	mistake(t, openKafka(t, sinks.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "not/a/topic"}).Write(t.Context(), b), "create the topic")
	if _, err := sinks.NewKafka(sinks.KafkaConfig{Brokers: c.ListenAddrs(), Topic: "x", SASL: "gssapi"}); err == nil {
		t.Error("got no error")
	}
	for _, bad := range []sinks.KafkaConfig{{Topic: ""}, {Topic: "{"}, {Topic: "a", Key: "{"}, {Topic: "a", Headers: []sinks.Header{{Name: "a", Value: "}"}}}, {Topic: "a", Payload: sinks.Payload{Format: "xml"}}} {
		bad.Brokers = c.ListenAddrs()
		if _, err := sinks.NewKafka(bad); err == nil {
			t.Errorf("%+v: got no error", bad)
		}
	}
	away := openKafka(t, sinks.KafkaConfig{Brokers: []string{"127.0.0.1:1"}, Topic: "x", SASL: "plain", User: "me", Password: "hunter2", Timeout: 100 * time.Millisecond})
	if err := away.Write(t.Context(), b); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}
