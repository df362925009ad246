package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline/topics"
)

// A spec is what the file says of a sink.
type spec interface {
	names() []string // the columns that it needs
	takesAll() bool  // it writes every column, beside names
	label() string
	check(d *decoder, path string)
}

// spec returns what the target says, nil for a name or one of the kinds that
// Target itself knows.
func (t *Target) spec() spec {
	switch {
	case t.HTTP != nil:
		return t.HTTP
	case t.Postgres != nil:
		return t.Postgres
	case t.Prometheus != nil:
		return t.Prometheus
	case t.NATS != nil:
		return t.NATS
	case t.Kafka != nil:
		return t.Kafka
	case t.HomeAssistant != nil:
		return t.HomeAssistant
	}
	return nil
}

// more reads the kinds that have a spec.
func (t *Target) more(d *decoder, n *yaml.Node, path string) {
	switch t.Kind {
	case "http":
		s := httpSinkDefaults()
		t.HTTP = &s
		d.value(n, settable(t.HTTP), "", path)
	case "postgres":
		s := postgresDefaults()
		t.Postgres = &s
		d.value(n, settable(t.Postgres), "", path)
	case "prometheus":
		s := prometheusDefaults()
		t.Prometheus = &s
		d.value(n, settable(t.Prometheus), "", path)
	case "nats":
		s := natsDefaults()
		t.NATS = &s
		d.value(n, settable(t.NATS), "", path)
	case "kafka":
		s := kafkaDefaults()
		t.Kafka = &s
		d.value(n, settable(t.Kafka), "", path)
	case "homeassistant":
		s := homeAssistantDefaults()
		t.HomeAssistant = &s
		d.value(n, settable(t.HomeAssistant), "", path)
	}
}

// A Delivery says how rows wait for a sink. Zeros are what a sink in the same
// process wants.
type Delivery struct {
	Batch  int           // most rows of a write
	Linger time.Duration // how long rows wait for more
	Queue  Size          // bytes of rows kept while the sink is away
}

// Delivery returns how rows wait for the sink.
func (t *Target) Delivery() Delivery {
	switch {
	case t.Influx != nil:
		return Delivery{t.Influx.Batch, t.Influx.Linger, t.Influx.Queue}
	case t.HTTP != nil:
		return Delivery{t.HTTP.Batch, t.HTTP.Linger, t.HTTP.Queue}
	case t.Postgres != nil:
		return Delivery{t.Postgres.Batch, t.Postgres.Linger, t.Postgres.Queue}
	case t.Prometheus != nil:
		return Delivery{t.Prometheus.Batch, t.Prometheus.Linger, t.Prometheus.Queue}
	case t.NATS != nil:
		return Delivery{t.NATS.Batch, t.NATS.Linger, t.NATS.Queue}
	case t.Kafka != nil:
		return Delivery{t.Kafka.Batch, t.Kafka.Linger, t.Kafka.Queue}
	}
	return Delivery{}
}

// Texts are texts by name, in the order of the file: headers or properties.
// Columns stand in braces; a value may come from the environment.
type Texts []Text

// Text is one of Texts.
type Text struct {
	Name  string
	Value Secret
}

// textsMax is the most headers or properties of a sink.
const textsMax = 64

func (ts *Texts) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "a text for each name", func(key, value *yaml.Node, path string) {
		t := Text{Name: key.Value}
		d.value(value, settable(&t.Value), "", path)
		if len(*ts) == textsMax {
			d.fail(key, path, "", "more than %d names", textsMax)
		}
		*ts = append(*ts, t)
	})
}

func (ts Texts) names() []string {
	var names []string
	for _, t := range ts {
		more, _ := namesIn(string(t.Value))
		names = append(names, more...)
	}
	return names
}

func (d *decoder) checkTexts(path string, ts Texts) {
	for _, t := range ts {
		d.checkBraces(path+"."+t.Name, string(t.Value), "columns stand in braces: {device}")
	}
}

// isWritten reports whether the value at path stands in the file itself. One
// from the environment may be another where the file runs.
func (d *decoder) isWritten(path string) bool {
	return d.there(path) && !d.hasProblem(path) && !envRule.MatchString(d.src.values[path].Value)
}

// checkBraces refuses a text whose braces are wrong.
func (d *decoder) checkBraces(path, text, hint string) {
	if _, wrong := namesIn(text); wrong != "" && d.there(path) {
		d.problem(path, hint, "%s", wrong)
	}
}

// checkOneOf refuses a secret that is given twice: as it is and in a file.
func (d *decoder) checkOneOf(path string, keys ...string) {
	for _, key := range keys {
		if d.there(path+"."+key) && d.there(path+"."+key+"_file") {
			d.problem(path+"."+key+"_file#key", "leave one of them out", "%s is there, too", key)
		}
	}
}

// checkLogin refuses two ways to say who we are.
func (d *decoder) checkLogin(path string) {
	d.checkOneOf(path, "token", "password")
	for _, token := range []string{"token", "token_file"} {
		if d.there(path+"."+token) && d.there(path+".user") {
			d.problem(path+"."+token+"#key", "leave one of them out", "user is there, too")
		}
	}
	for _, password := range []string{"password", "password_file"} {
		if d.there(path+"."+password) && !d.there(path+".user") {
			d.problem(path+"."+password+"#key", "add user, or write token", "a password without a user")
		}
	}
}

// checkServer refuses what is no URL of a server.
func (d *decoder) checkServer(path, text, such string, schemes ...string) {
	if !d.there(path) {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme):
		d.problem(path, "such as "+such, "this is no URL of a server")
	case u.User != nil:
		d.problem(path, "use the keys user and password", "a URL with a password is shown in logs")
	}
}

// A format is what payloads are: the keys of a sink of messages.
type format struct {
	name        string
	fields      []string
	measurement string
	tags        []string
}

func (f format) names() []string {
	names, _ := namesIn(f.measurement)
	return slices.Concat(names, f.tags, f.fields)
}

// checkFormat refuses keys that go with another format, and misses those that
// this one needs.
func (d *decoder) checkFormat(path string, f format) {
	d.checkNames(path+".fields", f.fields)
	d.checkNames(path+".tags", f.tags)
	d.checkBraces(path+".measurement", f.measurement, "such as motors, or {line}_motors")
	switch {
	case f.name == "line" && f.measurement == "":
		d.problem(path+".format", "measurement: motors, and tags: [device]", "missing key %q for format line", "measurement")
	case f.name == "value" && len(f.fields) != 1:
		d.problem(path+".format", "name it, such as fields: [temp]", "format value writes one column, have %d", len(f.fields))
	}
	for _, key := range []string{"measurement", "tags"} {
		if f.name != "line" && d.there(path+"."+key) {
			d.problem(path+"."+key+"#key", "write format: line, or leave it out", "%s belongs to format line", key)
		}
	}
	for i, name := range f.fields {
		if slices.Contains(f.tags, name) {
			d.problem(fmt.Sprintf("%s.fields[%d]", path, i), "", "%q is a tag already", name)
		}
	}
}

// checkTopic checks a topic sink, whose keys stand beside each other.
func (d *decoder) checkTopic(t *TopicSink, path string) {
	if _, err := topics.CompileTemplate(t.Topic); err != nil && d.there(path+".topic") {
		d.problem(path+".topic", "such as alerts/{device}", "%v", err)
	}
	if _, err := topics.CompileTemplate(t.ResponseTopic); err != nil && d.there(path+".response_topic") {
		d.problem(path+".response_topic", "such as commands/{device}", "%v", err)
	}
	d.checkFormat(path, t.format())
	d.checkTexts(path+".properties", t.Properties)
	if t.Expiry%time.Second != 0 {
		d.problem(path+".expiry", "MQTT counts it in seconds", "%s is too fine", t.Expiry)
	}
}

func (s *FileSink) format() format { return format{s.Format, s.Fields, s.Measurement, s.Tags} }

func topicSinkDefaults() TopicSink { return TopicSink{Format: "json"} }

func (t *TopicSink) format() format { return format{t.Format, t.Fields, t.Measurement, t.Tags} }

func (t *TopicSink) names() []string {
	var names []string
	for _, s := range []string{t.Topic, t.ResponseTopic} {
		if c, err := topics.CompileTemplate(s); err == nil {
			names = append(names, c.Names()...)
		}
	}
	return slices.Concat(names, t.format().names(), t.Properties.names())
}

// namesOf returns the columns in braces of several texts.
func namesOf(texts ...string) []string {
	var names []string
	for _, s := range texts {
		more, _ := namesIn(s)
		names = append(names, more...)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.TrimSpace(name) == "" })
}
