package node

import (
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/metrics"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/steps"
)

// A saving counts the rows before and behind a step that is there to leave
// rows out, so that it can be seen what it saves.
type saving struct {
	step    string // such as steps[2] deadband
	in, out *meter
}

// showSavings shows how many rows go into each such step, and out of it.
func showSavings(p *Pipeline, m *metrics.Registry) {
	for _, x := range p.savings {
		x.in.rows = m.Counter("millrace_step_rows_in_total", "pipeline", p.Config.Name, "step", x.step)
		x.out.rows = m.Counter("millrace_step_rows_out_total", "pipeline", p.Config.Name, "step", x.step)
	}
}

// thin puts a stage between two meters.
func (c *compiler) thin(p *Pipeline, s *config.Step, stage steps.Step, err error) bool {
	x := saving{p.stage(s) + " " + s.Kind, &meter{&metrics.Counter{}}, &meter{&metrics.Counter{}}}
	before := len(p.chain.Stages)
	if !c.add(p, s, stage, err) {
		return false
	}
	p.chain.Stages = append(p.chain.Stages[:before], x.in, stage, x.out)
	p.savings = append(p.savings, x)
	return true
}

func useDeadband(p *plan, s *config.Step) {
	for _, b := range s.Deadband.Fields {
		p.use(b.Column, pipeline.Float)
	}
}

func (c *compiler) buildDeadband(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	var bands []steps.Band
	for _, b := range s.Deadband.Fields {
		bands = append(bands, steps.Band{Column: b.Column, Absolute: b.Absolute, Percent: b.Percent})
	}
	stage, err := steps.NewDeadband(bands, s.Deadband.Every.Microseconds(), p.Schema, p.keys)
	return c.thin(p, s, stage, err)
}

func useCompress(p *plan, s *config.Step) { p.use(s.Compress.Field, pipeline.Float) }

func (c *compiler) buildCompress(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	x := steps.CompressConfig{Field: s.Compress.Field, Deviation: s.Compress.Deviation, Every: s.Compress.Every.Microseconds()}
	stage, err := steps.NewCompress(x, p.Schema, p.keys)
	return c.thin(p, s, stage, err)
}

func useDedupe(p *plan, s *config.Step) {
	for _, name := range s.Dedupe.By {
		if name != "time" {
			p.mention(name)
		}
	}
}

func (c *compiler) buildDedupe(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	x := steps.DedupeConfig{Within: s.Dedupe.Within.Microseconds(), Most: s.Dedupe.Most}
	for _, name := range s.Dedupe.By {
		if name == "time" {
			x.Time = true
		} else {
			x.Columns = append(x.Columns, name)
		}
	}
	if len(s.Dedupe.By) == 0 {
		// The time of arrival differs even where all else is equal.
		x.All, x.Time = true, root(p).Config.Time.Field != "" || len(p.windows) > 0
	}
	stage, err := steps.NewDedupe(x, p.Schema, p.Open, p.keys)
	return c.thin(p, s, stage, err)
}

func useSample(*plan, *config.Step) {}

func (c *compiler) buildSample(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	stage, err := steps.NewSample(s.Sample.Rows, s.Sample.Every.Microseconds(), p.Schema, p.keys)
	return c.thin(p, s, stage, err)
}

func useThrottle(*plan, *config.Step) {}

func (c *compiler) buildThrottle(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	stage, err := steps.NewThrottle(s.Throttle.Rows, s.Throttle.Per.Microseconds(), p.Schema, p.keys)
	return c.thin(p, s, stage, err)
}
