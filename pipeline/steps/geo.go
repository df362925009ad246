package steps

import (
	"millrace.dev/millrace/pipeline"
)

// GeoCellMax is the most letters of a cell.
const GeoCellMax = 12

// The columns that a Geo makes.
const (
	geoCell  = "cell"
	geoFence = "fence"
	geoEvent = "fence_event"
)

// GeoColumns returns the names of the columns that a Geo makes.
func GeoColumns(cell, fences bool) []string {
	var names []string
	if cell {
		names = append(names, geoCell)
	}
	if fences {
		names = append(names, geoFence, geoEvent)
	}
	return names
}

// A GeoConfig says where a place is and what is told of it.
type GeoConfig struct {
	Lat, Lon string  // columns, in degrees
	Cell     int     // letters of the geohash, 1 to GeoCellMax; 0: no column cell
	Fences   []Fence // the first that a place is in counts; none: no columns of fences
}

// A Geo is a stage that says where rows are: in which cell (G. Niemeyer's
// geohash), in which fence, and whether the key entered it with this row, was
// inside before, or has just left it (enter, inside, leave; fence is then the
// one that it left). Outside of all fences the columns are null. A row that is
// nowhere, because a coordinate is null or no place on earth, has nulls and
// changes nothing.
type Geo struct {
	GeoConfig
	lat, lon column
	memory   memory[fenced]
	cell     pipeline.Column
	fence    pipeline.Column
	event    pipeline.Column
	schema   pipeline.Schema
	out      pipeline.Batch
}

// A fenced key is in the fence called name, or in none.
type fenced struct{ name string }

// NewGeo returns the stage.
func NewGeo(c GeoConfig, s pipeline.Schema, keys *pipeline.Keys) (*Geo, error) {
	g := &Geo{GeoConfig: c, memory: memory[fenced]{keys: keys}, schema: s}
	var err error
	if g.lat, err = find(s, "lat", c.Lat, pipeline.Float, pipeline.Int); err != nil {
		return nil, err
	}
	if g.lon, err = find(s, "lon", c.Lon, pipeline.Float, pipeline.Int); err != nil {
		return nil, err
	}
	switch {
	case c.Cell < 0 || c.Cell > GeoCellMax:
		return nil, fail("cell", "", "%d letters; there can be 1 to %d", c.Cell, GeoCellMax)
	case c.Cell == 0 && len(c.Fences) == 0:
		return nil, fail("", "cell: 7 makes cells of 150 m, fences: zones.geojson tells the zone", "neither cell nor fences are wanted")
	}
	for _, name := range GeoColumns(c.Cell > 0, len(c.Fences) > 0) {
		g.schema = g.schema.With(pipeline.Field{Name: name, Kind: pipeline.Text})
	}
	g.cell, g.fence, g.event = textColumn(geoCell), textColumn(geoFence), textColumn(geoEvent)
	return g, nil
}

func textColumn(name string) pipeline.Column {
	return pipeline.NewColumn(pipeline.Field{Name: name, Kind: pipeline.Text})
}

// Schema implements Step.
func (g *Geo) Schema() pipeline.Schema { return g.schema }

// Process implements pipeline.Stage.
func (g *Geo) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	lats, lons := g.lat.of(in), g.lon.of(in)
	g.out.Borrow(in)
	if g.Cell > 0 {
		g.cell.Reset()
		var letters [GeoCellMax]byte
		for i := range in.Rows() {
			if lat, lon, ok := place(lats, lons, i); ok {
				geohash(letters[:g.Cell], lat, lon)
				g.cell.AppendText(letters[:g.Cell])
			} else {
				g.cell.AppendNull()
			}
		}
		g.out.Put(g.cell)
	}
	if len(g.Fences) > 0 {
		g.fence.Reset()
		g.event.Reset()
		for i := range in.Rows() {
			lat, lon, ok := place(lats, lons, i)
			g.locate(in.Key[i], lat, lon, ok)
		}
		g.out.Put(g.fence)
		g.out.Put(g.event)
	}
	out.Main = &g.out
	return nil
}

// place returns where row i is; false: nowhere.
func place(lats, lons *pipeline.Column, i int) (lat, lon float64, ok bool) {
	if !lats.Has(i) || !lons.Has(i) {
		return 0, 0, false
	}
	lat, lon = number(lats, i), number(lons, i)
	return lat, lon, isPlace(lat, lon)
}

// locate appends fence and event of a key that is at a place.
func (g *Geo) locate(code uint32, lat, lon float64, ok bool) {
	name, event := "", ""
	if ok {
		m, _ := g.memory.at(code)
		was := m.name
		m.name = g.at(lat, lon)
		switch {
		case m.name == "" && was != "":
			name, event = was, "leave"
		case m.name != was:
			name, event = m.name, "enter"
		case m.name != "":
			name, event = m.name, "inside"
		}
	}
	if event == "" {
		g.fence.AppendNull()
		g.event.AppendNull()
		return
	}
	appendString(&g.fence, name)
	appendString(&g.event, event)
}

// at returns the name of the first fence around a place, or "".
func (g *Geo) at(lat, lon float64) string {
	for i := range g.Fences {
		if g.Fences[i].has(lat, lon) {
			return g.Fences[i].Name
		}
	}
	return ""
}

// appendString adds a row without making a slice of s.
func appendString(c *pipeline.Column, s string) {
	from := len(c.Data)
	c.Data = append(c.Data, s...)
	text := c.Data[from:]
	c.Data = c.Data[:from]
	c.AppendText(text)
}

const geoLetters = "0123456789bcdefghjkmnpqrstuvwxyz"

// geohash writes the cell of a place: letters of five bits, which halve the
// longitudes and latitudes in turn.
func geohash(letters []byte, lat, lon float64) {
	low, high := [2]float64{-180, -90}, [2]float64{180, 90}
	at := [2]float64{lon, lat}
	axis := 0
	for k := range letters {
		bits := 0
		for range 5 {
			bits <<= 1
			if middle := (low[axis] + high[axis]) / 2; at[axis] >= middle {
				bits |= 1
				low[axis] = middle
			} else {
				high[axis] = middle
			}
			axis = 1 - axis
		}
		letters[k] = geoLetters[bits]
	}
}

// Snapshot implements pipeline.Snapshotter.
func (g *Geo) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("geo", "")
	g.memory.snapshot(w, func(f *fenced) { w.text(f.name) })
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (g *Geo) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("geo", "")
	g.memory.restore(r, func(f *fenced) { f.name = r.text() })
	return r.end()
}
