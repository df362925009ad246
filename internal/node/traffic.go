package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
)

// Traffic is what has gone through a node since it started.
type Traffic struct {
	Messages, Windows, Results, Late, DeadLetters uint64
}

// Traffic returns the sums over all pipelines. A message that two pipelines
// want counts twice.
func (n *Node) Traffic() Traffic {
	var t Traffic
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.tallies {
		sum := func(what string) uint64 {
			return n.metrics.Counter("millrace_pipeline_"+what+"_total", "pipeline", name).Get()
		}
		t.Messages += sum("messages_in")
		t.Windows += sum("windows")
		t.Results += sum("rows_out")
		t.Late += sum("late")
		t.DeadLetters += sum("dead_letters")
	}
	return t
}

// Since tells in words what has come since last, d ago.
func (t Traffic) Since(last Traffic, d time.Duration) string {
	s := fmt.Sprintf("messages %d (%.0f/s)  windows %d  results %d", t.Messages, float64(t.Messages-last.Messages)/d.Seconds(), t.Windows, t.Results)
	if t.Late > 0 {
		s += fmt.Sprintf("  late %d", t.Late)
	}
	if t.DeadLetters > 0 {
		s += fmt.Sprintf("  dead letters %d", t.DeadLetters)
	}
	return s
}

// Try returns lines that tell a newcomer what is there and what to try next.
func (n *Node) Try() []string {
	port := ""
	if addrs := n.Addrs(); len(addrs) > 0 {
		if _, p, ok := strings.Cut(strings.TrimPrefix(addrs[0].String(), "[::]"), ":"); ok && p != "1883" {
			port = " -p " + p
		}
	}
	lines := []string{fmt.Sprintf("millrace %s: broker on %v, %d pipelines from %s", n.opts.Version, n.Addrs(), len(n.file.Pipelines), n.file.Path)}
	if a := n.HTTPAddr(); a != nil {
		lines = append(lines, fmt.Sprintf("  http://%s/healthz and /metrics", a))
	}
	lines = append(lines, "try, in another terminal:")
	now := n.now.Load()
	now.trees(func(tree *Tree) {
		for _, list := range tree.Pipeline.Config.Targets() {
			for i := range list {
				if t := list[i].Topic; t != nil && t.MQTT == "" {
					lines = append(lines, fmt.Sprintf("  mosquitto_sub%s -v -t '%s'", port, firstFilter(t.Topic)))
				}
			}
		}
	})
	i := slices.IndexFunc(now.runners, func(r *runner) bool { return r.tree.Pipeline.Config.From.Broker == "" })
	if i >= 0 {
		p := now.runners[i].tree.Pipeline
		lines = append(lines, fmt.Sprintf("  mosquitto_pub%s -t '%s' -m '%s'", port, sampleTopic(p), samplePayload(p)))
	}
	return lines
}

// firstFilter returns the fixed beginning of a topic template as a filter.
func firstFilter(template string) string {
	before, _, found := strings.Cut(template, "{")
	if !found {
		return template
	}
	return before + "#"
}

func sampleTopic(p *Pipeline) string {
	topic := strings.ReplaceAll(p.Filters[0].MQTT(), "#", "x")
	for _, l := range p.Filters[0].Levels() {
		levels := strings.Split(topic, "/")
		levels[l.Index] = l.Name + "1"
		topic = strings.Join(levels, "/")
	}
	return strings.ReplaceAll(topic, "+", "x")
}

func samplePayload(p *Pipeline) string {
	var parts []string
	if f := p.Config.Time; f.Field != "" {
		parts = append(parts, fmt.Sprintf(`"%s":%s`, f.Field, nowIn(f.Unit)))
	}
	for _, c := range p.fields {
		if c.Name == p.Config.Time.Field {
			continue
		}
		value := map[pipeline.Kind]string{pipeline.Float: "21.5", pipeline.Int: "3", pipeline.Bool: "true"}[c.Kind]
		if value == "" {
			value = `"a"`
		}
		parts = append(parts, fmt.Sprintf(`"%s":%s`, c.Name, value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func nowIn(unit string) string {
	now := time.Now()
	switch unit {
	case "s":
		return fmt.Sprint(now.Unix())
	case "us":
		return fmt.Sprint(now.UnixMicro())
	case "ns":
		return fmt.Sprint(now.UnixNano())
	case "rfc3339":
		return now.UTC().Format(`"` + time.RFC3339 + `"`)
	}
	return fmt.Sprint(now.UnixMilli())
}

// A meter is a stage that counts the rows that pass.
type meter struct{ rows *metrics.Counter }

func (m *meter) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	m.rows.Add(in.Rows())
	out.Main = in
	return nil
}
