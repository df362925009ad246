package script

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"millrace.dev/millrace/broker"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/node"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/sinks"
)

// results writes what a pipeline puts out as the lines of a script: what a
// topic sink would publish, and for the other sinks each row as they show it.
type results struct {
	w        *world
	to, late []target
	branches map[string]*branch // by name, as the file has it
	p        *node.Pipeline
}

// A branch is the results of a branch of a pipeline.
type branch struct {
	*results
	to []target
}

func (b *branch) Main(rows *pipeline.Batch) { b.write("out", b.to, rows) }

// Branch implements pipeline.Brancher.
func (r *results) Branch(b *pipeline.Branch) pipeline.Results {
	return r.branches[r.p.BranchConfig(b).Path]
}

// silence is results that nobody looks at.
type silence struct{}

func (silence) Main(*pipeline.Batch)       {}
func (silence) Late(*pipeline.Batch)       {}
func (silence) Dead([]pipeline.DeadLetter) {}

// A target is a sink of the file, writing into a buffer.
type target struct {
	label string // written before the row; empty for topics
	sink  sinks.Sink
	said  *bytes.Buffer
}

func newResults(w *world, f *config.File, p *node.Pipeline) (*results, error) {
	r := &results{w: w, p: p, branches: map[string]*branch{}}
	cfg := p.Config
	var err error
	for _, b := range cfg.Branches() {
		to, err := r.targets(f, b.To)
		if err != nil {
			return nil, err
		}
		r.branches[b.Path] = &branch{r, to}
	}
	if r.to, err = r.targets(f, cfg.To); err != nil {
		return nil, err
	}
	if r.late, err = r.targets(f, cfg.Late); err != nil {
		return nil, err
	}
	if len(r.late) == 0 { // late rows show in the test even when the file leaves them be
		r.late, err = r.targets(f, []config.Target{{Kind: "stdout", Stdout: &config.StdoutSink{}}})
	}
	return r, err
}

func (r *results) targets(f *config.File, list []config.Target) ([]target, error) {
	var all []target
	for i := range list {
		t := &list[i]
		if t.Ref != "" {
			t = f.Sink(t.Ref)
		}
		said := &bytes.Buffer{}
		var sink sinks.Sink
		var err error
		label := t.Kind
		switch t.Kind {
		case "topic":
			label = ""
			if t.Topic.MQTT != "" {
				label = "mqtt " + t.Topic.MQTT
			}
			sink, err = node.NewTopic(t.Topic, publisher{r, said})
		case "stdout":
			sink, err = sinks.NewStdout(sinks.StdoutConfig{Line: t.Stdout.Line, Fields: t.Stdout.Fields}, said)
		case "file":
			sink, err = sinks.NewStdout(sinks.StdoutConfig{Fields: t.File.Fields}, said)
		default:
			sink, err = sinks.NewStdout(sinks.StdoutConfig{}, said)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, target{label, sink, said})
	}
	return all, nil
}

func (r *results) Main(b *pipeline.Batch) { r.write("out", r.to, b) }
func (r *results) Late(b *pipeline.Batch) { r.write("late", r.late, b) }

func (r *results) Dead(letters []pipeline.DeadLetter) {
	for _, l := range letters {
		r.w.say("dead", "%s %s: %s", since(l.Time), l.Stage, l.Reason)
	}
}

// write sends one row at a time to each target, so that every line has its time.
func (r *results) write(section string, targets []target, b *pipeline.Batch) {
	one := pipeline.NewBatch(b.Schema(), nil)
	for i := range b.Rows() {
		one.Reset()
		one.AppendFrom(b, i)
		for _, t := range targets {
			t.said.Reset()
			if err := t.sink.Write(context.Background(), one); err != nil {
				r.w.say("dead", "%s sink %s: %v", since(b.Time[i]), t.label, err)
			}
			if section == "out" {
				r.w.traffic.Out += t.said.Len()
			}
			for line := range strings.Lines(t.said.String()) {
				text := strings.TrimSpace(t.label + " " + strings.TrimSuffix(line, "\n"))
				r.w.say(section, "%s %s", since(b.Time[i]), text)
			}
		}
	}
}

// A publisher notes what is published and feeds it to the pipelines that want it.
type publisher struct {
	r    *results
	said *bytes.Buffer
}

func (p publisher) Publish(topic, payload []byte, _ byte, _ bool, hop uint8) error {
	fmt.Fprintf(p.said, "%s %s\n", topic, payload)
	if hop > broker.HopsMax {
		return fmt.Errorf("%s: after %d hops, the loop is cut here", topic, broker.HopsMax)
	}
	p.r.w.publish(string(topic), string(payload), hop)
	return nil
}
