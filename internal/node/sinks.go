package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
)

// newSink opens the sink that t describes. l is the link to the other broker
// that it publishes to, or nil.
func newSink(f *config.File, t *config.Target, out io.Writer, p sinks.Publisher, l *link) (sinks.Sink, error) {
	switch t.Kind {
	case "topic":
		if l != nil {
			return sinks.NewRemote(topicConfig(t.Topic), l.begin)
		}
		return NewTopic(t.Topic, p)
	case "stdout":
		return sinks.NewStdout(sinks.StdoutConfig{Line: t.Stdout.Line, Fields: t.Stdout.Fields}, out)
	case "file":
		c := t.File
		return sinks.NewFile(sinks.FileConfig{
			Path: f.Join(c.Path), Format: c.Format, Fields: c.Fields, Measurement: c.Measurement, Tags: c.Tags,
			Rotate: sinks.Rotate{Bytes: int64(c.Rotate.Bytes), Age: c.Rotate.Age, Keep: c.Rotate.Keep},
		})
	case "influx":
		return newInflux(f, t.Influx)
	case "homeassistant":
		return newHomeAssistant(t.HomeAssistant, p)
	}
	return newRemoteSink(f, t)
}

func newInflux(f *config.File, c *config.InfluxSink) (sinks.Sink, error) {
	token, err := secret(f, string(c.Token), c.TokenFile)
	if err != nil {
		return nil, err
	}
	password, err := secret(f, string(c.Password), c.PasswordFile)
	if err != nil {
		return nil, err
	}
	return sinks.NewInflux(sinks.InfluxConfig{
		URL: c.URL, Version: c.Version, Database: c.Database, RetentionPolicy: c.RetentionPolicy, Org: c.Org, Bucket: c.Bucket,
		Token: token, User: c.User, Password: password, Measurement: c.Measurement, Tags: c.Tags, Fields: c.Fields,
		Gzip: c.Gzip, Timeout: c.Timeout,
	})
}

// secret returns the value given, or what the file holds.
func secret(f *config.File, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(f.Join(file))
	return strings.TrimSpace(string(b)), err
}

// deliveries opens every sink of a file: a named one once, for all that use it.
type deliveries struct {
	file    *config.File
	stdout  io.Writer
	broker  sinks.Publisher
	log     *slog.Logger
	metrics *metrics.Registry
	links   map[string]*link // to other brokers
	node    *Node            // with a journal on disk, or nil
	dead    func([]pipeline.DeadLetter)

	old   []*delivery // of the edition before; nil where it is used again
	named map[string]*delivery
	all   []*delivery
}

// open returns the deliveries that targets name. Dead letters of their sinks go to dead.
func (d *deliveries) open(name string, targets []config.Target, dead func([]pipeline.DeadLetter)) ([]taker, error) {
	var all []taker
	for i := range targets {
		t := &targets[i]
		if t.Ref != "" {
			all = append(all, d.named[t.Ref])
			continue
		}
		one, err := d.add(name, t.Label(), t, dead)
		if err != nil {
			return nil, d.file.Problem(t.Path, err.Error(), "")
		}
		all = append(all, one)
	}
	return all, nil
}

func (d *deliveries) openNamed(dead func([]pipeline.DeadLetter)) error {
	d.named = map[string]*delivery{}
	for i := range d.file.Sinks {
		s := &d.file.Sinks[i]
		one, err := d.add("", s.Name, &s.Target, dead)
		if err != nil {
			return d.file.Problem(s.Path, err.Error(), "")
		}
		d.named[s.Name] = one
	}
	return nil
}

func (d *deliveries) add(pipe, name string, t *config.Target, dead func([]pipeline.DeadLetter)) (*delivery, error) {
	want := &delivery{pipeline: pipe, name: name, target: *t, files: stampsOf(d.file.Reads(*t)), ended: make(chan struct{})}
	if t.Topic != nil {
		want.link = d.links[t.Topic.MQTT]
	}
	if one := d.reuse(want); one != nil {
		d.all = append(d.all, one)
		return one, nil
	}
	s, err := newSink(d.file, t, d.stdout, d.broker, want.link)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Kind, err)
	}
	wait := t.Delivery()
	want.Delivery = sinks.NewDelivery(s, sinks.DeliveryConfig{
		Pipeline: pipe, Sink: name, Dead: dead, Log: d.log, Metrics: d.metrics,
		RowsMax: wait.Batch, Linger: wait.Linger, QueueMax: int64(wait.Queue),
	})
	d.all = append(d.all, want)
	if d.node != nil {
		if err := want.Outbox(d.node.journal, d.idOf(want), &outbox{d.node, want}); err != nil {
			d.log.Warn("a sink may get rows twice", "sink", name, "pipeline", pipe, "error", err)
		}
	}
	return want, nil
}

// idOf returns the name under which a delivery keeps its place in the journal.
func (d *deliveries) idOf(want *delivery) string {
	same := 0
	for _, one := range d.all {
		if one != want && one.pipeline == want.pipeline && one.name == want.name {
			same++
		}
	}
	want.id = want.pipeline + "/" + want.name
	if same > 0 {
		want.id += fmt.Sprintf("#%d", same+1)
	}
	return want.id
}

// drain delivers what is queued; all sinks at once, until ctx is done.
func (d *deliveries) drain(ctx context.Context) error {
	errs := make(chan error, len(d.all))
	for _, one := range d.all {
		go func() { errs <- one.Drain(ctx) }()
	}
	var first error
	for range d.all {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
