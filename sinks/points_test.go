package sinks

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"millrace.dev/millrace/pipeline"
)

func points(t *testing.T, measurement string, tags, fields []string) *pointRows {
	t.Helper()
	p, err := newPoints(measurement, tags, fields)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARowIsOneLineOfTheLineProtocol(t *testing.T) {
	all := columns(device, temp, count, on, raw)
	full := []any{"m1", 25.5, 7, true, "x"}
	for _, c := range []struct {
		measurement  string
		tags, fields []string
		row          []any
		want         string
	}{
		{"m", nil, nil, full, `m device="m1",temp=25.5,n=7i,on=true,raw="x"`},
		{"m", []string{"device"}, nil, full, `m,device=m1 temp=25.5,n=7i,on=true,raw="x"`},
		{"m", []string{"n", "device", "temp", "on", "n"}, []string{"raw"}, full, `m,device=m1,n=7,on=true,temp=25.5 raw="x"`},
		{"m_{device}", nil, []string{"temp"}, full, `m_m1 temp=25.5`},
		{"m_{device}", nil, nil, full, `m_m1 temp=25.5,n=7i,on=true,raw="x"`},
		{"{temp:.0f}", nil, []string{"n"}, full, `26 n=7i`},
		{"m", []string{"device", "nothing"}, []string{"on", "nothing"}, []any{nil, nil, nil, false, nil}, `m on=false`},
		{"a b,c=d", []string{"device"}, []string{"n"}, []any{`x y,z=\q`, nil, -1, nil, nil}, `a\ b\,c=d,device=x\ y\,z\=\q n=-1i`},
		{"m", nil, []string{"device"}, []any{"a\"b\\c\nd é=, ", nil, nil, nil, nil}, `m device="a\"b\\c\nd é=, "`},
		{"m", nil, []string{"raw", "device"}, []any{"\xff", nil, nil, nil, "\xff\x00"}, "m raw=\"base64:/wA=\",device=\"\uFFFD\""},
		{"m", nil, []string{"temp"}, []any{nil, math.MaxFloat64, nil, nil, nil}, `m temp=1.7976931348623157e+308`},
	} {
		p := points(t, c.measurement, c.tags, c.fields)
		no := p.encode(batch(all, c.row))
		if got, want := string(p.buf), c.want+" 1767225601000000\n"; got != want || no != nil {
			t.Errorf("got %s%v, want %s", got, no, want)
		}
	}
}

func TestWhatIsNoPointIsRefusedAndTheRestStays(t *testing.T) {
	tim := pipeline.Field{Name: "time", Kind: pipeline.Float}
	long := strings.Repeat("x", seriesBytesMax)
	for _, c := range []struct {
		schema pipeline.Schema
		bad    []any
		want   string
	}{
		{columns(device, temp), []any{"", 1.0}, "tag device is \"\": it is empty"},
		{columns(device, temp), []any{"a\nb", 1.0}, "line end"},
		{columns(device, temp), []any{"a\x7f", 1.0}, "control character"},
		{columns(device, temp), []any{`a\`, 1.0}, "backslash"},
		{columns(device, temp), []any{"a\xff", 1.0}, "not UTF-8"},
		{columns(device, temp), []any{"a", math.NaN()}, "field temp is NaN"},
		{columns(device, temp), []any{"a", math.Inf(1)}, "field temp is +Inf"},
		{columns(device, temp), []any{"a", nil}, "no field"},
		{columns(device, temp), []any{long, 1.0}, "more than 65535 bytes"},
		{columns(device, temp), []any{long[10:], 1.0}, "the most is 65535"},
		{columns(device, pipeline.Field{Name: "a\nb", Kind: pipeline.Int}), []any{"a", 1}, "invalid field key"},
		{columns(device, tim, temp), []any{"a", 1.0, 1.0}, "a field called time"},
		{columns(device, pipeline.Field{Name: "note", Kind: pipeline.Text}), []any{"a", strings.Repeat("x", textBytesMax+1)}, "the most is 65536"},
	} {
		good := make([]any, len(c.bad))
		for k := range good {
			good[k] = map[pipeline.Kind]any{pipeline.Text: "g", pipeline.Float: 2.0, pipeline.Int: 2}[c.schema[k].Kind]
			if c.schema[k].Name == "time" {
				good[k] = nil
			}
			if strings.Contains(c.schema[k].Name, "\n") {
				good = nil
				break
			}
		}
		p := points(t, "m", []string{"device"}, nil)
		rows := [][]any{c.bad}
		if good != nil {
			rows = [][]any{good, c.bad, good}
		}
		no := p.encode(batch(c.schema, rows...))
		if len(no) != 1 || no[0].Row != len(rows)/2 || !strings.Contains(no[0].Reason, c.want) {
			t.Errorf("%.60q: got %+.200v, want row %d, %q", c.bad, no, len(rows)/2, c.want)
		}
		if got := strings.Count(string(p.buf), "\n"); got != len(rows)-1 || len(p.points) != got {
			t.Errorf("%.60q: got %d lines, %d points, want %d", c.bad, got, len(p.points), len(rows)-1)
		}
	}
}

func TestMeasurementsThatAreNoneAreRefused(t *testing.T) {
	b := batch(columns(device, temp), []any{"", 1.0}, []any{"#x", 1.0}, []any{nil, 1.0}, []any{`x\`, 1.0}, []any{"x", 1.0})
	p := points(t, "{device}", nil, nil)
	if no := p.encode(b); len(no) != 4 || len(p.points) != 1 || p.points[0].row != 4 {
		t.Errorf("got %v", no)
	}
	for _, c := range []struct {
		measurement  string
		tags, fields []string
	}{{"", nil, nil}, {"#m", nil, nil}, {"{", nil, nil}, {"m", []string{"time"}, nil}, {"m", nil, []string{"time"}}} {
		if _, err := newPoints(c.measurement, c.tags, c.fields); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

func TestTimesAreRefusedJustBeyondWhatInfluxStores(t *testing.T) {
	p := points(t, "m", nil, nil)
	b := batch(columns(temp), []any{1.0}, []any{1.0}, []any{1.0}, []any{1.0}, []any{1.0})
	copy(b.Time, []int64{timeMin - 1, timeMin, 0, timeMax, timeMax + 1})
	no := p.encode(b)
	if len(no) != 2 || no[0].Row != 0 || no[1].Row != 4 {
		t.Errorf("got %v, want rows 0 and 4", no)
	}
	if got, want := string(p.buf), "m temp=1 -9223372036854774\nm temp=1 0\nm temp=1 9223372036854774\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzEveryLineIsOneThatTheDecoderReads(f *testing.F) {
	f.Add("m1", []byte("a b,c=d\\"), "field", []byte("x\"\\\n"), 1.5)
	f.Add("#", []byte("\n"), "time", []byte{0xff}, math.NaN())
	f.Add("a\\,b", []byte("\\="), "a=,\\", []byte("\\\\\""), -0.0)
	f.Fuzz(func(t *testing.T, measurement string, tag []byte, field string, text []byte, v float64) {
		b := pipeline.NewBatch(columns(pipeline.Field{Name: "m", Kind: pipeline.Text}, pipeline.Field{Name: "tag", Kind: pipeline.Text},
			pipeline.Field{Name: "t" + field, Kind: pipeline.Text}, pipeline.Field{Name: "v" + field, Kind: pipeline.Float}), nil)
		for range 3 {
			b.AppendRow(pipeline.Row{Time: second})
			b.Columns[0].AppendText([]byte(measurement))
			b.Columns[1].AppendText(tag)
			b.Columns[2].AppendText(text)
			b.Columns[3].AppendFloat(v)
		}
		p := points(t, "{m}", []string{"tag"}, nil)
		no := p.encode(b)
		d := lineprotocol.NewDecoderWithBytes(p.buf)
		n := 0
		for ; d.Next(); n++ {
			check := func(what string, got []byte, err error, want string) {
				if err != nil || string(got) != want {
					t.Fatalf("%s: got %q, %v, want %q, in %q", what, got, err, want, p.buf)
				}
			}
			m, err := d.Measurement()
			check("measurement", m, err, measurement)
			_, tagValue, err := d.NextTag()
			check("tag", tagValue, err, string(tag))
			key, value, err := d.NextField()
			check("key", key, err, "t"+field)
			check("text", value.BytesV(), nil, string([]rune(string(text))))
			if _, value, err = d.NextField(); err != nil || value.FloatV() != v {
				t.Fatalf("got %v, %v, want %g", value, err, v)
			}
			if at, err := d.Time(lineprotocol.Microsecond, time.Time{}); err != nil || at.UnixMicro() != second {
				t.Fatalf("got %s, %v", at, err)
			}
		}
		if n != len(p.points) || n+len(no) != 3 {
			t.Errorf("got %d lines of %d points and %v, of 3 rows", n, len(p.points), no)
		}
	})
}
