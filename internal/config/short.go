package config

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The parts of a configuration with a short form, or whose keys are names.

var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// named reads a mapping whose keys are names of pipelines or sinks.
func (d *decoder) named(n *yaml.Node, path, of string, do func(key, value *yaml.Node, path string)) {
	d.mapping(n, path, of, func(key, value *yaml.Node, path string) {
		if !nameRule.MatchString(key.Value) {
			d.fail(key, path, "letters, digits, - and _, at most 64", "%q is no name", key.Value)
			return
		}
		do(key, value, path)
	})
}

func (d *decoder) mapping(n *yaml.Node, path, of string, do func(key, value *yaml.Node, path string)) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "", "want %s, have %s", of, kindOf(n))
		return
	}
	d.each(n, path, func(key, value *yaml.Node) { do(key, value, join(path, key.Value)) })
}

// textAt reads a scalar that is no field of a struct.
func (d *decoder) textAt(n *yaml.Node, path string) string {
	var text string
	d.value(n, settable(&text), "", path)
	return text
}

func (ps *Pipelines) fromNode(d *decoder, n *yaml.Node, path string) {
	d.named(n, path, "pipelines by name", func(key, value *yaml.Node, path string) {
		p := pipelineDefaults()
		p.Name, p.Path = key.Value, path
		d.value(value, settable(&p), "", path)
		*ps = append(*ps, p)
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.fail(n, path, "write one under a name of its own", "there is no pipeline")
	}
}

func (ss *Sinks) fromNode(d *decoder, n *yaml.Node, path string) {
	d.named(n, path, "sinks by name", func(key, value *yaml.Node, path string) {
		s := NamedSink{Name: key.Value, Path: path}
		d.value(value, settable(&s.Target), "", path)
		switch {
		case s.Ref != "":
			d.fail(value, path, "", "a named sink is described here, it names no other")
		case s.Topic != nil:
			d.fail(key, path, "write topic: where it is used", "a topic needs no name")
		}
		*ss = append(*ss, s)
	})
}

func (fs *FieldKinds) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "kinds by field", func(key, value *yaml.Node, path string) {
		f := FieldKind{Name: key.Value}
		d.value(value, settable(&f.Kind), `enum:"number,int,bool,text"`, path)
		*fs = append(*fs, f)
	})
}

func (t *TimeField) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		t.Field = n.Value
		return
	}
	type long TimeField // without this method
	d.fields(n, settable((*long)(t)), path)
}

func (i *Idle) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Value == "never" {
		i.Never, i.After = true, 0
		return
	}
	d.duration(n, settable(&i.After), `min:"1"`, path)
}

func (ps *Pairs) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "a column for each input", func(key, value *yaml.Node, path string) {
		*ps = append(*ps, Pair{key.Value, d.textAt(value, path)})
	})
}

func (ps *Params) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "a number for each parameter", func(key, value *yaml.Node, path string) {
		p := Param{Name: key.Value}
		if value.Kind == yaml.ScalarNode && value.Tag == "!!bool" { // a switch is 0 or 1
			var on bool
			if d.value(value, settable(&on), "", path); on {
				p.Value = 1
			}
		} else {
			d.value(value, settable(&p.Value), "", path)
		}
		*ps = append(*ps, p)
	})
}

func (s *Simulate) fromNode(d *decoder, n *yaml.Node, path string) {
	*s = simulateDefaults()
	type long Simulate
	d.fields(n, settable((*long)(s)), path)
}

func (s *Step) fromNode(d *decoder, n *yaml.Node, path string) {
	s.Path = path
	type long Step
	d.fields(n, settable((*long)(s)), path)
}

// Kinds of sinks, in the order of the reference.
var sinkKinds = [...]string{"topic", "stdout", "file", "influx", "http", "postgres", "prometheus", "nats", "kafka", "homeassistant"}

// A target is {KIND: {…}}, {KIND: name of a sink}, or for topics {topic: a/b, qos: 1}.
func (t *Target) fromNode(d *decoder, n *yaml.Node, path string) {
	t.Path = path
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		d.fail(n, path, "write a mapping, such as topic: alerts/{device}", "want a sink (%s), have %s", strings.Join(sinkKinds[:], ", "), kindOf(n))
		return
	}
	var key, value *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case !slices.Contains(sinkKinds[:], k.Value):
		case key == nil:
			key, value = k, n.Content[i+1]
		case k.Value == key.Value:
			d.fail(k, path, "", "key %q is there twice", k.Value)
			return
		default:
			d.fail(k, path, "begin each with '- '", "%s and %s in one item", key.Value, k.Value)
			return
		}
	}
	if key == nil && hasKey(n, "mqtt") { // whose topic is missing
		key = &yaml.Node{Value: "topic"}
	}
	if key == nil {
		k := n.Content[0]
		d.fail(k, path, d.didYouMean(k.Value, "known sinks", sinkKinds[:]), "unknown sink %s", show(k))
		return
	}
	t.Kind = key.Value
	if t.Kind == "topic" { // its keys stand beside it
		s := topicSinkDefaults()
		t.Topic = &s
		d.fields(n, settable(t.Topic), path)
		if t.Topic.MQTT != "" && !d.there(path+".qos") {
			t.Topic.QoS = 1
		}
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		if k := n.Content[i]; k != key {
			d.fail(k, path, "indent it below "+t.Kind+":", "unknown key %s beside %s", show(k), t.Kind)
		}
	}
	d.src.keys[join(path, t.Kind)] = key
	t.body(d, value, join(path, t.Kind))
}

// body reads what stands behind stdout:, file:, influx: and so on.
func (t *Target) body(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.Style&yaml.TaggedStyle == 0 && !isNull(n) {
		d.src.values[path] = n
		t.Ref = n.Value
		return
	}
	switch t.Kind {
	case "stdout":
		t.Stdout = &StdoutSink{}
		if !isNull(n) { // alone it is all of JSON
			d.value(n, settable(t.Stdout), "", path)
		}
	case "file":
		s := fileSinkDefaults()
		t.File = &s
		d.value(n, settable(t.File), "", path)
	case "influx":
		s := influxDefaults()
		t.Influx = &s
		d.value(n, settable(t.Influx), "", path)
	default:
		t.more(d, n, path)
	}
}
