package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A paneRun does what turns say, with lists of rows in the place of slots.
type paneRun struct {
	t     *testing.T
	keys  *Keys
	marks *Marks
	panes *Panes
	turn  Turn
	held  map[int32][]int
	first int // number of the batch's first row
	said  []string
}

func newPaneRun(t *testing.T, w Window) *paneRun {
	r := &paneRun{t: t, keys: NewKeys(100), marks: &Marks{Lateness: 20, Idle: 100}, panes: NewPanes(w), held: map[int32][]int{}}
	for i := range 5 {
		r.keys.Code(fmt.Append(nil, i))
	}
	return r
}

func (r *paneRun) batch(b *Batch) {
	r.marks.Observe(b)
	for from := 0; from < b.Rows(); {
		to := r.panes.Assign(b, from, &r.turn)
		if to <= from {
			r.t.Fatalf("row %d was not taken", r.first+from)
		}
		for _, m := range r.turn.First {
			r.merge(m)
		}
		for i := from; i < to; i++ {
			if id := r.turn.IDs[i]; id >= 0 {
				r.held[id] = append(r.held[id], r.first+i)
			} else {
				r.said = append(r.said, fmt.Sprintf("row %d refused %d", r.first+i, id))
			}
		}
		r.then()
		from = to
	}
	r.first += b.Rows()
}

func (r *paneRun) advance(now int64) {
	r.marks.Advance(now)
	r.panes.Advance(r.marks, r.keys, &r.turn)
	r.then()
}

func (r *paneRun) merge(m Merge) { r.held[m.Into] = append(r.held[m.Into], r.held[m.From]...) }

func (r *paneRun) then() {
	for k := range r.turn.Then {
		s := &r.turn.Then[k]
		if !s.Speaks {
			r.merge(s.Merge)
			continue
		}
		var rows []int
		for _, id := range r.turn.PartsOf(&s.Spoken) {
			rows = append(rows, r.held[id]...)
		}
		slices.Sort(rows)
		x := &s.Spoken
		r.said = append(r.said, fmt.Sprintf("%s %d to %d at %d early %v revision %d: %v", r.keys.Name(x.Key), x.Start, x.End, x.Time, x.Early, x.Revision, rows))
	}
	for _, id := range r.turn.Free {
		delete(r.held, id)
		r.panes.Free(id)
	}
}

// again puts everything down and takes it up in new panes.
func (r *paneRun) again() {
	old, held := r.panes, r.held
	r.panes, r.held = NewPanes(old.Window), map[int32][]int{}
	for key := range old.Keys() {
		open, l := old.Of(uint32(key))
		if len(open) == 0 {
			continue
		}
		before, back := slices.Clone(open), l.Back
		open = slices.Clone(open)
		l.Revised = slices.Clone(l.Revised)
		if err := r.panes.Put(uint32(key), open, &l); err != nil {
			r.t.Fatal(err)
		}
		for k := range open {
			r.held[open[k].ID] = held[before[k].ID]
		}
		if back >= 0 {
			r.held[l.Back] = held[back]
		}
	}
}

func kindsOfWindows() map[string]Window {
	return map[string]Window{
		"tumbling":  {Size: 10, PanesMax: 4},
		"early":     {Size: 10, Early: 3, PanesMax: 9},
		"correct":   {Size: 10, Correct: 30, PanesMax: 9},
		"both":      {Size: 10, Correct: 30, Early: 3, PanesMax: 9},
		"hopping":   {Kind: Hopping, Size: 10, Every: 5, PanesMax: 6},
		"uneven":    {Kind: Hopping, Size: 12, Every: 8, PanesMax: 12},
		"corrected": {Kind: Hopping, Size: 10, Every: 5, Correct: 25, PanesMax: 14},
		"hasty":     {Kind: Hopping, Size: 10, Every: 5, Early: 3, PanesMax: 9},
		"all":       {Kind: Hopping, Size: 12, Every: 8, Early: 2, Correct: 25, PanesMax: 30},
		"sliding":   {Kind: Sliding, Size: 15, PanesMax: 20},
		"full":      {Kind: Sliding, Size: 30, PanesMax: 9},
		"session":   {Kind: Session, Size: 6, PanesMax: 5},
		"speaking":  {Kind: Session, Size: 8, Early: 5, PanesMax: 9},
		"counted":   {Kind: Counted, Size: 5, PanesMax: 1},
		"again":     {Kind: Counted, Size: 6, Every: 4, PanesMax: 4},
	}
}

// A pane's ID is only free at the end of a turn, so the order in which
// refusals and windows are told differs with the cut, but not what is told.
func TestPanesDoNotShowCutsAndRestarts(t *testing.T) {
	r := seeded(t)
	for name, w := range kindsOfWindows() {
		t.Run(name, func(t *testing.T) {
			for range 12 {
				times, keys, passing := paneInput(r)
				play := func(cut func() int, stop func() bool) []string {
					run := newPaneRun(t, w)
					b := NewBatch(nil, run.keys)
					for from := 0; from < len(times); {
						if now := passing[from]; now > 0 {
							run.advance(now)
						}
						b.Reset()
						for n := cut(); from < len(times) && b.Rows() < n && (b.Rows() == 0 || passing[from] == 0); from++ {
							b.AppendRow(Row{Time: times[from], Arrived: int64(from), Key: keys[from]})
						}
						run.batch(b)
						if stop() {
							run.again()
						}
					}
					run.advance(10_000)
					if len(run.held) > 5*int(w.Panes()) {
						t.Fatalf("%d panes are left", len(run.held))
					}
					slices.Sort(run.said)
					return run.said
				}
				never := func() bool { return false }
				whole := play(func() int { return 1000 }, never)
				if len(whole) < 20 {
					t.Fatalf("only %q: nothing is shown", whole)
				}
				for _, cut := range []func() int{func() int { return 1 }, func() int { return 1 + r.IntN(30) }} {
					for _, stop := range []func() bool{never, func() bool { return r.IntN(4) == 0 }} {
						if got := play(cut, stop); !slices.Equal(got, whole) {
							t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(whole, "\n"))
						}
					}
				}
			}
		})
	}
}

// paneInput are rows that come out of order, and the clock's time before some.
func paneInput(r *rand.Rand) (times []int64, keys []uint32, passing map[int]int64) {
	passing = map[int]int64{}
	for i := range 200 {
		times = append(times, int64(i)+r.Int64N(60)-30)
		keys = append(keys, 1+r.Uint32N(5))
		if r.IntN(40) == 0 {
			passing[i] = int64(i) + r.Int64N(30)
		}
	}
	return times, keys, passing
}
