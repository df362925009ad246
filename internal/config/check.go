package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline/topics"
)

// check finds what is wrong although every value by itself can be read.
func (d *decoder) check(f *File) {
	d.checkBroker(&f.Broker)
	if f.HTTP.Listen != "" && !isAddress(f.HTTP.Listen) {
		d.problem("http.listen", `write host:port, such as 127.0.0.1:8080, or "" for none`, "%q is no address", f.HTTP.Listen)
	}
	if f.Broker.MaxPacket > f.Journal.Memory/4 {
		d.problem("journal.memory", "give the journal at least four times as much", "broker.max_packet is %s, too large for a journal of %s", f.Broker.MaxPacket, f.Journal.Memory)
	}
	if f.Simulate != nil {
		d.checkSimulate(f.Simulate)
	}
	sinks := map[string]*Target{}
	for i := range f.Sinks {
		s := &f.Sinks[i]
		sinks[s.Name] = &s.Target
		d.checkTarget(f, sinks, &s.Target)
	}
	for i := range f.Pipelines {
		p := &f.Pipelines[i]
		d.checkPipeline(f, p)
		for _, list := range p.Targets() {
			for i := range list {
				d.checkTarget(f, sinks, &list[i])
			}
		}
	}
	d.checkLoops(f)
	d.checkBrokers(f)
}

// problem notes what is wrong at the value that path leads to.
func (d *decoder) problem(path, hint, format string, args ...any) {
	d.fail(d.src.find(path), strings.TrimSuffix(path, "#key"), hint, format, args...)
}

// there reports whether the file itself says something at path.
func (d *decoder) there(path string) bool { return d.src.values[path] != nil }

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && isPort(port)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

func (d *decoder) checkBroker(b *Broker) {
	seen := map[string]bool{}
	for i, s := range b.Listen {
		path := fmt.Sprintf("broker.listen[%d]", i)
		u, err := url.Parse(s)
		switch {
		case err != nil || !isPort(u.Port()) || u.User != nil || u.Path+u.RawQuery+u.Fragment != "":
			d.problem(path, "write mqtt://:1883, or mqtt://127.0.0.1:1883 for this machine alone", "%q is no address to listen on", s)
		case u.Scheme != "mqtt":
			d.problem(path, "write mqtt://"+u.Host, "%s:// is not built yet", u.Scheme)
		case seen[u.Host] && u.Port() != "0":
			d.problem(path, "", "%s is there twice", s)
		default:
			seen[u.Host] = true
		}
	}
	d.checkAccess(b)
	if b.Anonymous == "never" && b.Users == "" {
		d.problem("broker.anonymous", "add users: with a file that millrace user keeps", "nobody can connect: anonymous is never, and there are no users")
	}
}

func (d *decoder) checkSimulate(s *Simulate) {
	t, err := topics.CompileTemplate(s.Topic)
	if err != nil {
		d.problem("simulate.topic", "such as plant/{line}/motor/{device}/reading", "%v", err)
		return
	}
	for _, name := range t.Names() {
		if name != "line" && name != "device" {
			d.problem("simulate.topic", "imitated machines have {line} and {device}", "unknown name {%s}", name)
		}
	}
}

func (d *decoder) checkPipeline(f *File, p *Pipeline) {
	d.checkFrom(f, p)
	d.checkDurability(f, p)
	d.checkDecode(p)
	d.checkNames(p.Path+".key", p.Key)
	d.checkSteps(p, p.Steps)
	d.checkSmall(p, p.Steps)
	d.checkTo(f, p)
}

// checkDurability resolves what a pipeline leaves to the journal.
func (d *decoder) checkDurability(f *File, p *Pipeline) {
	switch {
	case p.Durability == "" && f.Journal.Dir != "":
		p.Durability = "durable"
	case p.Durability == "":
		p.Durability = "memory"
	case (p.Durability == "durable" || p.Durability == "relaxed") && f.Journal.Dir == "":
		d.problem(p.Path+".durability", "set journal.dir to a folder", "durability %s: the journal has no folder", p.Durability)
	}
}

// checkNames refuses names that are empty or repeated.
func (d *decoder) checkNames(path string, names []string) {
	seen := map[string]bool{}
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case name == "":
			if n := d.src.values[at]; n != nil && n.Kind == yaml.ScalarNode && !isNull(n) {
				d.problem(at, "", "an empty name")
			}
		case seen[name]:
			d.problem(at, "", "%q is there twice", name)
		}
		seen[name] = true
	}
}

// checkStep makes sure that a step is one thing, and notes which.
func (d *decoder) checkStep(s *Step) {
	kinds, have := stepKinds(), []string(nil)
	for _, key := range kinds {
		if d.there(s.Path + "." + key) {
			have = append(have, key)
		}
	}
	switch {
	case len(have) == 0 && d.knowsAll(s.Path):
		d.problem(s.Path, "", "a step is one of %s", wordList(kinds))
	case len(have) > 1:
		d.problem(s.Path+"."+have[1]+"#key", "begin each step with '- '", "%s in one step", strings.Join(have, " and "))
	case len(have) == 1:
		s.Kind = have[0]
		d.checkBeside(s)
	}
	for _, key := range have {
		if n := d.src.values[s.Path+"."+key]; n.Kind == yaml.ScalarNode && n.Value == "" && !isNull(n) {
			d.problem(s.Path+"."+key, "", "%s is empty", key)
		}
	}
}

// stepKinds returns the keys that say what a step is.
func stepKinds() []string {
	var kinds []string
	t := reflect.TypeFor[Step]()
	for i := range t.NumField() {
		if key := keyOf(t.Field(i)); key != "" && t.Field(i).Tag.Get("of") == "" {
			kinds = append(kinds, key)
		}
	}
	return kinds
}

// wordList joins words as in a sentence.
func wordList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// checkBeside refuses keys that go with another kind of step.
func (d *decoder) checkBeside(s *Step) {
	t := reflect.TypeFor[Step]()
	for i := range t.NumField() {
		key, of := keyOf(t.Field(i)), t.Field(i).Tag.Get("of")
		if of != "" && of != s.Kind && d.there(s.Path+"."+key) {
			d.problem(s.Path+"."+key+"#key", "", "%s belongs to a %s, not to %s", key, of, s.Kind)
		}
	}
}

// knowsAll reports whether the mapping at path has only keys that a step can have.
func (d *decoder) knowsAll(path string) bool {
	n := d.src.values[path]
	if n == nil || n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(n.Content); i += 2 {
		if fieldOf(reflect.TypeFor[Step](), n.Content[i].Value) < 0 {
			return false
		}
	}
	return true
}

func (d *decoder) checkTarget(f *File, sinks map[string]*Target, t *Target) {
	path := t.Path + "." + t.Kind
	switch {
	case t.Ref != "":
		d.checkRef(f, sinks, t)
	case t.Topic != nil:
		d.checkTopic(t.Topic, t.Path)
		d.checkToBroker(f, t)
	case t.Stdout != nil:
		d.checkStdout(t.Stdout, path)
	case t.File != nil:
		if t.File.Path == "" && d.there(path+".path") {
			d.problem(path+".path", "such as readings.ndjson", "a file needs a name")
		}
		d.checkFormat(path, t.File.format())
	case t.Influx != nil:
		d.checkInflux(t.Influx, path)
	case t.spec() != nil:
		t.spec().check(d, path)
	}
}

func (d *decoder) checkRef(f *File, sinks map[string]*Target, t *Target) {
	path := t.Path + "." + t.Kind
	named := sinks[t.Ref]
	if named == nil {
		var names []string
		for i := 0; i < len(f.Sinks) && !d.full(); i++ {
			if f.Sinks[i].Kind == t.Kind {
				names = append(names, f.Sinks[i].Name)
			}
		}
		hint := fmt.Sprintf("describe it under sinks:, or here as %s: {…}", t.Kind)
		if len(names) > 0 {
			hint = d.didYouMean(t.Ref, t.Kind+" sinks of this file", names)
		}
		d.problem(path, hint, "there is no sink %q", t.Ref)
	} else if named.Kind != t.Kind && named.Kind != "" {
		d.problem(path, fmt.Sprintf("write %s: %s", named.Kind, t.Ref), "sink %q is of kind %s", t.Ref, named.Kind)
	}
}

func (d *decoder) checkStdout(s *StdoutSink, path string) {
	d.checkNames(path+".fields", s.Fields)
	if s.Line != "" && len(s.Fields) > 0 {
		d.problem(path+".fields#key", "leave one of them out", "line says what is written, fields too")
	}
	if _, wrong := namesIn(s.Line); wrong != "" {
		d.problem(path+".line", `such as "{device} {mean:.2f}"`, "%s", wrong)
	}
}

func (d *decoder) checkInflux(s *InfluxSink, path string) {
	if u, err := url.Parse(s.URL); d.there(path+".url") && (err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https") {
		d.problem(path+".url", "such as http://localhost:8086", "this is no URL of a server")
	} else if err == nil && u.User != nil {
		d.problem(path+".url", "use the keys user and password", "a URL with a password is shown in logs")
	}
	need, other := []string{"database"}, []string{"org", "bucket", "token", "token_file"}
	if s.Version == 2 {
		need, other = []string{"org", "bucket"}, []string{"database", "retention_policy", "user", "password", "password_file"}
	}
	if s.Version == 3 {
		other = []string{"org", "bucket", "retention_policy", "user", "password", "password_file"}
	}
	for _, key := range need {
		if !d.there(path+"."+key) && d.there(path) {
			d.problem(path+"#key", "versions 1 and 3 take database, version 2 takes org and bucket", "missing key %q for version %d", key, s.Version)
		}
	}
	for _, key := range other {
		if d.there(path + "." + key) {
			d.problem(path+"."+key+"#key", "", "%s does not belong to version %d", key, s.Version)
		}
	}
	for _, key := range []string{"token", "password"} {
		if d.there(path+"."+key) && d.there(path+"."+key+"_file") {
			d.problem(path+"."+key+"_file#key", "leave one of them out", "%s is there, too", key)
		}
	}
	_, wrong := namesIn(s.Measurement)
	if s.Measurement == "" && d.there(path+".measurement") {
		wrong = "the measurement needs a name"
	}
	if wrong != "" {
		d.problem(path+".measurement", "such as motors, or {line}_motors", "%s", wrong)
	}
	d.checkNames(path+".tags", s.Tags)
	d.checkNames(path+".fields", s.Fields)
	for i, name := range s.Fields {
		if slices.Contains(s.Tags, name) {
			d.problem(fmt.Sprintf("%s.fields[%d]", path, i), "", "%q is a tag already", name)
		}
	}
}
