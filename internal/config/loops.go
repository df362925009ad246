package config

import (
	"strings"

	"millrace.dev/millrace/pipeline/topics"
)

// A link says that a pipeline publishes to a topic that another receives.
type link struct {
	from, to int
	*output
}

// An output is a topic that a pipeline publishes to.
type output struct {
	path   string // where it is written
	topic  string
	filter string
}

// checkLoops refuses pipelines that receive what they publish, directly or
// through others, unless one of them allows it. Of the loops through the same
// pipelines it tells the shortest.
func (d *decoder) checkLoops(f *File) {
	links, ok := d.links(f)
	if !ok {
		return
	}
	for i := range f.Pipelines {
		way := loop(f, links, i)
		if way == nil {
			continue
		}
		var text strings.Builder
		for _, l := range way {
			text.WriteString(f.Pipelines[l.from].Name + " → ")
			if l.topic != "" {
				text.WriteString(l.topic + " → ")
			}
		}
		text.WriteString(f.Pipelines[i].Name)
		d.problem(way[0].path, "publish elsewhere, or say allow_loop: true in one of the pipelines: a message is then stopped after 8 hops", "a loop: %s", &text)
	}
}

// loop returns the shortest way from pipeline start back to it through
// pipelines of higher numbers, so that every loop is told once.
func loop(f *File, links [][]link, start int) []link {
	if f.Pipelines[start].AllowLoop {
		return nil
	}
	by := make([]*link, len(links)) // how each pipeline was reached first
	for at := []int{start}; len(at) > 0; at = at[1:] {
		for i := range links[at[0]] {
			l := &links[at[0]][i]
			if l.to == start {
				return wayTo(l, by)
			}
			if l.to > start && by[l.to] == nil && !f.Pipelines[l.to].AllowLoop {
				by[l.to] = l
				at = append(at, l.to)
			}
		}
	}
	return nil
}

// wayTo returns the links that lead to and through last.
func wayTo(last *link, by []*link) []link {
	if before := by[last.from]; before != nil {
		return append(wayTo(before, by), *last)
	}
	return []link{*last}
}

// links returns the links that begin at each pipeline, one for each pair.
func (d *decoder) links(f *File) (all [][]link, ok bool) {
	filters := make([][]string, len(f.Pipelines))
	published := make([][]output, len(f.Pipelines))
	ins, outs := 0, 0
	for i := range f.Pipelines {
		filters[i], published[i] = inputs(&f.Pipelines[i]), outputs(&f.Pipelines[i], "")
		ins, outs = ins+len(filters[i]), outs+len(published[i])
	}
	if ins*outs > pairsMax {
		d.problem("pipelines#key", "divide them between several files", "%d filters and %d topics are more than can be searched for loops", ins, outs)
		return nil, false
	}
	all = make([][]link, len(f.Pipelines))
	for a := range published {
		for b := range filters {
			o := feeds(published[a], filters[b])
			if p := &f.Pipelines[b]; p.From.Pipeline == f.Pipelines[a].Name && !d.hasProblem(p.Path+".from") {
				o = &output{p.Path + ".from.pipeline", "", ""}
			}
			if o != nil {
				all[a] = append(all[a], link{a, b, o})
			}
		}
	}
	return all, true
}

// feeds returns the first output that one of the filters may match, or nil.
func feeds(outs []output, filters []string) *output {
	for i := range outs {
		for _, in := range filters {
			if topics.Overlap(in, outs[i].filter) {
				return &outs[i]
			}
		}
	}
	return nil
}

// inputs returns what a pipeline reads from the embedded broker.
func inputs(p *Pipeline) []string {
	var all []string
	if p.From.Broker != "" {
		return nil
	}
	for _, s := range p.From.Filters {
		if f, err := topics.ParseFilter(s); err == nil {
			all = append(all, f.MQTT())
		}
	}
	return all
}

// outputs returns what a pipeline publishes to a broker; "" is the embedded one.
func outputs(p *Pipeline, broker string) []output {
	var all []output
	for _, list := range p.Targets() {
		for i := range list {
			t := &list[i]
			if h := t.HomeAssistant; h != nil && broker == "" {
				all = append(all, output{t.Path + ".homeassistant", h.Base + "/…", h.Base + "/+/+/state"})
			}

			if t.Topic == nil || t.Topic.MQTT != broker {
				continue
			}
			if c, err := topics.CompileTemplate(t.Topic.Topic); err == nil {
				all = append(all, output{t.Path + ".topic", t.Topic.Topic, c.Filter()})
			}
		}
	}
	return all
}
