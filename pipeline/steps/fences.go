package steps

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// The limits of a file of fences.
const (
	FenceBytesMax  = 16 << 20
	FencesMax      = 10_000
	FencePointsMax = 1_000_000
)

// A Fence is an area with a name: polygons with holes, or a circle. Polygons
// are flat, with longitude and latitude as coordinates; one that crosses the
// 180th meridian is written as two.
type Fence struct {
	Name   string
	rings  [][][2]float64 // longitude, latitude; a point is inside if it is in an odd number of them
	min    [2]float64     // of the box around all
	max    [2]float64
	center [2]float64
	radius float64 // metres; 0: not a circle
}

// What of GeoJSON (RFC 7946) is read.
type geoFile struct {
	Type     string
	Features []struct {
		Geometry struct {
			Type        string
			Coordinates json.RawMessage
		}
		Properties struct {
			Name   string
			Radius float64
		}
	}
}

// ReadFences reads a FeatureCollection of GeoJSON: each feature is a Polygon,
// a MultiPolygon, or a Point with the property radius in metres, and has the
// property name.
func ReadFences(r io.Reader) ([]Fence, error) {
	src, err := io.ReadAll(io.LimitReader(r, FenceBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(src) > FenceBytesMax {
		return nil, fmt.Errorf("more than %d bytes", FenceBytesMax)
	}
	var f geoFile
	if err := json.Unmarshal(src, &f); err != nil {
		return nil, fmt.Errorf("not GeoJSON: %w", err)
	}
	if f.Type != "FeatureCollection" || len(f.Features) == 0 || len(f.Features) > FencesMax {
		return nil, fmt.Errorf("want a FeatureCollection of 1 to %d features", FencesMax)
	}
	var all []Fence
	points := 0
	for i, x := range f.Features {
		fence := Fence{Name: x.Properties.Name}
		if fence.Name == "" {
			return nil, fmt.Errorf("feature %d: no property name", i)
		}
		if err := fence.read(x.Geometry.Type, x.Geometry.Coordinates, x.Properties.Radius); err != nil {
			return nil, fmt.Errorf("feature %d, %s: %w", i, fence.Name, err)
		}
		for _, ring := range fence.rings {
			points += len(ring)
		}
		if points > FencePointsMax {
			return nil, fmt.Errorf("more than %d points", FencePointsMax)
		}
		all = append(all, fence)
	}
	return all, nil
}

func (f *Fence) read(kind string, coordinates []byte, radius float64) error {
	var polygons [][][][2]float64
	switch kind {
	case "Point":
		if err := json.Unmarshal(coordinates, &f.center); err != nil || !isPlace(f.center[1], f.center[0]) {
			return errors.New("want a longitude and a latitude")
		}
		if f.radius = radius; !(radius > 0) {
			return errors.New("a point is a fence with the property radius, in metres")
		}
		return nil
	case "Polygon":
		polygons = make([][][][2]float64, 1)
		if err := json.Unmarshal(coordinates, &polygons[0]); err != nil {
			return fmt.Errorf("coordinates: %w", err)
		}
	case "MultiPolygon":
		if err := json.Unmarshal(coordinates, &polygons); err != nil {
			return fmt.Errorf("coordinates: %w", err)
		}
	default:
		return fmt.Errorf("a %s is no fence; write a Polygon, a MultiPolygon, or a Point with a radius", kind)
	}
	for _, p := range polygons {
		f.rings = append(f.rings, p...)
	}
	return f.bound()
}

// bound checks the rings and finds the box around them.
func (f *Fence) bound() error {
	f.min, f.max = [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for _, ring := range f.rings {
		if len(ring) < 4 {
			return errors.New("a ring has at least four points, the last as the first")
		}
		for _, p := range ring {
			if !isPlace(p[1], p[0]) {
				return fmt.Errorf("%v is no longitude and latitude", p)
			}
			for k := range p {
				f.min[k], f.max[k] = min(f.min[k], p[k]), max(f.max[k], p[k])
			}
		}
	}
	if len(f.rings) == 0 {
		return errors.New("the polygon is empty")
	}
	return nil
}

// isPlace reports whether there is such a place on earth.
func isPlace(lat, lon float64) bool { return math.Abs(lat) <= 90 && math.Abs(lon) <= 180 }

// has reports whether a place is inside.
func (f *Fence) has(lat, lon float64) bool {
	if f.radius > 0 {
		return distance(f.center[1], f.center[0], lat, lon) <= f.radius
	}
	if lon < f.min[0] || lon > f.max[0] || lat < f.min[1] || lat > f.max[1] {
		return false
	}
	inside := false
	for _, ring := range f.rings {
		b := ring[len(ring)-1]
		for _, a := range ring {
			if (a[1] > lat) != (b[1] > lat) && lon < (b[0]-a[0])*(lat-a[1])/(b[1]-a[1])+a[0] {
				inside = !inside
			}
			b = a
		}
	}
	return inside
}

// earthRadius is the mean radius of the earth in metres (IUGG).
const earthRadius = 6371008.8

// distance returns the metres between two places along a great circle, by the
// haversine formula.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	a, b := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	h := a*a + math.Cos(lat1*rad)*math.Cos(lat2*rad)*b*b
	return 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
}
