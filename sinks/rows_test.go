package sinks

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// second is 2026-01-01T00:00:01Z in µs.
const second = 1767225601000000

// batch returns a batch of rows, each second plus its number in ms, from
// values in the order of columns; nil is no value.
func batch(schema pipeline.Schema, rows ...[]any) *pipeline.Batch {
	b := pipeline.NewBatch(schema, nil)
	for i, values := range rows {
		b.AppendRow(pipeline.Row{Time: second + int64(i)*1000, Offset: uint64(i + 1)})
		for k, v := range values {
			switch c := &b.Columns[k]; v := v.(type) {
			case nil:
				c.AppendNull()
			case float64:
				c.AppendFloat(v)
			case int:
				c.AppendInt(int64(v))
			case int64:
				c.AppendInt(v)
			case bool:
				c.AppendBool(v)
			case string:
				c.AppendText([]byte(v))
			}
		}
	}
	return b
}

// columns returns a schema.
func columns(fields ...pipeline.Field) pipeline.Schema { return fields }

var (
	device = pipeline.Field{Name: "device", Kind: pipeline.Text}
	temp   = pipeline.Field{Name: "temp", Kind: pipeline.Float}
	count  = pipeline.Field{Name: "n", Kind: pipeline.Int}
	on     = pipeline.Field{Name: "on", Kind: pipeline.Bool}
	raw    = pipeline.Field{Name: "raw", Kind: pipeline.Bytes}
)

func jsonOf(b *pipeline.Batch, i int, fields ...string) string {
	j := newJSON(fields)
	j.fit(b)
	return string(j.append(nil, b, i))
}

func TestARowIsOneJSONObjectWithTimeFirst(t *testing.T) {
	all := columns(device, temp, count, on, raw)
	const head = `{"time":"2026-01-01T00:00:01.000Z"`
	for _, c := range []struct {
		schema pipeline.Schema
		row    []any
		fields []string
		want   string
	}{
		{all, []any{"m1", 25.0, 7, true, "x"}, nil, `,"device":"m1","temp":25,"n":7,"on":true,"raw":"x"}`},
		{all, []any{nil, nil, nil, nil, nil}, nil, `}`},
		{all, []any{"", 0.0, 0, false, ""}, nil, `,"device":"","temp":0,"n":0,"on":false,"raw":""}`},
		{all, []any{"m1", 25.5, 7, true, "x"}, []string{"n", "nothing", "device", "n"}, `,"n":7,"device":"m1"}`},
		{all, []any{"m1", math.NaN(), -7, nil, "\xff\x00"}, nil, `,"device":"m1","n":-7,"raw":"base64:/wA="}`},
		{all, []any{"m1", math.Inf(-1), int64(math.MinInt64), nil, nil}, nil, `,"device":"m1","n":-9223372036854775808}`},
		{columns(device), []any{"a\"b\\c/\n\r\t\x00\x1f\x7f é漢😀\xff\xe6\xbc"}, nil, `,"device":"a\"b\\c/\n\r\t\u0000\u001f` + "\x7f é漢😀" + `\ufffd\ufffd\ufffd"}`},
		{columns(pipeline.Field{Name: "a\"\n", Kind: pipeline.Int}), []any{1}, nil, `,"a\"\n":1}`},
		{columns(pipeline.Field{Name: "time", Kind: pipeline.Int}, count), []any{1, 2}, nil, `,"n":2}`},
		{columns(pipeline.Field{Name: "time", Kind: pipeline.Int}, count), []any{1, 2}, []string{"time", "n"}, `,"n":2}`},
		{columns(temp, count, pipeline.Field{Name: "temp", Kind: pipeline.Text}), []any{nil, 1, "n/a"}, nil, `,"temp":"n/a","n":1}`},
		{columns(temp, count, pipeline.Field{Name: "temp", Kind: pipeline.Text}), []any{1.5, 1, nil}, nil, `,"temp":1.5,"n":1}`},
	} {
		if got := jsonOf(batch(c.schema, c.row), 0, c.fields...); got != head+c.want {
			t.Errorf("%v %q: got %s, want %s", c.row, c.fields, got, head+c.want)
		}
	}
}

func TestAnEncoderFollowsWhenColumnsChange(t *testing.T) {
	j := newJSON(nil)
	for _, c := range []struct {
		b    *pipeline.Batch
		want string
	}{
		{batch(columns(temp), []any{1.0}), `"temp":1}`},
		{batch(columns(device, temp), []any{"x", 1.0}), `"device":"x","temp":1}`},
		{batch(columns(pipeline.Field{Name: "device", Kind: pipeline.Bool}, temp), []any{true, 1.0}), `"device":true,"temp":1}`},
		{batch(columns(temp), []any{2.0}), `"temp":2}`},
	} {
		j.fit(c.b)
		if got, want := string(j.append(nil, c.b, 0)), `{"time":"2026-01-01T00:00:01.000Z",`+c.want; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTimesHaveMillisecondsOrMicroseconds(t *testing.T) {
	var c clock
	for us, want := range map[int64]string{
		0:               "1970-01-01T00:00:00.000Z",
		-1:              "1969-12-31T23:59:59.999999Z",
		-1000000:        "1969-12-31T23:59:59.000Z",
		second + 20:     "2026-01-01T00:00:01.000020Z",
		second + 20000:  "2026-01-01T00:00:01.020Z",
		second + 999999: "2026-01-01T00:00:01.999999Z",
		second + 60e6:   "2026-01-01T00:01:01.000Z",
	} {
		if got := string(c.append(nil, us)); got != want {
			t.Errorf("%d: got %s, want %s", us, got, want)
		}
	}
}

func TestFloatsAreShortAndReadBackTheSame(t *testing.T) {
	for v, want := range map[float64]string{
		25: "25", -3: "-3", 0.1: "0.1", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001", 1.5e-7: "1.5e-7",
		math.MaxFloat64: "1.7976931348623157e+308", 5e-324: "5e-324", 1 << 53: "9007199254740992", 1e100: "1e+100", -2.5e-10: "-2.5e-10",
	} {
		if got := string(appendFloat(nil, v)); got != want {
			t.Errorf("%g: got %s, want %s", v, got, want)
		}
	}
	if got := string(appendFloat(nil, math.Copysign(0, -1))); got != "-0" {
		t.Errorf("got %s, want -0", got)
	}
}

func FuzzJSONMeansTheSame(f *testing.F) {
	f.Add("device", []byte("m1"), 25.0, int64(7), int64(second))
	f.Add("a\"b\xff", []byte("\x00\xff\"\\é"), math.NaN(), int64(-1), int64(-1))
	f.Add("", []byte{}, -1e-300, int64(math.MinInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, name string, text []byte, v float64, n, us int64) {
		b := pipeline.NewBatch(columns(pipeline.Field{Name: "t" + name, Kind: pipeline.Text}, pipeline.Field{Name: "v" + name, Kind: pipeline.Float},
			pipeline.Field{Name: "n" + name, Kind: pipeline.Int}, pipeline.Field{Name: "b" + name, Kind: pipeline.Bytes}), nil)
		b.AppendRow(pipeline.Row{Time: us})
		b.Columns[0].AppendText(text)
		b.Columns[1].AppendFloat(v)
		b.Columns[2].AppendInt(n)
		b.Columns[3].AppendText(text)
		line := jsonOf(b, 0)
		var got map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if name == "ime" {
			return // time is the event time
		}
		name = string([]rune(name))
		var said, bytes string
		if err := json.Unmarshal(got["t"+name], &said); err != nil || said != string([]rune(string(text))) {
			t.Errorf("%v: got %q, want %q", err, said, text)
		}
		if err := json.Unmarshal(got["b"+name], &bytes); err != nil || utf8.Valid(text) && bytes != string(text) {
			t.Errorf("%v: got %q, want %q", err, bytes, text)
		}
		if back, err := strconv.ParseFloat(string(got["v"+name]), 64); isFinite(v) && (err != nil || math.Float64bits(back) != math.Float64bits(v)) {
			t.Errorf("%v: got %s, want %g", err, got["v"+name], v)
		}
		if got["v"+name] != nil && !isFinite(v) {
			t.Errorf("got %s, want nothing for %g", got["v"+name], v)
		}
		if back, err := strconv.ParseInt(string(got["n"+name]), 10, 64); err != nil || back != n {
			t.Errorf("%v: got %s, want %d", err, got["n"+name], n)
		}
	})
}

func TestALineIsFilledFromColumns(t *testing.T) {
	b := batch(columns(device, temp, count, on, raw), []any{"m1", 20.456, 7, true, "x"}, []any{nil, math.NaN(), nil, nil, nil}, []any{"a\nb\x1b[2J\xffé\u0085", -0.001, -7, false, ""})
	for _, c := range []struct {
		line string
		row  int
		want string
	}{
		{"ALERT  {device}: {temp:.1f} °C", 0, "ALERT  m1: 20.5 °C"},
		{"{time} {temp} {n} {on} {raw}", 0, "2026-01-01T00:00:01.000Z 20.456 7 true x"},
		{"{n:.2f} {on:.2f} {device:.0f} {temp:.15f}", 0, "7.00 true m1 20.456000000000000"},
		{"{device}|{temp}|{temp:.1f}|{n}|{on}|{raw}|{nothing}", 1, "-|NaN|NaN|-|-|-|-"},
		{"{device} {temp:.2f} {raw}", 2, `a\x0ab\x1b[2J\xffé\xc2\x85 -0.00 `},
		{"no braces", 0, "no braces"},
	} {
		l, err := compileLine(c.line)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if got := string(l.append(nil, b, c.row)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.line, got, c.want)
		}
	}
}

func TestAWrongLineIsRefused(t *testing.T) {
	for _, line := range []string{"{", "}", "{}", "{a{b}}", "a}b", "{:.2f}", "{a:}", "{a:.f}", "{a:2f}", "{a:.2}", "{a:.16f}", "{a:.-1f}", "{a:d}", "{a:.999f}"} {
		if _, err := compileLine(line); err == nil {
			t.Errorf("%s: got no error", line)
		}
	}
}
