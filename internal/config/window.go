package config

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline"
)

// Window cuts the messages of a key into stretches. One of Tumbling, Hopping,
// Sliding, Session and Count is set.
type Window struct {
	Tumbling time.Duration `yaml:"tumbling" min:"1" doc:"length of a window of event time; one follows the other"`
	Hopping  time.Duration `yaml:"hopping" min:"1" doc:"length of a window of event time; one begins every so often"`
	Sliding  time.Duration `yaml:"sliding" min:"1" doc:"length of a window of event time; one ends with each message"`
	Session  time.Duration `yaml:"session" min:"1" doc:"silence, in event time, that ends a window"`
	Count    int           `yaml:"count" min:"1" max:"1000000" doc:"messages of a window, in the order in which they come"`
	Every    Every         `yaml:"every" doc:"hopping: time from one window to the next; count: messages from one to the next, as many as it has unless said"`
	Early    time.Duration `yaml:"early" min:"1" doc:"tumbling, hopping, session: open windows give a result each time this much event time has passed"`
	Correct  time.Duration `yaml:"correct" min:"1" doc:"tumbling, hopping: for so long after its result a window takes stragglers, and gives its result again for each"`
	Fields   Aggregates    `yaml:"fields,required" doc:"result column: aggregate, such as mean(temp), p95(temp), count()"`
	PanesMax int           `yaml:"panes_max" min:"1" max:"10000" doc:"most windows open at once for a key, or pieces that overlapping ones share; sliding: most messages in a window, 1000 unless said"`
}

// Every is a time, or a number of messages.
type Every struct {
	Time time.Duration
	Rows int
}

// The most messages of a sliding window, unless said.
const slidingPanesMax = 1000

func windowDefaults() Window { return Window{PanesMax: 64} }

func (w *Window) fromNode(d *decoder, n *yaml.Node, path string) {
	*w = windowDefaults()
	type long Window
	d.fields(n, settable((*long)(w)), path)
	if w.Sliding > 0 && !d.there(path+".panes_max") {
		w.PanesMax = slidingPanesMax
	}
}

func (e *Every) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		d.integer(n, settable(&e.Rows), `min:"1" max:"1000000"`, path)
		return
	}
	d.duration(n, settable(&e.Time), `min:"1"`, path)
}

// Rule returns how the window cuts.
func (w *Window) Rule() pipeline.Window {
	r := pipeline.Window{
		Size: w.Tumbling.Microseconds(), Every: w.Every.Time.Microseconds(),
		Early: w.Early.Microseconds(), Correct: w.Correct.Microseconds(), PanesMax: w.PanesMax,
	}
	switch {
	case w.Hopping > 0:
		r.Kind, r.Size = pipeline.Hopping, w.Hopping.Microseconds()
	case w.Sliding > 0:
		r.Kind, r.Size = pipeline.Sliding, w.Sliding.Microseconds()
	case w.Session > 0:
		r.Kind, r.Size = pipeline.Session, w.Session.Microseconds()
	case w.Count > 0:
		r.Kind, r.Size, r.Every = pipeline.Counted, int64(w.Count), int64(w.Every.Rows)
	}
	return r
}

var windowKinds = [...]string{"tumbling", "hopping", "sliding", "session", "count"}

func (d *decoder) checkWindow(p *Pipeline, w *Window, path string) {
	var have []string
	for _, kind := range windowKinds {
		if d.there(path + "." + kind) {
			have = append(have, kind)
		}
	}
	switch {
	case d.hasProblem(path) || !d.there(path):
	case len(have) == 0:
		d.problem(path+"#key", "such as tumbling: 10s", "a window is one of %s", wordList(windowKinds[:]))
	case len(have) > 1:
		d.problem(path+"."+have[1]+"#key", "make two steps, or two pipelines", "%s in one window", strings.Join(have, " and "))
	default:
		d.checkKeys(path, have[0])
		if !d.hasProblem(path) {
			d.checkEvery(w, path, have[0])
		}
		if !d.hasProblem(path) {
			d.checkPanes(p, w, path)
		}
	}
}

// checkKeys refuses keys that another kind of window has.
func (d *decoder) checkKeys(path, kind string) {
	for _, c := range []struct {
		key, of string
		why     map[string]string // by kind; "": of all others
	}{
		{"every", "hopping count", map[string]string{"": "tumbling windows follow each other; hopping: 1m, every: 10s makes them overlap"}},
		{"early", "tumbling hopping session", map[string]string{
			"sliding": "each message gives a result already",
			"count":   "a window that lacks messages has no result; a smaller count gives results sooner",
		}},
		{"correct", "tumbling hopping", map[string]string{
			"sliding": "a straggler would change the result of every message after it; a longer lateness waits for it",
			"session": "a straggler moves where a session begins or ends, or makes two one, and no result takes back those given; a longer lateness waits for it",
			"count":   "counted windows go by the order in which messages come: none is late",
		}},
	} {
		if d.there(path+"."+c.key) && !slices.Contains(strings.Fields(c.of), kind) {
			of := strings.Fields(c.of)
			d.problem(path+"."+c.key+"#key", cmp.Or(c.why[kind], c.why[""]), "%s belongs to %s, not to %s", c.key, wordList(of), kind)
		}
	}
}

// checkEvery compares times with the length of the window.
func (d *decoder) checkEvery(w *Window, path, kind string) {
	e := w.Every
	switch {
	case kind == "hopping" && e == (Every{}):
		d.problem(path+"."+kind+"#key", "such as every: 10s", "missing key %q for hopping", "every")
	case kind == "hopping" && e.Rows > 0:
		d.problem(path+".every", "write a duration, such as 10s", "hopping windows begin by time, not by messages")
	case kind == "count" && e.Time > 0:
		d.problem(path+".every", "write a number, such as 10", "counted windows begin by messages, not by time")
	case e.Time > w.Hopping || e.Rows > w.Count:
		d.problem(path+".every", "every is at most the length of a window", "messages between two windows would be in none")
	case kind == "hopping" && w.Early >= w.Hopping:
		d.problem(path+".early", "", "early results each %s of a window of %s: it has ended by then", brief(w.Early), brief(w.Hopping))
	case kind == "tumbling" && w.Early >= w.Tumbling:
		d.problem(path+".early", "", "early results each %s of a window of %s: it has ended by then", brief(w.Early), brief(w.Tumbling))
	}
}

// checkPanes makes sure that as many panes may be open as are while rows come
// in order, and as those that are waited for need.
func (d *decoder) checkPanes(p *Pipeline, w *Window, path string) {
	r := w.Rule()
	if r.Kind == pipeline.Sliding || r.Kind == pipeline.Session {
		return
	}
	need := r.Panes()
	if r.Kind != pipeline.Counted && (r.Kind == pipeline.Hopping || r.Correct > 0) {
		need += (p.Lateness.Microseconds()+r.Correct)/r.Pane() + 1
	}
	if need <= int64(w.PanesMax) {
		return
	}
	at, hint := path+".every", "let every be a larger part of the length, or raise panes_max"
	if r.Correct > 0 {
		at, hint = path+".correct", "shorten it, or raise panes_max"
	}
	if need > 10_000 {
		hint, _, _ = strings.Cut(hint, ", or raise")
	}
	d.problem(at, hint, "%d panes of a key would be open at once, and panes_max is %d", need, w.PanesMax)
}
