package pipeline

import (
	"testing"
)

func oneRow(k *Keys, r Row) *Batch {
	b := NewBatch(nil, k)
	b.AppendRow(r)
	return b
}

// assign sends one row through p and returns its pane and what follows.
func assign(p *Panes, k *Keys, r Row) (int32, *Turn) {
	var t Turn
	if to := p.Assign(oneRow(k, r), 0, &t); to != 1 {
		panic("the row was not taken")
	}
	return t.IDs[0], &t
}

func TestAKeyHasAtMostPanesMaxOpen(t *testing.T) {
	p := NewPanes(Window{Size: 10, PanesMax: 2})
	k := NewKeys(1)
	for i, want := range []int32{0, 1, PaneOverflow, 1} {
		if id, _ := assign(p, k, Row{Time: []int64{0, 10, 20, 11}[i], Mark: NoMark}); id != want {
			t.Errorf("row %d: got pane %d, want %d", i, id, want)
		}
	}
}

func TestARowExactlyAtTheEndBelongsToTheNextPane(t *testing.T) {
	p := NewPanes(Window{Size: 10, PanesMax: 9})
	k := NewKeys(1)
	if _, turn := assign(p, k, Row{Time: -1, Mark: -1}); len(turn.Then) != 0 {
		t.Fatalf("got %v, want nothing", turn.Then)
	}
	if _, turn := assign(p, k, Row{Time: 0, Mark: 0}); len(turn.Then) != 1 || turn.Then[0].Spoken.Start != -10 {
		t.Fatalf("got %v, want the pane from -10", turn.Then)
	}
	if id, _ := assign(p, k, Row{Time: -1, Mark: 0}); id != PaneLate {
		t.Errorf("got pane %d, want late", id)
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
