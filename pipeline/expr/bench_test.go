package expr

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// benchBatches is how many batches a pass of a benchmark goes through.
const benchBatches = 16

// paired times ours and theirs in turns, a pass over all batches each, and
// reports what a row costs in the median pass, and the ratio. Every pass has new values, as a
// processor learns by heart which way the rows of a few batches go.
func paired(b *testing.B, batches []*pipeline.Batch, ours, theirs func(*pipeline.Batch)) {
	r := seeded(b)
	const passesMax = 1 << 14
	spent := [2][]time.Duration{make([]time.Duration, 0, passesMax), make([]time.Duration, 0, passesMax)}
	b.ReportAllocs()
	for b.Loop() {
		renew(r, batches)
		for k, do := range []func(*pipeline.Batch){ours, theirs} {
			from := time.Now()
			for _, batch := range batches {
				do(batch)
			}
			if took := time.Since(from); len(spent[k]) < passesMax {
				spent[k] = append(spent[k], took)
			}
		}
	}
	var took [2]float64
	for k := range spent {
		slices.Sort(spent[k])
		took[k] = float64(spent[k][len(spent[k])/2])
	}
	n := float64(benchBatches * pipeline.RowsMax)
	b.ReportMetric(took[0]/n, "ns/row")
	b.ReportMetric(took[1]/n, "native-ns/row")
	b.ReportMetric(took[0]/took[1], "ratio")
	b.ReportMetric(0, "ns/op")
}

var benchSchema = pipeline.Schema{
	{Name: "device", Kind: pipeline.Text}, {Name: "temp", Kind: pipeline.Float}, {Name: "volts", Kind: pipeline.Float},
	{Name: "amps", Kind: pipeline.Float}, {Name: "count", Kind: pipeline.Int}, {Name: "on", Kind: pipeline.Bool}, {Name: "wind", Kind: pipeline.Float},
	{Name: "state", Kind: pipeline.Text},
}

func benchReadings() []*pipeline.Batch {
	var all []*pipeline.Batch
	for range benchBatches {
		all = append(all, pipeline.NewBatch(benchSchema, pipeline.NewKeys(1)))
	}
	return all
}

// renew makes readings of eight devices: temperatures around 20 degrees, of
// which few are above 30 and one in a thousand cannot be; wind is absent from
// every fourth, and one state in a hundred is not on.
func renew(r *rand.Rand, batches []*pipeline.Batch) {
	devices := [...]string{"m1", "m2", "m3", "m14", "press-4", "compressor-17", "compressor-18", "oven"}
	for _, b := range batches {
		b.Reset()
		for range pipeline.RowsMax {
			b.AppendRow(pipeline.Row{})
			temp := 20 + 5*r.NormFloat64()
			if r.IntN(1000) == 0 {
				temp = 850
			}
			c := b.Columns
			c[0].Data = append(c[0].Data, devices[r.IntN(len(devices))]...)
			c[0].Off = append(c[0].Off, uint32(len(c[0].Data)))
			c[1].AppendFloat(temp)
			c[2].AppendFloat(230 + 4*r.Float64())
			c[3].AppendFloat(r.Float64())
			c[4].AppendInt(r.Int64N(1000))
			c[5].AppendBool(r.IntN(2) == 0)
			if r.IntN(4) == 0 {
				c[6].AppendNull()
			} else {
				c[6].AppendFloat(r.Float64())
			}
			state := "on"
			if r.IntN(100) == 0 {
				state = "fault"
			}
			c[7].Data = append(c[7].Data, state...)
			c[7].Off = append(c[7].Off, uint32(len(c[7].Data)))
		}
	}
}

// BenchmarkWhere finds the rows to keep and takes them, next to loops written
// by hand for the same condition. The name says how many rows it keeps.
func BenchmarkWhere(b *testing.B) {
	batches := benchReadings()
	for _, c := range whereCases() {
		b.Run(c.src, func(b *testing.B) {
			w, err := NewWhere(c.src, benchSchema)
			if err != nil {
				b.Fatal(err)
			}
			rows := make([]int32, 0, pipeline.RowsMax)
			paired(b, batches, func(in *pipeline.Batch) { w.keep(in) }, func(in *pipeline.Batch) { rows = c.loop(rows[:0], in) })
		})
	}
}

// A whereCase is an expression, and the same by hand.
type whereCase struct {
	src  string
	loop func(rows []int32, b *pipeline.Batch) []int32
}

func whereCases() []whereCase {
	return []whereCase{
		{`temp > 20`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[1].Floats {
				if v > 20 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`temp > 30`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[1].Floats {
				if v > 30 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`temp > -40 and temp < 150`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[1].Floats {
				if v > -40 && v < 150 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`temp > 15 and temp < 25`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[1].Floats {
				if v > 15 && v < 25 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`state == "on"`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i := range b.Rows() {
				if string(b.Columns[7].Text(i)) == "on" {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`state == "fault" or temp > 30`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[1].Floats {
				if string(b.Columns[7].Text(i)) == "fault" || v > 30 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`device == "m1"`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i := range b.Rows() {
				if string(b.Columns[0].Text(i)) == "m1" {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`device == "compressor-17"`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i := range b.Rows() {
				if string(b.Columns[0].Text(i)) == "compressor-17" {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`device == "m1" or temp > 30`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[1].Floats {
				if string(b.Columns[0].Text(i)) == "m1" || v > 30 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`device in ["m1", "m2", "m3"] and on`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, on := range b.Columns[5].Bools {
				if d := b.Columns[0].Text(i); (string(d) == "m1" || string(d) == "m2" || string(d) == "m3") && on != 0 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`volts * amps > 200`, func(rows []int32, b *pipeline.Batch) []int32 {
			amps := b.Columns[3].Floats
			for i, v := range b.Columns[2].Floats {
				if v*amps[i] > 200 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`count % 10 == 0`, func(rows []int32, b *pipeline.Batch) []int32 {
			for i, v := range b.Columns[4].Ints {
				if v%10 == 0 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`wind > 0.5`, func(rows []int32, b *pipeline.Batch) []int32 {
			c := &b.Columns[6]
			for i, v := range c.Floats {
				if c.Has(i) && v > 0.5 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
		{`not on or count >= 900`, func(rows []int32, b *pipeline.Batch) []int32 {
			on := b.Columns[5].Bools
			for i, v := range b.Columns[4].Ints {
				if on[i] == 0 || v >= 900 {
					rows = append(rows, int32(i))
				}
			}
			return rows
		}},
	}
}

// BenchmarkSet computes columns as a stage, next to loops written by hand
// that put the same values into columns of their own.
func BenchmarkSet(b *testing.B) {
	batches := benchReadings()
	for _, c := range setCases() {
		b.Run(c.src, func(b *testing.B) {
			s, err := NewSet("x", c.src, benchSchema)
			if err != nil {
				b.Fatal(err)
			}
			var out pipeline.Outputs
			renew(seeded(b), batches)
			to := pipeline.NewBatch(nil, nil)
			to.CopyFrom(batches[0])
			paired(b, batches, func(in *pipeline.Batch) {
				if err := s.Process(in, &out); err != nil {
					b.Fatal(err)
				}
			}, func(in *pipeline.Batch) { c.loop(to, in) })
		})
	}
}

// A setCase is an expression, and the same by hand.
type setCase struct {
	src  string
	loop func(to, b *pipeline.Batch)
}

func setCases() []setCase {
	return []setCase{
		{"volts * amps", func(to, b *pipeline.Batch) {
			amps, out := b.Columns[3].Floats, to.Columns[1].Floats
			for i, v := range b.Columns[2].Floats {
				out[i] = v * amps[i]
			}
		}},
		{"(temp - 32) / 1.8", func(to, b *pipeline.Batch) {
			out := to.Columns[1].Floats
			for i, v := range b.Columns[1].Floats {
				out[i] = (v - 32) / 1.8
			}
		}},
		{"temp * 1.8 + 32", func(to, b *pipeline.Batch) {
			out := to.Columns[1].Floats
			for i, v := range b.Columns[1].Floats {
				out[i] = v*1.8 + 32
			}
		}},
		{"volts * amps / 1000", func(to, b *pipeline.Batch) {
			amps, out := b.Columns[3].Floats, to.Columns[1].Floats
			for i, v := range b.Columns[2].Floats {
				out[i] = v * amps[i] / 1000
			}
		}},
		{"(temp - 20) * (volts - 230) + amps", func(to, b *pipeline.Batch) {
			temp, amps, out := b.Columns[1].Floats, b.Columns[3].Floats, to.Columns[1].Floats
			for i, v := range b.Columns[2].Floats {
				out[i] = (temp[i]-20)*(v-230) + amps[i]
			}
		}},
		{"volts * amps > 200", func(to, b *pipeline.Batch) {
			amps, out := b.Columns[3].Floats, to.Columns[5].Bools
			for i, v := range b.Columns[2].Floats {
				x := byte(0)
				if v*amps[i] > 200 {
					x = 1
				}
				out[i] = x
			}
		}},
		{"abs(temp - 20)", func(to, b *pipeline.Batch) {
			out := to.Columns[1].Floats
			for i, v := range b.Columns[1].Floats {
				out[i] = math.Abs(v - 20)
			}
		}},
		{"round(temp)", func(to, b *pipeline.Batch) {
			out := to.Columns[1].Floats
			for i, v := range b.Columns[1].Floats {
				out[i] = math.Round(v)
			}
		}},
		{"max(temp, amps)", func(to, b *pipeline.Batch) {
			amps, out := b.Columns[3].Floats, to.Columns[1].Floats
			for i, v := range b.Columns[1].Floats {
				out[i] = max(v, amps[i])
			}
		}},
		{"temp > 20 ? temp : amps", func(to, b *pipeline.Batch) {
			amps, out := b.Columns[3].Floats, to.Columns[1].Floats
			for i, v := range b.Columns[1].Floats {
				if v > 20 {
					out[i] = v
				} else {
					out[i] = amps[i]
				}
			}
		}},
		{`temp > 30 ? "hot" : "ok"`, func(to, b *pipeline.Batch) {
			out := &to.Columns[0]
			out.Off, out.Data = out.Off[:1], out.Data[:0]
			for _, v := range b.Columns[1].Floats {
				if v > 30 {
					out.Data = append(out.Data, "hot"...)
				} else {
					out.Data = append(out.Data, "ok"...)
				}
				out.Off = append(out.Off, uint32(len(out.Data)))
			}
		}},
		{"wind ?? 0", func(to, b *pipeline.Batch) {
			c, out := &b.Columns[6], to.Columns[1].Floats
			for i, v := range c.Floats {
				if !c.Has(i) {
					v = 0
				}
				out[i] = v
			}
		}},
		{"count * 3 + 1", func(to, b *pipeline.Batch) {
			out := to.Columns[4].Ints
			for i, v := range b.Columns[4].Ints {
				out[i] = v*3 + 1
			}
		}},
		{"count % 60", func(to, b *pipeline.Batch) {
			out := to.Columns[4].Ints
			for i, v := range b.Columns[4].Ints {
				out[i] = v % 60
			}
		}},
		{"count / 10", func(to, b *pipeline.Batch) {
			out := to.Columns[1].Floats
			for i, v := range b.Columns[4].Ints {
				out[i] = float64(v) / 10
			}
		}},
		{`device + "/temp"`, func(to, b *pipeline.Batch) {
			out := &to.Columns[0]
			out.Off, out.Data = out.Off[:1], out.Data[:0]
			for i := range b.Rows() {
				out.Data = append(append(out.Data, b.Columns[0].Text(i)...), "/temp"...)
				out.Off = append(out.Off, uint32(len(out.Data)))
			}
		}},
	}
}

// BenchmarkVM computes what has no kernel.
func BenchmarkVM(b *testing.B) {
	batches := benchReadings()
	p, err := Compile(`upper(device) == "M1"`, benchSchema)
	if err != nil {
		b.Fatal(err)
	}
	found := 0
	paired(b, batches, func(in *pipeline.Batch) { p.Eval(in) }, func(in *pipeline.Batch) {
		for i := range in.Rows() {
			if strings.ToUpper(string(in.Columns[0].Text(i))) == "M1" {
				found++
			}
		}
	})
}
