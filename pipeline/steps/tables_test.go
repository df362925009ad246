package steps

import (
	"errors"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

const devices = "\ufeffdevice,site,factor,ready,note\nm1,north,1.5,true,\n\"m2\",\"south, 2\",,false,7\n"

func TestATableIsReadWithItsKinds(t *testing.T) {
	table, err := ReadTable(strings.NewReader(devices), []string{"device"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := must(NewLookup([]string{"device"}, table, false, readings))
	check(t, through(t, l, pipeline.NewKeys(10), row{device: "m1"}, row{device: "m2"}, row{device: "m3"}), []string{
		`0 device="m1" factor=1.5 ready=true site="north"`,
		`0 device="m2" note=7 ready=false site="south, 2"`,
		`0 device="m3"`,
	})
}

func TestARowIsFoundByAllOfItsKey(t *testing.T) {
	table, err := ReadTable(strings.NewReader("count,state,x,y\n1,a,10,0\n1,b,11,0\n"), []string{"count", "state"}, []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	l := must(NewLookup([]string{"count", "state"}, table, false, readings))
	check(t, through(t, l, pipeline.NewKeys(10), row{values: []any{nil, 1, "b"}}, row{values: []any{nil, 1, nil}}), []string{
		`0 count=1 device="" state="b" x=11`, `0 count=1 device=""`,
	})
	_, err = NewLookup([]string{"temp"}, table, false, readings)
	wrong(t, err, "by", "column temp is number, and text is wanted")
	_, err = NewLookup(nil, table, false, readings)
	wrong(t, err, "by", "by: device")
	_, err = NewLookup([]string{"state"}, NewTable(pipeline.Schema{{Name: "state", Kind: pipeline.Text}}, 1), true, readings)
	wrong(t, err, "", "state is what entries are found by")
}

func TestABadTableIsRefused(t *testing.T) {
	for _, c := range []struct{ src, words string }{
		{"", "the file is empty"},
		{"a,b\n1,2\n", `no column "device"; there are a, b`},
		{"device\nm1\n", "no column but the key"},
		{"device,a,a\n", `two columns are called "a"`},
		{"device,a\nm1,1\nm2,1\nm1,2\n", "line 4: m1 is there already, on line 2"},
		{"device,a\nm1\n", "wrong number of fields"},
		{"device,a\n\"m1,1\n", "quote"},
		{"device,a\n" + strings.Repeat("x", TableBytesMax), "wrong number of fields"},
	} {
		_, err := ReadTable(strings.NewReader(c.src), []string{"device"}, nil)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%.40q: got %v, want %q", c.src, err, c.words)
		}
	}
	if _, err := ReadTable(failing{}, []string{"device"}, nil); !errors.Is(err, errFailing) {
		t.Errorf("got %v, want %v", err, errFailing)
	}
}

type failing struct{}

var errFailing = errors.New("the disk is gone")

func (failing) Read([]byte) (int, error) { return 0, errFailing }

func TestAFullTableTakesChangesAndNothingNew(t *testing.T) {
	fields := pipeline.Schema{{Name: "limit", Kind: pipeline.Float}}
	l := must(NewLookup([]string{"device"}, NewTable(fields, 2), true, readings))
	update := func(device string, limit any) int {
		b := pipeline.NewBatch(pipeline.Schema{{Name: "device", Kind: pipeline.Text}, fields[0]}, pipeline.NewKeys(9))
		fill(b, row{device: device, values: []any{limit}})
		return l.Update(b)
	}
	for _, c := range []struct {
		device  string
		limit   any
		refused int
	}{{"m1", 1, 0}, {"m2", 2, 0}, {"m3", 3, 1}, {"m1", 4, 0}, {"m2", nil, 0}, {"m3", 5, 0}, {"m2", 6, 1}} {
		if got := update(c.device, c.limit); got != c.refused {
			t.Errorf("%s: got %d refused, want %d", c.device, got, c.refused)
		}
	}
	check(t, through(t, l, pipeline.NewKeys(10), row{device: "m1"}, row{device: "m2"}, row{device: "m3"}), []string{
		`0 device="m1" limit=4`, `0 device="m2"`, `0 device="m3" limit=5`,
	})
}

// The cells are those of geohash.org.
func TestCellsAreGeohashes(t *testing.T) {
	for _, c := range []struct {
		lat, lon float64
		want     string
	}{
		{57.64911, 10.40744, "u4pruydqqvj8"}, {42.6, -5.6, "ezs42e44yx96"}, {-90, -180, "000000000000"},
		{90, 180, "zzzzzzzzzzzz"}, {0, 0, "s00000000000"}, {-33.8568, 151.2153, "r3gx2ux9bq7n"},
	} {
		got := make([]byte, GeoCellMax)
		geohash(got, c.lat, c.lon)
		if string(got[:7]) != c.want[:7] {
			t.Errorf("%v, %v: got %s, want %s", c.lat, c.lon, got, c.want)
		}
	}
}

func TestACircleIsAsWideAsItSays(t *testing.T) {
	if got := distance(52.5163, 13.3777, 48.8584, 2.2945); got < 877_000 || got > 880_000 {
		t.Errorf("from Berlin to Paris: got %.0f m, want 878 km", got)
	}
	if got := distance(10, 20, 10, 20); got != 0 {
		t.Errorf("got %v m from a place to itself", got)
	}
	f := Fence{center: [2]float64{179.999, 0}, radius: 300}
	if !f.has(0, -179.999) || f.has(0, -179.99) {
		t.Error("a circle ends at the 180th meridian")
	}
}

func TestBadFencesAreRefused(t *testing.T) {
	feature := func(properties, geometry string) string {
		return `{"type":"FeatureCollection","features":[{"properties":` + properties + `,"geometry":` + geometry + `}]}`
	}
	for _, c := range []struct{ src, words string }{
		{"", "not GeoJSON"},
		{"{}", "want a FeatureCollection"},
		{feature(`{}`, `{"type":"Point","coordinates":[1,2]}`), "feature 0: no property name"},
		{feature(`{"name":"a"}`, `{"type":"Point","coordinates":[1,2]}`), "feature 0, a: a point is a fence with the property radius"},
		{feature(`{"name":"a","radius":5}`, `{"type":"Point","coordinates":[1,200]}`), "want a longitude and a latitude"},
		{feature(`{"name":"a"}`, `{"type":"LineString","coordinates":[]}`), "a LineString is no fence"},
		{feature(`{"name":"a"}`, `{"type":"Polygon","coordinates":[]}`), "the polygon is empty"},
		{feature(`{"name":"a"}`, `{"type":"Polygon","coordinates":[[[1,2],[2,2],[1,2]]]}`), "at least four points"},
		{feature(`{"name":"a"}`, `{"type":"Polygon","coordinates":[[[1,2],[2,2],[1,91],[1,2]]]}`), "is no longitude and latitude"},
		{feature(`{"name":"a"}`, `{"type":"MultiPolygon","coordinates":[[1]]}`), "coordinates"},
		{strings.Repeat(" ", FenceBytesMax+1), "more than 16777216 bytes"},
	} {
		_, err := ReadFences(strings.NewReader(c.src))
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%.80s: got %v, want %q", c.src, err, c.words)
		}
	}
	_, err := NewGeo(GeoConfig{Lat: "lat", Lon: "lon"}, readings, nil)
	wrong(t, err, "", "neither cell nor fences")
	_, err = NewGeo(GeoConfig{Lat: "lat", Lon: "lon", Cell: 13}, readings, nil)
	wrong(t, err, "cell", "1 to 12")
	_, err = NewGeo(GeoConfig{Lat: "state", Lon: "lon", Cell: 1}, readings, nil)
	wrong(t, err, "lat", "column state is text")
}
