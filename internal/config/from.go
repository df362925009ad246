package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline/topics"
)

// Limits of what a pipeline reads.
const (
	streamsMax  = 16 // streams of a pipeline
	followedMax = 8  // pipelines that read each other's results, one behind the other
)

// From is where a pipeline's rows come from: filters, streams with a filter
// each, another broker, or the results of another pipeline.
type From struct {
	Filters  []string // MQTT topic filters
	Streams  []string // the name of each filter's stream; nil when they have none
	Broker   string   // the other broker whose topics they are; empty: the embedded one
	Groups   []string // another broker: the group that shares each filter, or ""
	QoS      int      // another broker: of the messages
	Pipeline string   // the pipeline whose results are read, instead of filters
}

func (f *From) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		d.texts(n, settable(&f.Filters), `min:"1"`, path)
		return
	}
	if len(n.Content) == 2 && n.Content[0].Value == "pipeline" {
		d.each(n, path, func(_, value *yaml.Node) { f.Pipeline = d.textAt(value, path+".pipeline") })
		return
	}
	if hasKey(n, "mqtt") {
		f.fromBroker(d, n, path)
		return
	}
	d.mapping(n, path, "a filter for each stream", func(key, value *yaml.Node, path string) {
		switch {
		case key.Value == "pipeline":
			d.fail(key, path, "let it publish to a topic, and read the topic as a stream", "the results of a pipeline are read alone")
		case !columnRule.MatchString(key.Value):
			d.fail(key, path, "lower-case letters, digits and _, such as temp", "%q is no name of a stream", key.Value)
		case len(f.Streams) == streamsMax:
			d.fail(key, path, "", "more than %d streams", streamsMax)
		default:
			f.Streams = append(f.Streams, key.Value)
			f.Filters = append(f.Filters, d.textAt(value, path))
		}
	})
	if len(n.Content) == 0 {
		d.fail(n, path, "such as temp: plant/{device}/temp", "there is no stream")
	}
}

// Place returns the path of filter i in the file.
func (f *From) Place(pipeline string, i int) string {
	if f.Streams != nil {
		return pipeline + ".from." + f.Streams[i]
	}
	if f.Broker != "" {
		return fmt.Sprintf("%s.from.topic[%d]", pipeline, i)
	}
	return fmt.Sprintf("%s.from[%d]", pipeline, i)
}

func (d *decoder) checkFrom(f *File, p *Pipeline) {
	if d.there(p.Path + ".from.pipeline") {
		d.checkFollows(f, p)
		return
	}
	d.checkFromBroker(f, p)
	seen := map[string]bool{}
	for i, s := range p.From.Filters {
		at := p.From.Place(p.Path, i)
		filter, err := topics.ParseFilter(s)
		switch {
		case err != nil:
			if n := d.src.find(at); n.Kind == yaml.ScalarNode && !isNull(n) {
				d.problem(at, "such as plant/{line}/motor/{device}/reading, or plant/#", "%v", err)
			}
		case seen[filter.MQTT()]:
			d.problem(at, "", "%q is there twice", s)
		default:
			d.checkApart(p, i, filter)
			seen[filter.MQTT()] = true
		}
	}
}

// checkApart makes sure that a topic belongs to one stream.
func (d *decoder) checkApart(p *Pipeline, i int, f *topics.Filter) {
	if p.From.Streams == nil {
		return
	}
	for k, s := range p.From.Filters[:i] {
		if other, err := topics.ParseFilter(s); err == nil && other.MQTT() != f.MQTT() && topics.Overlap(other.MQTT(), f.MQTT()) {
			d.problem(p.From.Place(p.Path, i), "a message belongs to one stream", "some topics are in the stream %s, too", p.From.Streams[k])
			return
		}
	}
}

// checkFollows checks a pipeline that reads the results of another.
func (d *decoder) checkFollows(f *File, p *Pipeline) {
	for _, key := range []string{"decode", "explode", "fields", "time"} {
		if d.there(p.Path + "." + key) {
			d.problem(p.Path+"."+key+"#key", "say it in the pipeline that is read; its columns and times are kept", "%s means nothing here: rows come decoded from %s", key, p.From.Pipeline)
		}
	}
	at, way := p, []string{p.Name}
	for at.From.Pipeline != "" {
		next := f.Pipeline(at.From.Pipeline)
		if next == nil {
			d.unknownPipeline(f, at)
			return
		}
		if next == p && p.Name == slices.Min(way) {
			d.problem(p.Path+".from.pipeline", "let one of them read a topic", "a circle of pipelines that read each other: %s ← %s", strings.Join(way, " ← "), p.Name)
		}
		if slices.Contains(way, next.Name) {
			return // told where it begins
		}
		way = append(way, next.Name)
		if at = next; len(way) > followedMax {
			d.problem(p.Path+".from.pipeline", "publish to a topic in between", "more than %d pipelines that read each other", followedMax)
			return
		}
	}
}

// unknownPipeline tells that p reads one that is not there, once.
func (d *decoder) unknownPipeline(f *File, p *Pipeline) {
	if d.hasProblem(p.Path + ".from.pipeline") {
		return
	}
	var names []string
	for i := range f.Pipelines {
		if f.Pipelines[i].Name != p.Name {
			names = append(names, f.Pipelines[i].Name)
		}
	}
	d.problem(p.Path+".from.pipeline", d.didYouMean(p.From.Pipeline, "pipelines of this file", names), "there is no pipeline %q", p.From.Pipeline)
}

// Pipeline returns the pipeline called name, or nil.
func (f *File) Pipeline(name string) *Pipeline {
	for i := range f.Pipelines {
		if f.Pipelines[i].Name == name {
			return &f.Pipelines[i]
		}
	}
	return nil
}

// Followers returns the pipelines that read the results of the one called name.
func (f *File) Followers(name string) []*Pipeline {
	var all []*Pipeline
	for i := range f.Pipelines {
		if f.Pipelines[i].From.Pipeline == name {
			all = append(all, &f.Pipelines[i])
		}
	}
	return all
}
