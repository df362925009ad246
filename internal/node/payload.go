package node

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/decode"
	"millrace.dev/millrace/pipeline/topics"
)

// topicColumns returns the levels of topics that become columns, and the one,
// if any, whose value is the name of a column.
func topicColumns(cfg *config.Pipeline, named []topics.Level) (levels []topics.Level, pivot *topics.Level) {
	if cfg.Decode.Format == "sparkplug" {
		return decode.SparkplugLevels(named), nil
	}
	i := slices.IndexFunc(named, func(l topics.Level) bool { return l.Name == config.MetricLevel })
	if i < 0 {
		return named, nil
	}
	return slices.Delete(slices.Clone(named), i, i+1), &named[i]
}

// clocked reports whether messages happened when they arrived.
func clocked(cfg *config.Pipeline) bool {
	return cfg.Time.Field == "" && cfg.Decode.Format != "line" && cfg.Decode.Format != "sparkplug"
}

// decoder builds what turns payloads into rows.
func (c *compiler) decoder(p *Pipeline, plan *plan) bool {
	cfg := p.Config
	dc := decode.Config{
		Format: cfg.Decode.Format, Charset: cfg.Decode.Charset, CSV: decode.CSV{Columns: cfg.Decode.Columns},
		Levels: plan.levels(), Pivot: p.pivot, Fields: plan.fields, Open: plan.open, Explode: cfg.Explode,
		Topic: plan.topic || plan.open, Payload: plan.payload,
		Time: decode.TimeField{Name: cfg.Time.Field, Unit: cfg.Time.Unit, Step: cfg.Time.Step.Microseconds()},
		Key:  cfg.Key, FutureMax: FutureMax, Rebirth: p.askRebirth,
	}
	if cfg.Decode.Format == "csv" {
		dc.CSV.Separator = cfg.Decode.Separator[0]
	}
	var err error
	if cfg.Time.Zone != "" {
		if dc.Time.Zone, err = time.LoadLocation(cfg.Time.Zone); err != nil {
			c.problem(cfg.Path+".time.zone", "", "%v", err)
			return false
		}
	}
	if cfg.Decode.Format == "protobuf" {
		dc.Protobuf.Message = cfg.Decode.Message
		if dc.Protobuf.Descriptor, err = os.ReadFile(c.file.Join(cfg.Decode.Descriptor)); err != nil {
			c.problem(cfg.Path+".decode.descriptor", "the path is relative to "+filepath.Clean(c.file.Dir), "%v", err)
			return false
		}
	}
	d, err := decode.New(dc, p.keys)
	if err != nil {
		c.problem(cfg.Path, "", "%v", err)
		return false
	}
	p.decoder, p.batch = d, d.NewBatch()
	return true
}

// askRebirth asks a Sparkplug edge node for its birth certificate.
func (p *Pipeline) askRebirth(group, node string) {
	if p.rebirth != nil {
		p.rebirth(group, node)
	}
}
