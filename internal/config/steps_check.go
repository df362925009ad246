package config

import (
	"slices"
	"strings"

	"millrace.dev/millrace/pipeline/topics"
)

// checkSmall finds what is wrong with small steps although each of their
// values can be read; steps are those of p, or of a branch.
func (d *decoder) checkSmall(p *Pipeline, steps []Step) {
	for i := range steps {
		d.checkSmallStep(p, steps, &steps[i])
		for k := range steps[i].Switch {
			d.checkSmall(p, steps[i].Switch[k].Steps)
		}
	}
}

func (d *decoder) checkSmallStep(p *Pipeline, steps []Step, s *Step) {
	path := s.Path + "." + s.Kind
	switch {
	case s.Kind == "keep" || s.Kind == "drop":
		d.checkNames(path, slices.Concat(s.Keep, s.Drop))
	case s.Hash != nil:
		d.checkHash(p, steps, s, path)
	case s.Compress != nil && s.Compress.Deviation < 0:
		d.problem(path+".deviation", "", "a deviation is not negative")
	case s.Dedupe != nil:
		d.checkNames(path+".by", s.Dedupe.By)
	case s.Fill != nil:
		d.checkNames(path+".fields", s.Fill.Fields)
		if s.Fill.With.How != "last" && len(s.Fill.Fields) == 0 && d.there(path+".with") && !d.hasProblem(path) {
			d.problem(path+"#key", "fields: the columns of numbers that get it", "missing key %q", "fields")
		}
	case s.Window != nil:
		d.checkWindow(p, s.Window, path)
	case s.Lookup != nil:
		d.checkLookup(s.Lookup, path)
	case s.Geo != nil && s.Geo.Cell == 0 && s.Geo.Fences == "" && !d.hasProblem(path):
		d.problem(path+"#key", "cell: 7 makes cells of 150 m, fences: zones.geojson tells the area", "neither cell nor fences are there")
	}
}

// checkHash makes sure that what is hashed does not come out some other way.
func (d *decoder) checkHash(p *Pipeline, steps []Step, s *Step, path string) {
	d.checkNames(path+".fields", s.Hash.Fields)
	switch {
	case d.there(path+".secret") && d.there(path+".secret_file"):
		d.problem(path+".secret_file#key", "leave one of them out", "secret is there, too")
	case s.Hash.Secret == "" && s.Hash.SecretFile == "" && d.there(path) && !d.hasProblem(path):
		d.problem(path+"#key", "secret: ${NAME} takes it from the environment, secret_file: from a file", "missing key %q", "secret")
	}
	for _, name := range s.Hash.Fields {
		if next := tellsKey(steps, s); next != nil && slices.Contains(p.Key, name) {
			d.problem(next.Path+"."+next.Kind+"#key", "put hash behind it", "%s writes the key of the pipeline, and so %s as it was before hash", next.Kind, name)
			return
		}
	}
}

// tellsKey returns the first step behind s whose results have the columns of
// the key as they came in, or nil.
func tellsKey(steps []Step, s *Step) *Step {
	behind := false
	for i := range steps {
		switch x := &steps[i]; {
		case x == s:
			behind = true
		case behind && slices.Contains([]string{"window", "function", "align", "join"}, x.Kind):
			return x
		}
	}
	return nil
}

func (d *decoder) checkLookup(l *Lookup, path string) {
	d.checkNames(path+".by", l.By)
	d.checkNames(path+".columns", l.Columns)
	switch file, topic := d.there(path+".file"), d.there(path+".topic"); {
	case d.hasProblem(path) || !d.there(path):
	case file && topic:
		d.problem(path+".topic#key", "leave one of them out", "file is there, too")
	case !file && !topic:
		d.problem(path+"#key", "file: devices.csv, or topic: config/{device}", "nothing says where the table is")
	case file:
		d.checkFileLookup(l, path)
	default:
		d.checkTopicLookup(l, path)
	}
}

func (d *decoder) checkFileLookup(l *Lookup, path string) {
	for _, key := range []string{"fields", "most"} {
		if d.there(path + "." + key) {
			d.problem(path+"."+key+"#key", "", "%s belongs to a topic, not to a file", key)
		}
	}
	if len(l.By) == 0 {
		d.problem(path+"#key", "by: device, which is a column of both", "missing key %q", "by")
	}
}

func (d *decoder) checkTopicLookup(l *Lookup, path string) {
	for _, key := range []string{"columns", "by"} {
		if d.there(path + "." + key) {
			hint := map[string]string{"columns": "fields: {limit: number}", "by": "its named levels are what entries are found by"}[key]
			d.problem(path+"."+key+"#key", hint, "%s belongs to a file, not to a topic", key)
		}
	}
	f, err := topics.ParseFilter(l.Topic)
	if err != nil {
		d.problem(path+".topic", "such as config/{device}", "%v", err)
		return
	}
	if len(f.Levels()) == 0 {
		d.problem(path+".topic", "such as config/{device}", "nothing in it says which entry a message is")
	}
	for _, level := range f.Levels() {
		l.By = append(l.By, level.Name)
	}
	if len(l.Fields) == 0 {
		d.problem(path+"#key", "such as fields: {limit: number, site: text}", "missing key %q", "fields")
	}
	for _, field := range l.Fields {
		if slices.Contains(l.By, field.Name) {
			d.problem(path+".fields."+strings.TrimSpace(field.Name)+"#key", "leave it out", "%s is what entries are found by", field.Name)
		}
	}
}
