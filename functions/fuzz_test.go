package functions

import (
	"encoding/binary"
	"math"
	"testing"

	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/pipeline"
)

// FuzzLoad loads what may be a module. Nothing it holds may hurt the host.
func FuzzLoad(f *testing.F) {
	for _, name := range append(builtin.Names(), "window") {
		wasm, _ := builtin.Lookup(name)
		f.Add(wasm)
	}
	f.Add(maker{}.module(""))
	f.Add(maker{table: []byte{1, 0x70, 0, 1}, bodies: [][]byte{{opLoop, 0x40, 0x0c, 0, opEnd, 0x41, 0}}}.module(""))
	r := newRuntime(f, Options{MemoryMax: 2 << 20, StepsMax: 100_000})
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := r.Load(t.Context(), "fuzz", wasm)
		if err != nil {
			return
		}
		defer m.compiled.Close(t.Context())
		in := pipeline.Schema{}
		for _, field := range m.Manifest().In {
			in = append(in, pipeline.Field{Name: field.Name, Kind: field.Kind})
		}
		s, err := m.Bind(t.Context(), Binding{}, in, pipeline.NewKeys(2))
		if err != nil {
			return
		}
		defer s.Close(t.Context())
		b := pipeline.NewBatch(in, s.keys)
		b.AppendRow(pipeline.Row{})
		for k := range b.Columns {
			b.Columns[k].AppendNull()
		}
		var out pipeline.Outputs
		if err := s.Process(b, &out); err == nil && out.Main.Rows()+len(out.Dead) > 1 {
			t.Errorf("one row became %d and %d dead letters", out.Main.Rows(), len(out.Dead))
		}
	})
}

// FuzzFrame sends rows made of any bytes over the boundary of a guest that
// misbehaves as it likes. Each row has one fate, in order.
func FuzzFrame(f *testing.F) {
	f.Add(uint8(0), []byte("0123456789abcdef"))
	for how := uint8(1); how <= howFrame; how++ {
		f.Add(how, binary.LittleEndian.AppendUint64([]byte{1, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 2}, math.Float64bits(13)))
	}
	r := newRuntime(f, Options{StepsMax: 100_000})
	m := loadGuest(f, r, "hostile")
	f.Fuzz(func(t *testing.T, how uint8, data []byte) {
		keys := pipeline.NewKeys(300)
		s := bind(t, m, Binding{With: map[string]float64{"how": float64(how % (howFrame + 1))}}, readings, keys)
		b := pipeline.NewBatch(readings, keys)
		var all []reading
		for ; len(data) >= 9 && len(all) < 600; data = data[9:] {
			all = append(all, reading{int64(len(all)), string(rune('a' + data[0]%26)), math.Float64frombits(binary.LittleEndian.Uint64(data[1:])), data[0] > 250})
		}
		fill(b, all, 0)
		var out pipeline.Outputs
		if err := s.Process(b, &out); err != nil {
			t.Fatal(err)
		}
		if out.Main.Rows()+len(out.Dead) > len(all) {
			t.Errorf("%d rows became %d and %d dead letters", len(all), out.Main.Rows(), len(out.Dead))
		}
		for i := range out.Main.Rows() {
			if i > 0 && out.Main.Offset[i] <= out.Main.Offset[i-1] {
				t.Errorf("row %d is out of order", i)
			}
		}
		s.Close(t.Context())
	})
}
