package config

import (
	"reflect"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a small machine may have no zones of its own

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline/topics"
)

// MetricLevel is the level of a topic that names what its payload is: its
// value is the name of a column.
const MetricLevel = "metric"

// Decode says what payloads are.
type Decode struct {
	Format     string   `yaml:"format,required" enum:"json,value,raw,line,csv,cbor,msgpack,protobuf,sparkplug" doc:"what payloads are"`
	Charset    string   `yaml:"charset" enum:"utf-8,latin1,utf-16" doc:"json, value, csv, line: how letters are written"`
	Columns    []string `yaml:"columns" doc:"csv: names of the columns, \"\" for one to leave out; the first line of each payload unless said"`
	Separator  string   `yaml:"separator" doc:"csv: the character between cells, \"\\t\" for a tab"`
	Descriptor string   `yaml:"descriptor" reads:"" doc:"protobuf: file that protoc --include_imports --descriptor_set_out writes"`
	Message    string   `yaml:"message" doc:"protobuf: name of the message"`
}

func decodeDefaults() Decode { return Decode{Format: "json", Charset: "utf-8", Separator: ","} }

func (x *Decode) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		d.text(n, settable(&x.Format), reflect.TypeFor[Decode]().Field(0).Tag, path)
		return
	}
	type long Decode // without this method
	d.fields(n, settable((*long)(x)), path)
}

// formatsOf has the keys of decode that belong to some formats alone.
var formatsOf = map[string]string{
	"charset": "json value csv line", "columns": "csv", "separator": "csv", "descriptor": "protobuf", "message": "protobuf",
}

// checkDecode checks what is said of payloads and their times.
func (d *decoder) checkDecode(p *Pipeline) {
	at, format := p.Path+".decode", p.Decode.Format
	if d.hasProblem(at) {
		return // what belongs to it is not known
	}
	if format == "raw" {
		for _, key := range []string{"fields", "time"} {
			if d.there(p.Path + "." + key) {
				d.problem(p.Path+"."+key+"#key", "leave it out, or decode json", "a raw payload has no fields")
			}
		}
	}
	for _, key := range []string{"charset", "columns", "separator", "descriptor", "message"} {
		formats := strings.Fields(formatsOf[key])
		if d.there(at+"."+key) && !slices.Contains(formats, format) {
			d.problem(at+"."+key+"#key", "leave it out", "%s belongs to %s, not to %s", key, strings.Join(formats, ", "), format)
		}
		if format == "protobuf" && formatsOf[key] == "protobuf" && !d.there(at+"."+key) {
			d.problem(at, "decode: {format: protobuf, descriptor: readings.pb, message: plant.Reading}", "missing key %q for protobuf", key)
		}
	}
	if s := p.Decode.Separator; len(s) != 1 || strings.ContainsAny(s, "\"\r\n") || s[0] >= 0x80 {
		d.problem(at+".separator", `such as ";" or "\t"`, "%q is not one character that can stand between cells", s)
	}
	d.checkExplode(p)
	d.checkMetric(p)
	d.checkTime(p)
}

func (d *decoder) checkExplode(p *Pipeline) {
	at := p.Path + ".explode"
	switch format := p.Decode.Format; {
	case !d.there(at):
	case p.Explode == "":
		d.problem(at, "such as readings, or . if the payload is an array", "explode is empty")
	case !slices.Contains([]string{"json", "cbor", "msgpack", "protobuf"}, format):
		d.problem(at+"#key", "leave it out", "a payload in %s has no arrays", format)
	}
}

// checkMetric makes sure that payloads can be one value where the topic has
// its name.
func (d *decoder) checkMetric(p *Pipeline) {
	if !p.Pivots() {
		return
	}
	const hint = "give the level another name, such as {kind}, if the payload names its fields itself"
	switch {
	case slices.Contains([]string{"raw", "line", "csv", "sparkplug"}, p.Decode.Format):
		d.problem(p.Path+".decode", hint, "{metric} makes a column of a payload that is one value, and decode is %s", p.Decode.Format)
	case d.there(p.Path + ".explode"):
		d.problem(p.Path+".explode#key", hint, "{metric} makes a column of a payload that is one value")
	case d.there(p.Path + ".time"):
		d.problem(p.Path+".time#key", hint, "{metric} makes a column of a payload that is one value, which has no field for its time")
	}
}

// Pivots reports whether a level of the topics is the name of a column.
func (p *Pipeline) Pivots() bool {
	for _, s := range p.From.Filters {
		f, err := topics.ParseFilter(s)
		if err != nil {
			continue
		}
		for _, l := range f.Levels() {
			if l.Name == MetricLevel {
				return true
			}
		}
	}
	return false
}

func (d *decoder) checkTime(p *Pipeline) {
	at, t := p.Path+".time", &p.Time
	if t.Step > 0 && p.Explode == "" {
		d.problem(at+".step#key", "say explode: with the array", "step is the time from element to element, and there is no array")
	}
	if t.Zone == "" {
		return
	}
	if t.Unit != "rfc3339" {
		d.problem(at+".zone#key", "leave it out, or say unit: rfc3339", "zone belongs to rfc3339, not to %s", t.Unit)
	}
	if _, err := time.LoadLocation(t.Zone); err != nil || t.Zone == "Local" {
		d.problem(at+".zone", "such as Europe/Berlin or UTC", "unknown zone %q", t.Zone)
	}
}
