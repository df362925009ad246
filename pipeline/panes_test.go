package pipeline

import (
	"math"
	"slices"
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

func TestASlidingWindowHasAtMostPanesMaxRows(t *testing.T) {
	run := newPaneRun(t, Window{Kind: Sliding, Size: 10, PanesMax: 3})
	run.marks.Lateness = 0
	b := NewBatch(nil, run.keys)
	for i, at := range []int64{0, 1, 2, 3, 11, 12, 12, 100} {
		b.AppendRow(Row{Time: at, Arrived: int64(i), Key: 1})
	}
	run.batch(b)
	want := []string{
		"row 3 refused -2",
		"0 -10 to 0 at 0 early false revision 0: [0]",
		"0 -9 to 1 at 1 early false revision 0: [0 1]",
		"0 -8 to 2 at 2 early false revision 0: [0 1 2]",
		"0 1 to 11 at 11 early false revision 0: [2 4]",
		"0 2 to 12 at 12 early false revision 0: [4 5]",
		"0 2 to 12 at 12 early false revision 0: [4 5 6]",
		"0 90 to 100 at 100 early false revision 0: [7]",
	}
	if !slices.Equal(run.said, want) {
		t.Errorf("got  %q\nwant %q", run.said, want)
	}
}

// An open window speaks early if it has rows that it has not spoken of, even
// those that another window has told already.
func TestHoppingWindowsSpeakEarly(t *testing.T) {
	run := newPaneRun(t, Window{Kind: Hopping, Size: 10, Every: 5, Early: 4, PanesMax: 9})
	run.marks.Lateness = 0
	b := NewBatch(nil, run.keys)
	for i, at := range []int64{1, 4, 5, 9, 10, 16} {
		b.AppendRow(Row{Time: at, Arrived: int64(i), Key: 1})
	}
	run.batch(b)
	want := []string{
		"0 -5 to 5 at 5 early true revision 0: [0 1]",
		"0 0 to 10 at 10 early true revision 0: [0 1]",
		"0 -5 to 5 at 5 early false revision 0: [0 1]",
		"0 0 to 10 at 10 early true revision 0: [0 1 2 3]",
		"0 5 to 15 at 15 early true revision 0: [2 3]",
		"0 0 to 10 at 10 early false revision 0: [0 1 2 3]",
		"0 5 to 15 at 15 early false revision 0: [2 3 4]",
		"0 10 to 20 at 20 early true revision 0: [4 5]",
		"0 15 to 25 at 25 early true revision 0: [5]",
	}
	if !slices.Equal(run.said, want) {
		t.Errorf("got  %q\nwant %q", run.said, want)
	}
}

func TestPanesThatCannotBeAreRefused(t *testing.T) {
	pane := func(start, last int64, rows int32) Pane { return Pane{Start: start, Last: last, Rows: rows} }
	none := Lane{Spoken: NoMark, EarlyAt: NoMark, Back: -1}
	hopping := Window{Kind: Hopping, Size: 10, Every: 5, PanesMax: 3}
	for name, c := range map[string]struct {
		w    Window
		open []Pane
		lane Lane
	}{
		"none":                {hopping, nil, none},
		"too many":            {hopping, make([]Pane, 4), none},
		"one twice":           {hopping, []Pane{pane(5, 5, 0), pane(5, 5, 0)}, none},
		"beyond time":         {hopping, []Pane{pane(math.MaxInt64, 5, 0)}, none},
		"beyond all marks":    {hopping, []Pane{pane(5, 5, 0)}, Lane{Spoken: math.MaxInt64, EarlyAt: NoMark, Back: -1}},
		"revised backwards":   {hopping, []Pane{pane(5, 5, 0)}, Lane{Back: -1, Revised: []Revised{{End: 5}, {End: 5}}}},
		"a back of nothing":   {hopping, []Pane{pane(5, 5, 0)}, Lane{Back: 0}},
		"settled beyond":      {Window{Kind: Sliding, Size: 5, PanesMax: 3}, []Pane{pane(5, 5, 0)}, Lane{Settled: 2, Back: 0}},
		"a front beyond":      {Window{Kind: Sliding, Size: 5, PanesMax: 3}, []Pane{pane(5, 5, 0)}, Lane{Settled: 1, Front: 2, Back: -1}},
		"sessions that touch": {Window{Kind: Session, Size: 5, PanesMax: 3}, []Pane{pane(5, 7, 0), pane(9, 9, 0)}, none},
		"a count of none":     {Window{Kind: Counted, Size: 5, PanesMax: 3}, []Pane{pane(5, 7, 0)}, none},
		"a count too large":   {Window{Kind: Counted, Size: 5, PanesMax: 3}, []Pane{pane(5, 7, 6)}, none},
		"counts without end":  {Window{Kind: Counted, Size: 6, Every: 2, PanesMax: 3}, []Pane{pane(5, 7, 2)}, Lane{Done: 8, Back: -1}},
	} {
		if err := NewPanes(c.w).Put(0, c.open, &c.lane); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	p := NewPanes(hopping)
	if err := p.Put(3, []Pane{pane(5, 5, 0)}, &none); err != nil {
		t.Error(err)
	}
	if err := p.Put(3, []Pane{pane(5, 5, 0)}, &none); err == nil {
		t.Error("a key was taken twice")
	}
}
