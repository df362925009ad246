package decode

import (
	"fmt"
	"math"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// benchConfig wants three of the five fields.
var benchConfig = Config{
	Levels: motors.Levels, Key: []string{"device"}, Time: TimeField{Name: "ts"},
	Fields: pipeline.Schema{{Name: "temp", Kind: pipeline.Float}, {Name: "rpm", Kind: pipeline.Float}},
}

func benchRecords(spaced bool) (recs []journal.Record) {
	for i := range pipeline.RowsMax {
		format := `{"ts":%d,"temp":%.3f,"rpm":%d,"vibration":%.5f,"state":"running on"}`
		if spaced {
			format = `{"rpm": %[3]d, "vibration": %.5[4]f, "ts": %[1]d, "state": "running on", "temp": %.3[2]f}`
		}
		payload := fmt.Appendf(nil, format, 1767225600000+int64(i), 20+10*math.Sin(float64(i)), 1000+i*7%3000, math.Abs(math.Cos(float64(i))))
		topic := fmt.Appendf(nil, "plant/a/motor/m%d/reading", i%50)
		recs = append(recs, journal.Record{Offset: uint64(i + 1), Arrived: 1767225600000000, Topic: topic, Payload: payload})
	}
	return recs
}

// A native scanner is what one would write by hand for just these payloads:
// no general tree, no strictness about what it skips.
type native struct {
	time      []int64
	temp, rpm []float64
	key       []uint32
	keys      map[string]uint32
}

func (n *native) decode(recs []journal.Record) {
	n.time, n.temp, n.rpm, n.key = n.time[:0], n.temp[:0], n.rpm[:0], n.key[:0]
	for i := range recs {
		n.one(&recs[i])
	}
}

func (n *native) one(r *journal.Record) {
	p := r.Payload
	var ts int64
	var temp, rpm float64
	for i := 1; i < len(p); {
		i++
		from := i
		for p[i] != '"' {
			i++
		}
		name := string(p[from:i])
		i += 2
		switch name {
		case "ts":
			var f float64
			f, i = nativeNumber(p, i)
			ts = int64(f) * 1000
		case "temp":
			temp, i = nativeNumber(p, i)
		case "rpm":
			rpm, i = nativeNumber(p, i)
		default:
			for p[i] != ',' && p[i] != '}' {
				i++
			}
		}
		i++
	}
	device := r.Topic[len("plant/a/motor/") : len(r.Topic)-len("/reading")]
	code, ok := n.keys[string(device)]
	if !ok {
		code = uint32(len(n.keys))
		n.keys[string(device)] = code
	}
	n.time, n.temp, n.rpm, n.key = append(n.time, ts), append(n.temp, temp), append(n.rpm, rpm), append(n.key, code)
}

func nativeNumber(p []byte, i int) (float64, int) {
	m, exp := uint64(0), 0
	for ; p[i]-'0' <= 9; i++ {
		m = m*10 + uint64(p[i]-'0')
	}
	if p[i] == '.' {
		for i++; p[i]-'0' <= 9; i++ {
			m = m*10 + uint64(p[i]-'0')
			exp++
		}
	}
	return float64(m) / tens[exp], i
}

func BenchmarkReadings(b *testing.B) {
	plain, spaced := benchRecords(false), benchRecords(true)
	mixed := append(append([]journal.Record{}, plain[:128]...), spaced[:128]...)
	for i := range 64 {
		mixed[2*i], mixed[128+2*i] = mixed[128+2*i], mixed[2*i]
	}
	open := benchConfig
	open.Open = true
	for _, c := range []struct {
		name   string
		config Config
		recs   []journal.Record
	}{{"alike", benchConfig, plain}, {"spaced", benchConfig, spaced}, {"two_shapes_in_turn", benchConfig, mixed}, {"open", open, plain}} {
		b.Run(c.name, func(b *testing.B) {
			d := newDecoder(b, c.config)
			batch := d.NewBatch()
			var dead []pipeline.DeadLetter
			n := &native{keys: map[string]uint32{}}
			var ours, theirs time.Duration
			b.ReportAllocs()
			for b.Loop() {
				from := time.Now()
				batch.Reset()
				d.Decode(c.recs, batch, &dead)
				middle := time.Now()
				n.decode(plain)
				ours, theirs = ours+middle.Sub(from), theirs+time.Since(middle)
			}
			rows := float64(b.N * pipeline.RowsMax)
			b.ReportMetric(float64(ours.Nanoseconds())/rows, "ns/reading")
			b.ReportMetric(float64(theirs.Nanoseconds())/rows, "native-ns/reading")
			b.ReportMetric(float64(ours)/float64(theirs), "ratio")
			if len(dead) > 0 {
				b.Fatal(dead[0].Reason)
			}
		})
	}
}
