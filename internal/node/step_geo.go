package node

import (
	"os"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/steps"
)

func useGeo(p *plan, s *config.Step) {
	p.use(s.Geo.Lat, pipeline.Float)
	p.use(s.Geo.Lon, pipeline.Float)
	for _, name := range steps.GeoColumns(s.Geo.Cell > 0, s.Geo.Fences != "") {
		p.makes(name)
	}
}

func (c *compiler) buildGeo(p *Pipeline, _ *plan, i int) bool {
	s := &p.Config.Steps[i]
	x := steps.GeoConfig{Lat: s.Geo.Lat, Lon: s.Geo.Lon, Cell: s.Geo.Cell}
	if s.Geo.Fences != "" {
		var err error
		if x.Fences, err = readFences(c.file.Join(s.Geo.Fences)); err != nil {
			c.problem(s.Path+".geo.fences", "", "%v", err)
			return false
		}
	}
	stage, err := steps.NewGeo(x, p.Schema, p.keys)
	return c.add(p, s, stage, err)
}

func readFences(path string) ([]steps.Fence, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return steps.ReadFences(f)
}
