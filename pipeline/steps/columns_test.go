package steps

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// one is a reading with everything.
var one = row{at: 1, offset: 1, device: "m1", values: []any{20.456, 3, "up", true, 50.0, 8.0}}

func TestColumnsAreKeptDroppedAndRenamed(t *testing.T) {
	for _, c := range []struct {
		make func() (Step, error)
		want string
	}{
		{func() (Step, error) { return NewKeep([]string{"state", "temp"}, readings, false) }, `1 state="up" temp=20.456`},
		{func() (Step, error) { return NewKeep([]string{"state", "nothing"}, readings, true) }, `1 state="up"`},
		{func() (Step, error) { return NewDrop([]string{"lat", "lon", "on"}, readings, false) }, `1 count=3 device="m1" state="up" temp=20.456`},
		{func() (Step, error) {
			return NewRename([]Renaming{{"temp", "count"}, {"count", "temp"}, {"on", "running"}}, readings, false)
		}, `1 count=20.456 device="m1" lat=50 lon=8 running=true state="up" temp=3`},
		{func() (Step, error) {
			return NewRound([]Rounding{{"temp", 1}, {"count", 2}}, readings)
		}, `1 count=3 device="m1" lat=50 lon=8 on=true state="up" temp=20.5`},
	} {
		s := must(c.make())
		check(t, through(t, s, pipeline.NewKeys(10), one), []string{c.want})
	}
	_, err := NewKeep([]string{"x"}, readings, false)
	wrong(t, err, "", `unknown column "x"; columns here: device, temp`)
	_, err = NewDrop([]string{"x"}, readings, false)
	wrong(t, err, "", `unknown column "x"`)
	_, err = NewRename([]Renaming{{"x", "y"}}, readings, false)
	wrong(t, err, "x", `unknown column "x"`)
	_, err = NewRename([]Renaming{{"temp", "count"}}, readings, false)
	wrong(t, err, "temp", `there is a column "count" already`)
	_, err = NewRound([]Rounding{{"temp", 16}}, readings)
	wrong(t, err, "temp", "0 to 15")
	_, err = NewRound([]Rounding{{"state", 1}}, readings)
	wrong(t, err, "state", "column state is text")
}

// What payloads call as a renamed column is called gives way.
func TestARenamedColumnIsTheOnlyOneOfItsName(t *testing.T) {
	keys := pipeline.NewKeys(10)
	b := pipeline.NewBatch(pipeline.Schema{{Name: "a", Kind: pipeline.Float}, {Name: "a", Kind: pipeline.Text}, {Name: "b", Kind: pipeline.Float}}, keys)
	b.AppendRow(pipeline.Row{})
	b.Columns[0].AppendFloat(1)
	b.Columns[1].AppendNull()
	b.Columns[2].AppendFloat(2)
	var out pipeline.Outputs
	if err := must(NewRename([]Renaming{{"a", "b"}}, nil, true)).Process(b, &out); err != nil {
		t.Fatal(err)
	}
	check(t, told(out.Main), []string{"0 b=1"})
}

func TestRoundingIsAsAtSchool(t *testing.T) {
	for _, c := range []struct {
		v        float64
		decimals int
		want     string
	}{
		{2.5, 0, "3"}, {-2.5, 0, "-3"}, {-0.04, 1, "0"}, {1.005e300, 3, "1.005e+300"}, {0.1 + 0.2, 15, "0.3"},
		{123456789.987654321, 3, "1.23456789988e+08"}, {math.Inf(-1), 2, "-Inf"}, {math.NaN(), 2, "NaN"}, {4503599627370497.5, 1, "4.503599627370498e+15"},
	} {
		values := []float64{c.v}
		round(values, math.Pow10(c.decimals))
		if got := fmt.Sprint(values[0]); got != c.want {
			t.Errorf("%v to %d decimals: got %s, want %s", c.v, c.decimals, got, c.want)
		}
	}
}

func TestAHashIsHMAC(t *testing.T) {
	keys := pipeline.NewKeys(10)
	h := must(NewHash(HashConfig{Fields: []string{"state"}, Key: []byte("key"), Digits: 64}, readings))
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte("up"))
	want := fmt.Sprintf(`1 device="m1" state=%q`, hex.EncodeToString(mac.Sum(nil)))
	up := row{at: 1, device: "m1", values: []any{nil, nil, "up"}}
	check(t, through(t, h, keys, up, up, row{at: 2, device: "m2"}), []string{want, want, `2 device="m2"`})
	for _, c := range []struct {
		c         HashConfig
		at, words string
	}{
		{HashConfig{Fields: []string{"state"}, Digits: 8}, "key", "empty"},
		{HashConfig{Fields: []string{"state"}, Key: []byte("k"), Digits: 7}, "digits", "8 to 64"},
		{HashConfig{Fields: []string{"temp"}, Key: []byte("k"), Digits: 8}, "fields", "set: {temp: string(temp)}"},
	} {
		_, err := NewHash(c.c, readings)
		wrong(t, err, c.at, c.words)
	}
}

func TestUnitsAreConverted(t *testing.T) {
	for _, c := range []struct {
		v     float64
		units string
		want  float64
	}{
		{212, "F to C", 100}, {25, "C to F", 77}, {-40, "°F to °C", -40}, {0, "C to K", 273.15}, {300, "K to C", 26.85},
		{1500, "W to kW", 1.5}, {2, "kWh to MJ", 7.2}, {1, "hp to W", 745.6998715822702}, {1, "psi to kPa", 6.894757293168361},
		{1013.25, "hPa to atm", 1}, {1, "bar to psi", 14.503773773020923}, {36, "km/h to m/s", 10}, {10, "m/s to kn", 19.438444924406048},
		{60, "mph to km/h", 96.56064}, {1, "in to mm", 25.4}, {1, "mi to km", 1.609344}, {1, "gal to L", 3.785411784}, {1, "lb to kg", 0.45359237},
		{180, "deg to rad", math.Pi}, {1, "turn to deg", 360}, {3000, "rpm to Hz", 50}, {90, "min to h", 1.5}, {50, "% to ratio", 0.5},
		{1, "GiB to MB", 1073.741824}, {1, "g0 to m/s2", 9.80665}, {6, "m3/h to L/min", 100}, {5, "A to mA", 5000}, {0.23, "kV to V", 230},
	} {
		l, err := (&Conversion{"x", c.units}).line()
		if err != nil {
			t.Errorf("%s: %v", c.units, err)
			continue
		}
		values := []float64{c.v}
		l.apply(values)
		if math.Abs(values[0]-c.want) > 1e-15*math.Abs(c.want) {
			t.Errorf("%v %s: got %v, want %v", c.v, c.units, values[0], c.want)
		}
	}
	for _, c := range []struct{ units, words string }{
		{"F", `"F" does not say from what to what`},
		{"F to Celsius", `unknown unit "Celsius"; there are C, F`},
		{"f to C", "did you mean F?"},
		{"mw to W", "did you mean mW or MW?"},
		{"F to kW", "kW is no temperature; temperature is in C, F, K"},
	} {
		_, err := NewConvert([]Conversion{{"temp", c.units}}, readings)
		wrong(t, err, "temp", c.words)
	}
	c := must(NewConvert([]Conversion{{"count", "kW to W"}}, readings))
	check(t, through(t, c, pipeline.NewKeys(9), one, row{at: 2, device: "m1"}), []string{`1 count=3000 device="m1" lat=50 lon=8 on=true state="up" temp=20.456`, `2 device="m1"`})
}

// Every unit goes to every other of its quantity and back.
func TestEveryUnitHasAWayBack(t *testing.T) {
	seen := map[string]bool{}
	for i := range units {
		for name := range strings.FieldsSeq(units[i].names) {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		for k := range units {
			if units[i].quantity != units[k].quantity {
				continue
			}
			values := []float64{12.5}
			units[i].lineTo(units[k]).apply(values)
			units[k].lineTo(units[i]).apply(values)
			if math.Abs(values[0]-12.5) > 1e-12 {
				t.Errorf("%s to %s and back: got %v, want 12.5", units[i].names, units[k].names, values[0])
			}
		}
	}
}
