package sinks

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// jumble returns up to 40 rows of random columns and values; id is counted on.
func jumble(r *rand.Rand, id *int) *pipeline.Batch {
	schema := columns(pipeline.Field{Name: "id", Kind: pipeline.Int})
	for _, name := range []string{"a", "b", "c"} {
		if r.IntN(3) > 0 {
			schema = append(schema, pipeline.Field{Name: name, Kind: pipeline.Kind(r.IntN(5) + 1)})
		}
	}
	r.Shuffle(len(schema), func(i, j int) { schema[i], schema[j] = schema[j], schema[i] })
	b := pipeline.NewBatch(schema, nil)
	nulls := r.IntN(2) == 0
	for range r.IntN(40) {
		b.AppendRow(pipeline.Row{Time: int64(*id), Offset: uint64(*id), Hop: uint8(*id)})
		for k := range b.Columns {
			switch c := &b.Columns[k]; {
			case c.Name == "id":
				c.AppendInt(int64(*id))
			case nulls && r.IntN(3) == 0:
				c.AppendNull()
			case c.Kind == pipeline.Float:
				c.AppendFloat(r.NormFloat64())
			case c.Kind == pipeline.Int:
				c.AppendInt(r.Int64())
			case c.Kind == pipeline.Bool:
				c.AppendBool(r.IntN(2) == 0)
			default:
				c.AppendText([]byte(strings.Repeat("x", r.IntN(30))))
			}
		}
		*id++
	}
	return b
}

// texts returns each row in JSON with its fields in order, and its hop.
func texts(b *pipeline.Batch) (rows []string) {
	j := newJSON([]string{"id", "a", "b", "c"})
	j.fit(b)
	for i := range b.Rows() {
		rows = append(rows, fmt.Sprint(string(j.append(nil, b, i)), b.Hop[i], b.Offset[i]))
	}
	return rows
}

func TestAQueueGivesBackWhatItGotInOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 200 {
		q := queue{rowsMax: 1 + r.IntN(100), bytesMax: QueueMaxDefault, mix: r.IntN(2) == 0}
		var want, got []string
		id := 0
		take := func() {
			q.writing = true
			c := q.first()
			if c.b.Rows() == 0 || c.b.Rows() > q.rowsMax {
				t.Fatalf("round %d: a chunk of %d rows, the most is %d", round, c.b.Rows(), q.rowsMax)
			}
			got = append(got, texts(&c.b)...)
		}
		for range 40 {
			b := jumble(r, &id)
			want = append(want, texts(b)...)
			if n := q.push(b, time.Time{}); n != 0 {
				t.Fatalf("round %d: dropped %d rows", round, n)
			}
			if q.writing && r.IntN(2) == 0 {
				q.writing = false
				q.remove()
			}
			if !q.writing && q.first() != nil && r.IntN(2) == 0 {
				take()
			}
		}
		if q.writing {
			q.writing = false
			q.remove()
		}
		for ; q.first() != nil; q.remove() {
			take()
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: got %d rows %.500q, want %d %.500q", round, len(got), got, len(want), want)
		}
		if q.bytes != 0 || q.rows != 0 {
			t.Fatalf("round %d: an empty queue has %d bytes, %d rows", round, q.bytes, q.rows)
		}
	}
}

func TestAFullQueueDropsTheOldestAndHoldsItsLimit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 100 {
		q := queue{rowsMax: 1 + r.IntN(50), bytesMax: 1<<10 + r.Int64N(1<<16), mix: r.IntN(2) == 0}
		var pushed []string
		id, dropped := 0, 0
		var busy []string // what the sink has
		for k := range 100 {
			b := jumble(r, &id)
			pushed = append(pushed, texts(b)...)
			dropped += q.push(b, time.Time{})
			if q.bytes > q.bytesMax {
				t.Fatalf("round %d: %d bytes, the most is %d", round, q.bytes, q.bytesMax)
			}
			if k == 50 && q.first() != nil {
				q.writing = true
				busy = texts(&q.first().b)
			}
		}
		if q.rows+dropped != len(pushed) {
			t.Fatalf("round %d: %d rows and %d dropped, of %d", round, q.rows, dropped, len(pushed))
		}
		var left []string
		for ; q.first() != nil; q.remove() {
			left = append(left, texts(&q.first().b)...)
		}
		if !slices.Equal(left[:len(busy)], busy) {
			t.Fatalf("round %d: what the sink writes has gone", round)
		}
		rest := left[len(busy):]
		if q.rowsMax > 1 && q.bytesMax > 1<<14 && !slices.Equal(rest, pushed[len(pushed)-len(rest):]) {
			t.Fatalf("round %d: the rows left are not the last", round)
		}
	}
}

func TestARowLargerThanTheQueueIsDroppedAlone(t *testing.T) {
	q := queue{rowsMax: 10, bytesMax: 4096}
	giant := strings.Repeat("x", 5000)
	b := batch(columns(device), []any{"a"}, []any{giant}, []any{"b"})
	if n := q.push(b, time.Time{}); n != 1 || q.rows != 2 {
		t.Errorf("got %d dropped, %d left, want 1 and 2", n, q.rows)
	}
	q.push(batch(columns(device), []any{strings.Repeat("x", 3500)}), time.Time{})
	if q.rows != 1 {
		t.Errorf("got %d rows, want the one that just fits", q.rows)
	}
}

func TestChunksAreSizedByTheirBytes(t *testing.T) {
	q := queue{rowsMax: 100000, bytesMax: QueueMaxDefault}
	var rows [][]any
	for range 50 {
		rows = append(rows, []any{strings.Repeat("x", 100<<10)})
	}
	q.push(batch(columns(device), rows...), time.Time{})
	for n := q.len(); q.first() != nil; q.remove() {
		if c := q.first(); c.bytes > chunkBytes || n > 10 {
			t.Errorf("got %d chunks, one of %d bytes, want some of at most %d", n, c.bytes, chunkBytes)
		}
	}
}

func TestColumnsAreMixedUpToALimit(t *testing.T) {
	q := queue{rowsMax: 10, bytesMax: QueueMaxDefault, mix: true}
	wide := func(from, to int) *pipeline.Batch {
		b := pipeline.NewBatch(nil, nil)
		b.AppendRow(pipeline.Row{})
		for i := from; i < to; i++ {
			b.Columns = append(b.Columns, pipeline.NewColumn(pipeline.Field{Name: fmt.Sprint(i), Kind: pipeline.Int}))
			b.Columns[i-from].AppendInt(int64(i))
		}
		return b
	}
	q.push(wide(0, 1), time.Time{})
	q.push(wide(1, columnsMax), time.Time{})
	if q.len() != 1 || len(q.first().b.Columns) != columnsMax {
		t.Errorf("got %d chunks, want one of %d columns", q.len(), columnsMax)
	}
	q.push(wide(0, columnsMax+1), time.Time{})
	if q.len() != 2 {
		t.Errorf("got %d chunks, want the next one begun", q.len())
	}
}

func TestAQueueHasRoomAgainWhenItIsHalfEmpty(t *testing.T) {
	var f fullness
	if f.drop(0) || !f.drop(3) || f.drop(4) {
		t.Error("want the first dropped row alone to begin it")
	}
	if ends, _ := f.relax(51, 100); ends {
		t.Error("got an end at 51 of 100 bytes")
	}
	if ends, n := f.relax(50, 100); !ends || n != 7 {
		t.Errorf("got end %t of %d rows at 50 of 100 bytes, want one of 7", ends, n)
	}
	if ends, _ := f.relax(0, 100); ends {
		t.Error("got a second end")
	}
}
