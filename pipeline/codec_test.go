package pipeline

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// randomBatch returns a batch with columns of every kind, some of them with
// rows that have no value.
func randomBatch(r *rand.Rand, rows int) *Batch {
	var s Schema
	for k := range r.IntN(12) {
		s = append(s, Field{strings.Repeat("é", r.IntN(3)) + string(rune('a'+k)), Kind(1 + r.IntN(5))})
	}
	b := NewBatch(s, nil)
	extremes := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, NoMark, 1767225600000000}
	pick := func() int64 { return extremes[r.IntN(len(extremes))] + int64(r.IntN(1000)) }
	alike := r.IntN(2) == 0
	row := Row{Time: pick(), Arrived: pick(), Mark: pick(), Offset: uint64(pick()), Ordinal: r.Uint32(), Hop: uint8(r.Uint32())}
	for range rows {
		if !alike {
			row = Row{Time: pick(), Arrived: pick(), Mark: pick(), Offset: uint64(pick()), Ordinal: r.Uint32(), Hop: uint8(r.Uint32())}
		}
		b.AppendRow(row)
		for k := range b.Columns {
			appendRandom(r, &b.Columns[k], k%3 == 1, pick)
		}
	}
	return b
}

func appendRandom(r *rand.Rand, c *Column, sparse bool, pick func() int64) {
	text := make([]byte, r.IntN(20))
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	switch {
	case sparse && r.IntN(2) == 0:
		c.AppendNull()
	case c.Kind == Float:
		c.AppendFloat(math.Float64frombits(r.Uint64()))
	case c.Kind == Int:
		c.AppendInt(pick())
	case c.Kind == Bool:
		c.AppendBool(r.IntN(2) == 0)
	default:
		c.AppendText(text)
	}
}

// sameBatch reports whether a and b are the same, bit by bit.
func sameBatch(a, b *Batch) bool {
	bits := func(b *Batch) *Batch { // NaN is not equal to itself
		x := &Batch{}
		x.CopyFrom(b)
		for k := range x.Columns {
			for _, v := range x.Columns[k].Floats {
				x.Columns[k].Ints = append(x.Columns[k].Ints, int64(math.Float64bits(v)))
			}
			x.Columns[k].Floats = nil
		}
		x.Keys = nil
		return x
	}
	x, y := bits(a), bits(b)
	if len(x.Columns) != len(y.Columns) || x.Rows() != y.Rows() {
		return false
	}
	for k := range x.Columns {
		p, q := &x.Columns[k], &y.Columns[k]
		if p.Field != q.Field || len(p.Ints) != len(q.Ints) || !bytes.Equal(p.Bools, q.Bools) || !bytes.Equal(p.Data, q.Data) || !bytes.Equal(p.Valid, q.Valid) {
			return false
		}
		for i := range p.Ints {
			if p.Ints[i] != q.Ints[i] {
				return false
			}
		}
		for i := range p.Off {
			if p.Off[i] != q.Off[i] {
				return false
			}
		}
	}
	for i := range x.Rows() {
		if x.Row(i) != y.Row(i) {
			return false
		}
	}
	return true
}

func TestABatchComesOutAsItWentIn(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var got Batch // used again and again
	for round := range 2000 {
		want := randomBatch(r, r.IntN(40))
		packed := AppendBatch([]byte("before"), want)
		rest, err := got.Decode(append(packed, "behind"...)[6:])
		if err != nil || string(rest) != "behind" || !sameBatch(&got, want) {
			t.Fatalf("round %d: %v, rest %q:\n got %+v\nwant %+v", round, err, rest, got, want)
		}
	}
}

func TestABatchThatIsCutShortIsNotRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	packed := AppendBatch(nil, randomBatch(r, 9))
	for n := range packed {
		var b Batch
		if _, err := b.Decode(packed[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were read as a batch", n, len(packed))
		}
		if b.Rows() != 0 {
			t.Errorf("%d rows are left of %d bytes", b.Rows(), n)
		}
	}
}

func TestAnOutboxComesOutAsItWentIn(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for n := range 5 {
		var parcels []Parcel
		for k := range n {
			parcels = append(parcels, Parcel{strings.Repeat("p", k), BranchPort + "steps[1]", randomBatch(r, 50*k)})
		}
		packed, rest, err := Outbox(append(AppendOutbox(nil, parcels), "state"...))
		if err != nil || string(rest) != "state" {
			t.Fatalf("got rest %q, %v", rest, err)
		}
		seen := 0
		err = WalkParcels(packed, func(k int, p Packed) error {
			var b Batch
			behind, err := b.Decode(p.Batch)
			want := parcels[k]
			if err != nil || len(behind) > 0 || string(p.Pipeline) != want.Pipeline || string(p.Port) != want.Port || !sameBatch(&b, want.Batch) {
				t.Errorf("parcel %d is another: %v", k, err)
			}
			seen++
			return nil
		})
		if err != nil || seen != n {
			t.Errorf("got %d parcels of %d, %v", seen, n, err)
		}
	}
}

func TestTheWalkEndsWithTheError(t *testing.T) {
	b := NewBatch(nil, nil)
	packed, _, _ := Outbox(AppendOutbox(nil, []Parcel{{"a", MainPort, b}, {"b", MainPort, b}}))
	stop := errors.New("stop")
	if err := WalkParcels(packed, func(k int, _ Packed) error { return stop }); err != stop {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		f.Add(AppendBatch(nil, randomBatch(r, r.IntN(20))))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var b, again Batch
		if _, err := b.Decode(src); err != nil {
			return
		}
		packed := AppendBatch(nil, &b)
		if rest, err := again.Decode(packed); err != nil || len(rest) > 0 || !sameBatch(&b, &again) {
			t.Fatalf("%v: what was read is not read again", err)
		}
		if !reflect.DeepEqual(AppendBatch(nil, &again), packed) {
			t.Fatal("the same batch is written in two ways")
		}
	})
}

func FuzzOutbox(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	f.Add(AppendOutbox(nil, []Parcel{{"a", MainPort, randomBatch(r, 3)}, {"b", LatePort, randomBatch(r, 1)}}))
	f.Fuzz(func(t *testing.T, src []byte) {
		parcels, _, err := Outbox(src)
		if err != nil {
			return
		}
		_ = WalkParcels(parcels, func(int, Packed) error { return nil }) // it may be damaged; it must end
	})
}

// resultsBatch returns rows as a window puts them out.
func resultsBatch(rows int) *Batch {
	b := NewBatch(Schema{{"device", Text}, {"mean", Float}, {"n", Int}, {"alarm", Bool}}, nil)
	for i := range rows {
		at := int64(1767225600e6) + int64(i/50)*1e6
		b.AppendRow(Row{Time: at, Arrived: at + 3e5, Mark: at, Offset: uint64(1e6 + 3*i)})
		b.Columns[0].AppendText([]byte("plant/line4/motor" + string(rune('0'+i%10))))
		b.Columns[1].AppendFloat(20.5 + float64(i))
		b.Columns[2].AppendInt(int64(100 + i%7))
		b.Columns[3].AppendBool(i%5 == 0)
	}
	return b
}

func TestReadingIntoABatchAgainAllocatesNothing(t *testing.T) {
	packed := AppendBatch(nil, resultsBatch(256))
	var b Batch
	read := func() {
		if _, err := b.Decode(packed); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n > 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	rows := resultsBatch(256)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendBatch(dst[:0], rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/row")
	b.ReportMetric(float64(len(dst))/256, "B/row")
}

func BenchmarkDecodeBatch(b *testing.B) {
	packed := AppendBatch(nil, resultsBatch(256))
	var rows Batch
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rows.Decode(packed); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/row")
}
