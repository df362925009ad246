package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// seeded returns a random source and prints the seed that makes it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var testSchema = Schema{{"f", Float}, {"i", Int}, {"b", Bool}, {"t", Text}, {"raw", Bytes}}

// randomRow appends a row to b, a third of its values absent, and returns its text.
func randomRow(r *rand.Rand, b *Batch) string {
	b.AppendRow(Row{Time: r.Int64N(100), Arrived: r.Int64N(100), Mark: r.Int64N(100), Key: r.Uint32N(9), Offset: r.Uint64N(1000), Ordinal: r.Uint32N(9), Hop: uint8(r.UintN(9))})
	for k := range b.Columns {
		c := &b.Columns[k]
		switch {
		case r.IntN(3) == 0:
			c.AppendNull()
		case c.Kind == Float:
			c.AppendFloat(float64(r.IntN(1000)) / 8)
		case c.Kind == Int:
			c.AppendInt(r.Int64())
		case c.Kind == Bool:
			c.AppendBool(r.IntN(2) == 0)
		default:
			c.AppendText(make([]byte, r.IntN(5)))
		}
	}
	return rowText(b, b.Rows()-1)
}

func rowText(b *Batch, i int) string {
	s := fmt.Sprint(b.Row(i))
	for k := range b.Columns {
		c := &b.Columns[k]
		switch {
		case !c.Has(i):
			s += " -"
		case c.Kind == Float:
			s += fmt.Sprint(" ", c.Floats[i])
		case c.Kind == Int:
			s += fmt.Sprint(" ", c.Ints[i])
		case c.Kind == Bool:
			s += fmt.Sprint(" ", c.Bools[i])
		default:
			s += fmt.Sprintf(" %q", c.Text(i))
		}
	}
	return s
}

func checkRows(t *testing.T, b *Batch, want []string) {
	t.Helper()
	if b.Rows() != len(want) {
		t.Fatalf("got %d rows, want %d", b.Rows(), len(want))
	}
	for i, w := range want {
		if got := rowText(b, i); got != w {
			t.Fatalf("row %d: got %s, want %s", i, got, w)
		}
	}
	for k := range b.Columns {
		if n := b.Columns[k].Rows(); n != len(want) {
			t.Fatalf("column %s has %d rows, want %d", b.Columns[k].Name, n, len(want))
		}
	}
}

func TestBatchesKeepTheirRowsThroughTakeTruncateAndCopy(t *testing.T) {
	r := seeded(t)
	b, other := NewBatch(testSchema, NewKeys(1)), NewBatch(testSchema, NewKeys(1))
	for range 300 {
		b.Reset()
		var rows []string
		for range r.IntN(40) {
			rows = append(rows, randomRow(r, b))
		}
		for range 4 {
			switch r.IntN(4) {
			case 0:
				var take []int32
				var kept []string
				for i := range rows {
					if r.IntN(3) > 0 {
						take, kept = append(take, int32(i)), append(kept, rows[i])
					}
				}
				b.Take(take)
				rows = kept
			case 1:
				n := r.IntN(len(rows) + 1)
				b.Truncate(n)
				rows = rows[:n]
			case 2:
				other.CopyFrom(b)
				b, other = other, b
				other.Reset()
			case 3:
				if len(rows) > 0 {
					i := r.IntN(len(rows))
					other.CopyFrom(b)
					b.AppendFrom(other, i)
					rows = append(rows, rows[i])
				}
			}
			checkRows(t, b, rows)
			rows = append(rows, randomRow(r, b))
			checkRows(t, b, rows)
		}
	}
}

func TestFullBatchesAllocateNothing(t *testing.T) {
	r := seeded(t)
	src, b := NewBatch(testSchema, NewKeys(1)), NewBatch(testSchema, NewKeys(1))
	for range RowsMax {
		randomRow(r, src)
	}
	take := []int32{1, 2, 5, 100, 255}
	work := func() {
		b.CopyFrom(src)
		b.Take(take)
		b.Reset()
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func TestAFullDictionaryRefusesNewKeysOnly(t *testing.T) {
	k := NewKeys(3)
	for i, c := range []struct {
		key  string
		code uint32
		ok   bool
	}{{"", 0, true}, {"a", 1, true}, {"b", 2, true}, {"c", 0, false}, {"a", 1, true}} {
		if code, ok := k.Code([]byte(c.key)); code != c.code || ok != c.ok {
			t.Errorf("%d: got %d %v, want %d %v", i, code, ok, c.code, c.ok)
		}
	}
	if k.Name(2) != "b" || k.Len() != 3 {
		t.Errorf("got %q and %d keys", k.Name(2), k.Len())
	}
}

func TestAColumnIsFoundByTheKindThatHasAValue(t *testing.T) {
	b := NewBatch(Schema{{"v", Float}, {"v", Text}}, NewKeys(1))
	b.AppendRow(Row{})
	b.Columns[0].AppendNull()
	b.Columns[1].AppendText([]byte("on"))
	if c := b.Column("v", 0); c == nil || c.Kind != Text {
		t.Errorf("got %+v, want the text column", c)
	}
	if c := b.Column("w", 0); c != nil {
		t.Errorf("got %+v, want none", c)
	}
	if got := b.Schema().Index("v"); got != 0 {
		t.Errorf("got index %d, want 0", got)
	}
}
