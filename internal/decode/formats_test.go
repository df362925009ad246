package decode

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// A formatCase is a decoder and messages of one format that say alike.
type formatCase struct {
	config Config
	recs   []journal.Record
	rows   int // in all
}

// formatCases are the readings of BenchmarkReadings in every format, and in
// blocks of 64.
func formatCases(t testing.TB) map[string]formatCase {
	set, block := plantProto(t)
	encode := binaries(t)
	samples := func(i int) (s []float64) {
		for k := range 64 {
			s = append(s, math.Round(1e3*math.Sin(float64(i*64+k)))/1e3)
		}
		return s
	}
	each := func(topic string, payload func(i int) string) (recs []journal.Record) {
		for i := range 64 {
			recs = append(recs, journal.Record{Offset: uint64(i + 1), Arrived: newYear, Topic: fmt.Appendf(nil, topic, i%10), Payload: []byte(payload(i))})
		}
		return recs
	}
	wide := fieldsOf(pipeline.Float, "temp", "rpm")
	reading := func(i int) map[string]any {
		return map[string]any{"temp": 20 + math.Sin(float64(i)), "rpm": 1000 + i, "state": "running", "ts": newYear/1000 + int64(i)}
	}
	timed := TimeField{Name: "ts"}
	one := func(c Config, payload func(i int) string) formatCase {
		return formatCase{c, each("plant/m%d", payload), 64}
	}
	cases := map[string]formatCase{
		"raw":   one(Config{Format: "raw"}, func(i int) string { return fmt.Sprintf("%.3f", math.Sin(float64(i))) }),
		"value": one(Config{Format: "value", Fields: fieldsOf(pipeline.Float, "value")}, func(i int) string { return fmt.Sprintf("%.3f", math.Sin(float64(i))) }),
		"line": one(Config{Format: "line", Fields: wide}, func(i int) string {
			return fmt.Sprintf("motors,line=a temp=%.3f,rpm=%di,state=\"running\" %d", math.Sin(float64(i)), i, newYear*1000+int64(i))
		}),
		"csv": one(Config{Format: "csv", Fields: wide, Time: timed}, func(i int) string {
			return fmt.Sprintf("ts,temp,rpm,state\n%d,%.3f,%d,running", newYear/1000+int64(i), math.Sin(float64(i)), i)
		}),
		"cbor":    one(Config{Format: "cbor", Fields: wide, Time: timed}, func(i int) string { return string(encode["cbor"](reading(i))) }),
		"msgpack": one(Config{Format: "msgpack", Fields: wide, Time: timed}, func(i int) string { return string(encode["msgpack"](reading(i))) }),
		"protobuf": one(Config{Format: "protobuf", Protobuf: Protobuf{set, "plant.Block"}, Fields: fieldsOf(pipeline.Float, "one.temp", "i32"), Time: TimeField{Name: "at"}}, func(i int) string {
			return encodeProto(t, block, fmt.Sprintf(`{"at":"2026-01-01T00:00:%02dZ","id":"m","one":{"temp":%v,"state":"RUNNING"},"i32":%d}`, i%60, math.Sin(float64(i)), i))
		}),
	}
	cases["explode"] = formatCase{Config{Fields: append(fieldsOf(pipeline.Float, "value"), fieldsOf(pipeline.Text, "id")...), Explode: "samples", Time: TimeField{Name: "ts", Step: 1000}},
		each("plant/m%d", func(i int) string {
			return fmt.Sprintf(`{"ts":%d,"samples":%s,"id":"m"}`, newYear/1000, joined(samples(i)))
		}), 64 * 64}
	cases["explode_cbor"] = formatCase{Config{Format: "cbor", Fields: fieldsOf(pipeline.Float, "value"), Explode: "samples"},
		each("plant/m%d", func(i int) string { return string(encode["cbor"](map[string]any{"samples": samples(i)})) }), 64 * 64}
	pivot := each("plant/m%d/temp", func(i int) string { return fmt.Sprintf("%.3f", math.Sin(float64(i))) })
	cases["pivot"] = formatCase{Config{Pivot: &topics.Level{Name: "metric", Index: 2}, Fields: wide}, pivot, 64}
	cases["sparkplug"] = formatCase{Config{Format: "sparkplug", Fields: fieldsOf(pipeline.Float, "Motor.Temp")}, sparkplugData(), 66}
	return cases
}

func joined(s []float64) string {
	p := []byte("[")
	for i, x := range s {
		p = fmt.Appendf(p, "%v", x)
		if i < len(s)-1 {
			p = append(p, ',')
		}
	}
	return string(append(p, ']'))
}

// sparkplugData is two birth certificates and 64 messages of a device.
func sparkplugData() []journal.Record {
	recs := births()
	for i := range 64 {
		m := payload(uint64(i), i+2).metric(num(2, 2), at(uint64(i)), dbl(float64(i))).metric(num(2, 4), num(10, 3))
		recs = append(recs, sp(ddata, m))
	}
	return recs
}

func decodeAll(d *Decoder, recs []journal.Record, b *pipeline.Batch, dead *[]pipeline.DeadLetter) (rows int) {
	for len(recs) > 0 {
		b.Reset()
		recs = recs[d.Decode(recs, b, dead):]
		rows += b.Rows()
	}
	return rows
}

func TestNoFormatAllocates(t *testing.T) {
	for name, c := range formatCases(t) {
		for _, c.config.Open = range []bool{false, true} {
			d := newDecoder(t, c.config)
			b := d.NewBatch()
			var dead []pipeline.DeadLetter
			if got := decodeAll(d, c.recs, b, &dead); got != c.rows || len(dead) > 0 {
				t.Errorf("%s: got %d rows and %v, want %d", name, got, dead, c.rows)
			}
			recs := c.recs
			if name == "sparkplug" {
				recs = recs[2:] // a birth certificate is learnt anew
			}
			if n := testing.AllocsPerRun(20, func() { decodeAll(d, recs, b, &dead) }); n != 0 || len(dead) > 0 {
				t.Errorf("%s, open %v: got %v allocations and %v, want none", name, c.config.Open, n, dead)
			}
		}
	}
}

func TestNoFormatDependsOnHowRecordsAreCut(t *testing.T) {
	r := seeded(t)
	for name, c := range formatCases(t) {
		c.config.Open = true
		run := func(cut func() int) (rows []string) {
			d := newDecoder(t, c.config)
			b := d.NewBatch()
			var dead []pipeline.DeadLetter
			for rest := c.recs; len(rest) > 0; {
				b.Reset()
				rest = rest[d.Decode(rest[:min(cut(), len(rest))], b, &dead):]
				for i := range b.Rows() {
					rows = append(rows, fmt.Sprint(b.Row(i), rowText(b, i)))
				}
			}
			return append(rows, fmt.Sprint(dead))
		}
		whole, ones, some := run(func() int { return 500 }), run(func() int { return 1 }), run(func() int { return 1 + r.IntN(9) })
		if !slices.Equal(ones, whole) || !slices.Equal(some, whole) {
			t.Errorf("%s: the rows depend on how the records were cut into batches", name)
		}
	}
}

func BenchmarkFormats(b *testing.B) {
	for name, c := range formatCases(b) {
		b.Run(name, func(b *testing.B) {
			d := newDecoder(b, c.config)
			batch := d.NewBatch()
			var dead []pipeline.DeadLetter
			recs, rows := c.recs, c.rows
			if name == "sparkplug" {
				decodeAll(d, recs[:2], batch, &dead)
				recs, rows = recs[2:], rows-2
			}
			b.ReportAllocs()
			for b.Loop() {
				decodeAll(d, recs, batch, &dead)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
			if len(dead) > 0 {
				b.Fatal(dead[0].Reason)
			}
		})
	}
}
