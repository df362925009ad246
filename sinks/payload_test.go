package sinks

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

func payloadOf(t *testing.T, c Payload, b *pipeline.Batch, i int) (string, error) {
	t.Helper()
	p, err := newPayload(c)
	if err != nil {
		t.Fatal(err)
	}
	p.fit(b)
	got, err := p.append([]byte("before"), b, i)
	if !strings.HasPrefix(string(got), "before") {
		t.Errorf("got %q, want it appended", got)
	}
	return strings.TrimPrefix(string(got), "before"), err
}

func TestAPayloadIsWhatItsFormatSays(t *testing.T) {
	b := batch(columns(device, temp, count, raw), []any{"m1", 2.5, 7, "\x00\xff"}, []any{nil, math.NaN(), nil, nil})
	for _, c := range []struct {
		c    Payload
		row  int
		want string
		err  string
	}{
		{Payload{Fields: []string{"temp"}}, 0, `{"time":"2026-01-01T00:00:01.000Z","temp":2.5}`, ""},
		{Payload{Format: "json", Fields: []string{"temp"}}, 1, `{"time":"2026-01-01T00:00:01.001Z"}`, ""},
		{Payload{Format: "line", Measurement: "m_{device}", Tags: []string{"device"}, Fields: []string{"temp", "n"}}, 0, "m_m1,device=m1 temp=2.5,n=7i 1767225601000000", ""},
		{Payload{Format: "line", Measurement: "m", Fields: []string{"temp"}}, 1, "", "NaN"},
		{Payload{Format: "line", Measurement: "m", Fields: []string{"n"}}, 1, "", "no field has a value"},
		{Payload{Format: "value", Fields: []string{"temp"}}, 0, "2.5", ""},
		{Payload{Format: "value", Fields: []string{"device"}}, 0, "m1", ""},
		{Payload{Format: "value", Fields: []string{"raw"}}, 0, "\x00\xff", ""},
		{Payload{Format: "value", Fields: []string{"n"}}, 1, "", "n has no value"},
		{Payload{Format: "value", Fields: []string{"nothing"}}, 0, "", "nothing has no value"},
	} {
		got, err := payloadOf(t, c.c, b, c.row)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: got %q, %v, want %q, %s", c.c, got, err, c.want, c.err)
		}
	}
	for _, c := range []Payload{{Format: "xml"}, {Format: "value"}, {Format: "value", Fields: []string{"a", "b"}}, {Format: "line"}, {Format: "line", Measurement: "{"}} {
		if _, err := newPayload(c); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

// TestCBORMeansTheSame reads what is written with another's decoder.
func TestCBORMeansTheSame(t *testing.T) {
	schema := columns(device, temp, count, on, raw)
	for _, row := range [][]any{
		{"m1 é\xff", 2.5, 7, true, "\x00\xff"}, {nil, nil, nil, nil, nil}, {strings.Repeat("x", 70000), math.Inf(1), -1, false, strings.Repeat("y", 300)},
		{"", 0.0, int64(math.MinInt64), nil, ""}, {"a", -0.5, int64(math.MaxInt64), nil, nil}, {"a", nil, 23, nil, nil}, {"a", nil, 24, nil, nil}, {"a", nil, 255, nil, nil},
		{"a", nil, 256, nil, nil}, {"a", nil, 65535, nil, nil}, {"a", nil, 65536, nil, nil}, {"a", nil, -24, nil, nil}, {"a", nil, -25, nil, nil}, {"a", nil, math.MaxUint32 + 1, nil, nil},
	} {
		got, err := payloadOf(t, Payload{Format: "cbor"}, batch(schema, row), 0)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := cbor.Unmarshal([]byte(got), &m); err != nil {
			t.Fatalf("%v: %x", err, got)
		}
		if _, ok := m["time"]; !ok {
			t.Errorf("got %v, want a time", m)
		}
		delete(m, "time")
		want := map[string]any{}
		for k, v := range row {
			switch v := v.(type) {
			case nil:
			case int:
				want[schema[k].Name] = int64(v)
			case string:
				if want[schema[k].Name] = strings.ToValidUTF8(v, "\ufffd"); schema[k].Kind == pipeline.Bytes {
					want[schema[k].Name] = []byte(v)
				}
			default:
				want[schema[k].Name] = v
			}
		}
		for name, v := range m {
			if u, ok := v.(uint64); ok {
				m[name] = int64(u)
			}
		}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("got %.200v, want %.200v", m, want)
		}
	}
}

// A talker is a publisher that keeps properties.
type talker struct {
	wall
	with []topics.Properties
}

func (w *talker) PublishWith(topic, payload []byte, qos byte, retain bool, hop uint8, p *topics.Properties) error {
	c := *p
	c.User = slices.Clone(p.User)
	w.with = append(w.with, c)
	return w.Publish(topic, payload, qos, retain, hop)
}

func TestATopicHasProperties(t *testing.T) {
	w := &talker{}
	c := TopicConfig{Topic: "x/{device}", Format: "value", Fields: []string{"temp"}, Properties: TopicProperties{
		ContentType: "text/plain", ResponseTopic: "answers/{device}", Expiry: 90e9, ID: true, User: []Header{{"unit", "°C"}, {"on", "line {n:.1f}"}},
	}}
	for range 2 { // as after a restart
		write(t, newTopic(t, c, w), batch(columns(device, temp, count), []any{"m1", 2.5, 7}, []any{"m2", 3.0, nil}))
	}
	got := w.with[1]
	want := topics.Properties{ContentType: "text/plain", ResponseTopic: "answers/m2", Expiry: 90, User: []topics.Property{got.User[0], {Name: "unit", Value: "°C"}, {Name: "on", Value: "line -"}}}
	if !reflect.DeepEqual(got, want) || got.User[0].Name != "id" || len(got.User[0].Value) != 36 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(w.with[:2], w.with[2:]) || reflect.DeepEqual(w.with[0].User[0], w.with[1].User[0]) {
		t.Errorf("got ids %v, want the same for the same result alone", w.with)
	}
	if !strings.HasPrefix(w.said[0], "x/m1 2.5") {
		t.Errorf("got %q", w.said[0])
	}
	plain := &wall{} // somebody who cannot send properties gets the message all the same
	write(t, newTopic(t, c, plain), batch(columns(device, temp), []any{"m1", 2.5}))
	if len(plain.said) != 1 {
		t.Errorf("got %q", plain.said)
	}
	for _, p := range []TopicProperties{{ResponseTopic: "a/#"}, {User: []Header{{"a", "{"}}}} {
		if _, err := NewTopic(TopicConfig{Topic: "x", Properties: p}, w); err == nil {
			t.Errorf("%+v: got no error", p)
		}
	}
}

func TestATopicWithoutAResponseTopicForARowRefusesIt(t *testing.T) {
	w := &talker{}
	s := newTopic(t, TopicConfig{Topic: "x", Properties: TopicProperties{ResponseTopic: "answers/{device}"}}, w)
	if err := s.Write(t.Context(), batch(columns(device), []any{nil}, []any{"a"})); err == nil || !strings.Contains(err.Error(), "response_topic") || len(w.with) != 1 {
		t.Errorf("got %v and %d messages, want one refused", err, len(w.with))
	}
}
