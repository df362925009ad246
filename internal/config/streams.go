package config

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// branchesMax is the most branches of a switch.
const branchesMax = 64

// columnRule is what a name must be that stands before the dot of a column.
var columnRule = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)

// Align makes one row of the rows of several streams.
type Align struct {
	By      []string      `yaml:"by" doc:"columns that the rows have in common: the pipeline's key, or what becomes it"`
	Within  time.Duration `yaml:"within,required" min:"1" doc:"how far apart in event time rows of one row may be; for last: how old a value may be"`
	Kind    string        `yaml:"kind" enum:"inner,outer,last" doc:"inner: rows that have all streams; outer: also those that lack some, once the watermark has passed; last: a row for each message, with the last values of the others"`
	RowsMax int           `yaml:"rows_max" min:"1" max:"100000" doc:"most rows that wait for a key; one more is a dead letter"`
}

// Join pairs the rows of two streams.
type Join struct {
	Left    string        `yaml:"left,required" doc:"a stream of from"`
	Right   string        `yaml:"right,required" doc:"the other stream"`
	By      []string      `yaml:"by" doc:"columns that the rows have in common: the pipeline's key, or what becomes it"`
	Within  time.Duration `yaml:"within,required" min:"1" doc:"how far apart in event time the two rows of a pair may be"`
	Kind    string        `yaml:"kind" enum:"inner,left" doc:"inner: pairs; left: also rows of left without one, once the watermark has passed"`
	RowsMax int           `yaml:"rows_max" min:"1" max:"100000" doc:"most rows that wait for a key; one more is a dead letter"`
}

func alignDefaults() Align { return Align{Kind: "inner", RowsMax: 1000} }

func joinDefaults() Join { return Join{Kind: "inner", RowsMax: 1000} }

func (a *Align) fromNode(d *decoder, n *yaml.Node, path string) {
	*a = alignDefaults()
	type long Align
	d.fields(n, settable((*long)(a)), path)
}

func (j *Join) fromNode(d *decoder, n *yaml.Node, path string) {
	*j = joinDefaults()
	type long Join
	d.fields(n, settable((*long)(j)), path)
}

// Switch is the branches of a switch, in the order of the file.
type Switch []Branch

// Branch takes the rows for which its condition is true and no branch before
// it took. The one called else has no condition.
type Branch struct {
	Name  string   `yaml:"-"`
	Path  string   `yaml:"-"`
	Where string   `yaml:"where" doc:"expression; rows for which it is true take the branch. The branch called else takes the others and has none"`
	Steps []Step   `yaml:"steps" doc:"what is done with the rows of the branch, in order"`
	To    []Target `yaml:"to,required" min:"1" doc:"sinks of the rows of the branch"`
}

// elseName is the branch of the rows that no other takes.
const elseName = "else"

func (s *Switch) fromNode(d *decoder, n *yaml.Node, path string) {
	d.named(n, path, "branches by name", func(key, value *yaml.Node, path string) {
		if len(*s) == branchesMax {
			d.fail(key, path, "", "more than %d branches", branchesMax)
			return
		}
		b := Branch{Name: key.Value, Path: path}
		d.value(value, settable(&b), "", path)
		*s = append(*s, b)
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.fail(n, path, "such as hot: {where: temp > 80, to: [{topic: hot}]}", "a switch needs a branch")
	}
}

// Else reports whether the switch takes every row.
func (s Switch) Else() bool {
	return slices.ContainsFunc(s, func(b Branch) bool { return b.Name == elseName })
}

// Branches returns the branches of all switches of the pipeline, one inside
// another too.
func (p *Pipeline) Branches() []*Branch { return branches(nil, p.Steps) }

func branches(all []*Branch, steps []Step) []*Branch {
	for i := range steps {
		for k := range steps[i].Switch {
			b := &steps[i].Switch[k]
			all = branches(append(all, b), b.Steps)
		}
	}
	return all
}

// Targets returns all lists of sinks of the pipeline.
func (p *Pipeline) Targets() [][]Target {
	all := [][]Target{p.To, p.Late, p.DeadLetters}
	for _, b := range p.Branches() {
		all = append(all, b.To)
	}
	return all
}

// checkSteps checks the steps of a pipeline, or of a branch.
func (d *decoder) checkSteps(p *Pipeline, steps []Step) {
	for i := range steps {
		s := &steps[i]
		d.checkStep(s)
		switch s.Kind {
		case "align":
			d.checkAlign(p, s)
		case "join":
			d.checkJoin(p, s)
		case "switch":
			d.checkSwitch(p, s)
			if s.Switch.Else() && i+1 < len(steps) {
				d.problem(steps[i+1].Path, "put it into the branches, or leave else out: rows that no branch takes then go on here", "no row gets here: else takes what no other branch does")
			}
		}
	}
}

func (d *decoder) checkSwitch(p *Pipeline, s *Step) {
	for i := range s.Switch {
		b := &s.Switch[i]
		last := i == len(s.Switch)-1
		switch {
		case b.Name != elseName && !d.there(b.Path+".where") && !d.hasProblem(b.Path):
			d.problem(b.Path+"#key", "where: temp > 80; a branch called else takes what the others leave", "missing key %q", "where")
		case b.Name == elseName && d.there(b.Path+".where"):
			d.problem(b.Path+".where#key", "give the branch another name", "else takes what the others leave, it has no condition")
		case b.Name == elseName && !last:
			d.problem(b.Path+"#key", "put it behind the others", "else is the last branch")
		}
		d.checkSteps(p, b.Steps)
	}
}

// checkTo makes sure that results have somewhere to go.
func (d *decoder) checkTo(f *File, p *Pipeline) {
	ends := len(p.Steps) > 0 && p.Steps[len(p.Steps)-1].Switch.Else()
	followers := f.Followers(p.Name)
	switch {
	case ends && d.there(p.Path+".to"):
		d.problem(p.Path+".to#key", "leave it out, or take out else: rows that no branch takes then go to to", "no row gets here: every row takes a branch")
	case ends && len(followers) > 0:
		d.problem(followers[0].Path+".from.pipeline", "let a branch publish to a topic, and read the topic", "every row of %s takes a branch", p.Name)
	case !ends && len(followers) == 0 && !d.there(p.Path+".to") && d.there(p.Path) && !d.hasProblemAt(p.Path):
		d.problem(p.Path+"#key", "to: sinks of the results", "missing key %q", "to")
	}
}

// hasProblemAt reports whether a problem is that of the value at path itself.
func (d *decoder) hasProblemAt(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Path == path })
}

func (d *decoder) checkAlign(p *Pipeline, s *Step) {
	if s.Align == nil {
		return
	}
	if len(p.From.Streams) < 2 {
		d.noStreams(p, s.Path+".align#key")
	}
	d.checkBy(p, s.Path+".align.by", s.Align.By)
}

func (d *decoder) checkJoin(p *Pipeline, s *Step) {
	if s.Join == nil {
		return
	}
	d.checkBy(p, s.Path+".join.by", s.Join.By)
	if len(p.From.Streams) != 2 {
		d.noStreams(p, s.Path+".join#key")
		return
	}
	for side, name := range map[string]string{"left": s.Join.Left, "right": s.Join.Right} {
		if at := s.Path + ".join." + side; d.there(at) && !slices.Contains(p.From.Streams, name) {
			d.problem(at, d.didYouMean(name, "streams", p.From.Streams), "there is no stream %q", name)
		}
	}
	if s.Join.Left == s.Join.Right {
		d.problem(s.Path+".join.right", "name the other stream", "%s is on both sides", s.Join.Left)
	}
}

func (d *decoder) noStreams(p *Pipeline, path string) {
	switch n := len(p.From.Streams); {
	case n > 2:
		d.problem(path, "align takes more than two", "a join takes the two streams of a pipeline, and %s has %d", p.Name, n)
	case d.there(p.Path + ".from"):
		d.problem(path, "name them: from: {temp: plant/{device}/temp, vib: plant/{device}/vib}", "%s reads no streams", p.Name)
	}
}

// checkBy makes what the rows have in common the key of the pipeline.
func (d *decoder) checkBy(p *Pipeline, path string, by []string) {
	d.checkNames(path, by)
	switch {
	case len(by) == 0:
	case len(p.Key) == 0:
		p.Key = by
	case !slices.Equal(p.Key, by):
		d.problem(path, "they are the same; by may be left out", "by is %s, and the key of the pipeline %s", strings.Join(by, ", "), strings.Join(p.Key, ", "))
	}
}
