package pipeline

import (
	"fmt"
	"slices"
	"testing"
)

// paneRun sends rows of random times through Marks and Panes in batches of
// the sizes that cut gives, and tells what became of every row and pane.
func paneRun(times []int64, keys []uint32, cut func() int) []string {
	k := NewKeys(100)
	for i := range 5 {
		k.Code(fmt.Append(nil, i))
	}
	m := &Marks{Lateness: 20, Idle: -1}
	p := &Panes{Size: 10, Max: 4}
	rows := map[int32]int{}
	var said []string
	b := NewBatch(nil, k)
	for from := 0; from < len(times); {
		n := min(cut(), len(times)-from)
		b.Reset()
		for i := range n {
			b.AppendRow(Row{Time: times[from+i], Arrived: int64(from + i), Key: keys[from+i]})
		}
		m.Observe(b)
		ids, closed := p.Assign(b, nil, nil)
		for i, id := range ids {
			if id < 0 {
				said = append(said, fmt.Sprintf("row %d refused %d", from+i, id))
			} else {
				rows[id]++
			}
		}
		for _, c := range closed {
			said = append(said, fmt.Sprintf("by %d: key %d pane %d has %d", from+int(c.By), c.Key, c.Start, rows[c.ID]))
			delete(rows, c.ID)
			p.Free(c.ID)
		}
		from += n
	}
	return said
}

// A pane's ID is only free at the end of a batch, so the order in which
// refusals and closings are told differs with the cut, but not what is told.
func TestPanesDoNotShowHowTheInputWasCut(t *testing.T) {
	r := seeded(t)
	for range 200 {
		var times []int64
		var keys []uint32
		for i := range 200 {
			times = append(times, int64(i)+r.Int64N(60)-30)
			keys = append(keys, 1+r.Uint32N(5))
		}
		whole := paneRun(times, keys, func() int { return 1000 })
		for _, cut := range []func() int{func() int { return 1 }, func() int { return 1 + r.IntN(30) }} {
			got := paneRun(times, keys, cut)
			slices.Sort(whole)
			slices.Sort(got)
			if !slices.Equal(got, whole) {
				t.Fatalf("got  %q\nwant %q", got, whole)
			}
		}
	}
}

func oneRow(k *Keys, r Row) *Batch {
	b := NewBatch(nil, k)
	b.AppendRow(r)
	return b
}

func TestAKeyHasAtMostMaxPanesOpen(t *testing.T) {
	p := &Panes{Size: 10, Max: 2}
	k := NewKeys(1)
	for i, want := range []int32{0, 1, PaneOverflow, 1} {
		ids, _ := p.Assign(oneRow(k, Row{Time: []int64{0, 10, 20, 11}[i], Mark: NoMark}), nil, nil)
		if ids[0] != want {
			t.Errorf("row %d: got pane %d, want %d", i, ids[0], want)
		}
	}
}

func TestARowExactlyAtTheEndBelongsToTheNextPane(t *testing.T) {
	p := &Panes{Size: 10, Max: 9}
	k := NewKeys(1)
	_, closed := p.Assign(oneRow(k, Row{Time: -1, Mark: -1}), nil, nil)
	if len(closed) != 0 {
		t.Fatalf("got %v closed, want none", closed)
	}
	_, closed = p.Assign(oneRow(k, Row{Time: 0, Mark: 0}), nil, nil)
	if len(closed) != 1 || closed[0].Start != -10 {
		t.Fatalf("got %v closed, want the pane from -10", closed)
	}
	ids, _ := p.Assign(oneRow(k, Row{Time: -1, Mark: 0}), nil, nil)
	if ids[0] != PaneLate {
		t.Errorf("got pane %d, want late", ids[0])
	}
}

func TestASilentSourceMovesWithTheClockAndNeverBack(t *testing.T) {
	k := NewKeys(9)
	a, _ := k.Code([]byte("a"))
	m := &Marks{Lateness: 5, Idle: 100}
	b := oneRow(k, Row{Time: 1000, Arrived: 50, Key: a})
	m.Observe(b)
	check := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	check("mark of the row", b.Mark[0], 995)
	m.Advance(149)
	check("silent for 99", m.Of(a), 995)
	m.Advance(150)
	check("silent for 100", m.Of(a), 1095)
	check("a source that never spoke", m.Of(0), NoMark)
	b = oneRow(k, Row{Time: 1001, Arrived: 160, Key: a})
	m.Observe(b)
	check("mark after it speaks again", b.Mark[0], 1095)
	m.Idle = -1
	m.Advance(10_000)
	check("never idle", m.Of(a), 1095)
}
