package node

import (
	"os"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/steps"
	"millrace.dev/millrace/pipeline/topics"
)

// tableTopicsMax is how many topics are remembered with whether they belong
// to a table or to the rows. When they are that many, remembering begins anew.
const tableTopicsMax = 8192

// A liveTable is a table of a lookup that messages of a filter change. They
// come in the order of the journal, between the messages that become rows, so
// that a replay finds the same entries.
type liveTable struct {
	stage   string
	lookup  *steps.Lookup
	filter  *topics.Filter
	decoder *decode.Decoder
	batch   *pipeline.Batch
	most    int
	wants   map[string]bool // by topic
}

func useLookup(p *plan, s *config.Step) {
	for _, name := range s.Lookup.By {
		p.use(name, pipeline.Text)
	}
	for _, name := range p.tables[s.Path] {
		p.makes(name)
	}
}

func (c *compiler) buildLookup(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	if s.Lookup.Topic != "" {
		return c.liveLookup(p, s)
	}
	t := c.table(s)
	if t == nil {
		return false
	}
	stage, err := steps.NewLookup(s.Lookup.By, t, false, p.Schema)
	return c.add(p, s, stage, err)
}

// table reads the file of a lookup; nil: what is wrong has been told.
func (c *compiler) table(s *config.Step) *steps.Table {
	if t, ok := c.tables[s.Path]; ok {
		return t
	}
	t, err := readTable(c.file.Join(s.Lookup.File), s.Lookup)
	if err != nil {
		c.problem(s.Path+".lookup.file", "", "%v", err)
		t = nil
	}
	c.tables[s.Path] = t
	return t
}

func readTable(path string, l *config.Lookup) (*steps.Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return steps.ReadTable(f, l.By, l.Columns)
}

// lookups returns the columns that each lookup makes, by the path of the step,
// those of branches and of the pipelines that read the results too.
func (c *compiler) lookups(into map[string][]string, cfg *config.Pipeline) map[string][]string {
	c.lookupsIn(into, cfg.Steps)
	for _, reader := range c.file.Followers(cfg.Name) {
		c.lookups(into, reader)
	}
	return into
}

func (c *compiler) lookupsIn(into map[string][]string, list []config.Step) {
	for i := range list {
		s := &list[i]
		for k := range s.Switch {
			c.lookupsIn(into, s.Switch[k].Steps)
		}
		if s.Lookup == nil {
			continue
		}
		for _, f := range s.Lookup.Fields {
			into[s.Path] = append(into[s.Path], f.Name)
		}
		if s.Lookup.File != "" {
			if t := c.table(s); t != nil {
				for _, f := range t.Fields {
					into[s.Path] = append(into[s.Path], f.Name)
				}
			}
		}
	}
}

// liveLookup builds a lookup whose table comes in with messages.
func (c *compiler) liveLookup(p *Pipeline, s *config.Step) bool {
	if p.reads != nil {
		c.problem(s.Path+".lookup.topic", "put the lookup into that pipeline", "a pipeline that reads the results of another gets no messages")
		return false
	}
	filter, err := topics.ParseFilter(s.Lookup.Topic)
	if err != nil {
		return false // told when the file was read
	}
	var fields pipeline.Schema
	for _, f := range s.Lookup.Fields {
		fields = append(fields, pipeline.Field{Name: f.Name, Kind: kindNames[f.Kind]})
	}
	stage, err := steps.NewLookup(s.Lookup.By, steps.NewTable(fields, s.Lookup.Most), true, p.Schema)
	if !c.add(p, s, stage, err) {
		return false
	}
	d, err := decode.New(decode.Config{Levels: filter.Levels(), Fields: fields}, pipeline.NewKeys(1))
	if err != nil {
		c.problem(s.Path+".lookup", "", "%v", err)
		return false
	}
	p.tables = append(p.tables, &liveTable{
		stage: p.stage(s) + " lookup", lookup: stage, filter: filter, decoder: d, batch: d.NewBatch(),
		most: s.Lookup.Most, wants: map[string]bool{},
	})
	return true
}

// processTables is process for a pipeline with tables: messages that change
// one do so between the rows before and behind.
func (p *Pipeline) processTables(recs []journal.Record, r pipeline.Results) error {
	from := 0
	for i := range recs {
		changes := false
		for _, t := range p.tables {
			if !t.changes(recs[i].Topic) {
				continue
			}
			if !changes {
				if err := p.process(recs[from:i], r); err != nil {
					return err
				}
				changes, from = true, i
			}
			t.change(&recs[i], r)
		}
		if changes && !p.isRow(recs[i].Topic) {
			from = i + 1
		}
	}
	return p.process(recs[from:], r)
}

// isRow reports whether messages on a topic become rows.
func (p *Pipeline) isRow(topic []byte) bool {
	for _, f := range p.Filters[:p.sources] {
		if f.Match(string(topic)) {
			return true
		}
	}
	return false
}

func (t *liveTable) changes(topic []byte) bool {
	wants, known := t.wants[string(topic)]
	if !known {
		if len(t.wants) >= tableTopicsMax {
			clear(t.wants)
		}
		wants = t.filter.Match(string(topic))
		t.wants[string(topic)] = wants
	}
	return wants
}

// change puts a message into the table. An empty one takes its entry away, as
// MQTT does with what is retained [MQTT-3.3.1-6].
func (t *liveTable) change(rec *journal.Record, r pipeline.Results) {
	one := []journal.Record{*rec}
	if len(rec.Payload) == 0 {
		one[0].Payload = []byte("{}")
	}
	var dead []pipeline.DeadLetter
	t.batch.Reset()
	t.decoder.Decode(one, t.batch, &dead)
	var out pipeline.Outputs
	if t.lookup.Update(t.batch) > 0 {
		out.DeadRow(t.batch, 0, t.stage, "more than %d entries", t.most)
		dead = append(dead, out.Dead...)
	}
	for i := range dead {
		dead[i].Stage, dead[i].Topic, dead[i].Payload = t.stage, string(rec.Topic), append([]byte(nil), rec.Payload...)
	}
	if len(dead) > 0 {
		r.Dead(dead)
	}
}
