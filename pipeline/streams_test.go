package pipeline

import (
	"fmt"
	"strings"
	"testing"
)

// observe counts a row of key "a" and returns its mark.
func observe(m *Marks, k *Keys, stream uint8, time, arrived int64) int64 {
	a, _ := k.Code([]byte("a"))
	b := oneRow(k, Row{Time: time, Arrived: arrived, Key: a})
	m.ObserveStreams(b, []uint8{stream})
	return b.Mark[0]
}

func TestAKeyFollowsTheSlowestOfItsStreamsThatSpeak(t *testing.T) {
	k := NewKeys(9)
	m := &Marks{Streams: 2, Lateness: 5, Idle: 100}
	for i, c := range []struct {
		what          string
		advance       int64
		stream        uint8
		time, arrived int64
		want          int64
	}{
		{"the other has not spoken", 0, 0, 1000, 10, NoMark},
		{"now it has, and is behind", 0, 1, 900, 20, 895},
		{"the first goes on alone", 0, 0, 1050, 30, 895},
		{"the other is silent for 99", 119, 0, 1060, 119, 895},
		{"and for 100", 120, 0, 1070, 120, 1065},
		{"it speaks again: a watermark does not go back", 0, 1, 950, 121, 1065},
		{"until it is there", 0, 1, 1080, 122, 1065},
		{"both go on", 0, 0, 1090, 123, 1075},
	} {
		if c.advance > 0 {
			m.Advance(c.advance)
		}
		if got := observe(m, k, c.stream, c.time, c.arrived); got != c.want {
			t.Errorf("%d %s: got %d, want %d", i, c.what, got, c.want)
		}
	}
	m.Advance(1000)
	a, _ := k.Code([]byte("a"))
	if got, want := m.Of(a), int64(1090-5+1000-123); got != want {
		t.Errorf("all are silent: got %d, want %d", got, want)
	}
	if got, want := m.Behind(10).Behind(5).Of(a), m.Of(a)-15; got != want {
		t.Errorf("behind by 15: got %d, want %d", got, want)
	}
	if got := m.Behind(10).Of(8); got != NoMark {
		t.Errorf("a key that is not there: got %d, want none", got)
	}
}

func TestAStreamThatNeverSpeaksIsWaitedForWhileItMayBeNew(t *testing.T) {
	k := NewKeys(9)
	m := &Marks{Streams: 3, Idle: 100}
	observe(m, k, 0, 1000, 50)
	m.Advance(149)
	if got := observe(m, k, 0, 1099, 149); got != NoMark {
		t.Errorf("got %d, want none yet", got)
	}
	m.Advance(150)
	if got := observe(m, k, 0, 1100, 150); got != 1100 {
		t.Errorf("got %d, want 1100", got)
	}
	m = &Marks{Streams: 2, Idle: -1}
	observe(m, k, 0, 1000, 50)
	m.Advance(1e9)
	if got := observe(m, k, 0, 2000, 1e9); got != NoMark {
		t.Errorf("never idle: got %d, want none", got)
	}
}

func TestWatermarksGoOnFromASnapshot(t *testing.T) {
	r := seeded(t)
	for _, streams := range []int{0, 3} {
		k := NewKeys(9)
		m := &Marks{Streams: streams, Lateness: 3, Idle: 40}
		other, keys := *m, NewKeys(9)
		now := int64(0)
		send := func(m *Marks, k *Keys, name string, stream uint8, time, now int64) int64 {
			code, _ := k.Code([]byte(name))
			b := oneRow(k, Row{Time: time, Arrived: now, Key: code})
			if m.Streams == 0 {
				m.Observe(b)
			} else {
				m.ObserveStreams(b, []uint8{stream})
			}
			return b.Mark[0]
		}
		for i := range 500 {
			now += r.Int64N(30)
			name, stream, time := fmt.Sprint("k", r.IntN(4)), uint8(r.IntN(3)), now-r.Int64N(20)
			if got, want := send(&other, keys, name, stream, time, now), send(m, k, name, stream, time, now); got != want {
				t.Fatalf("row %d: got %d, want %d", i, got, want)
			}
			if r.IntN(5) == 0 {
				m.Advance(now)
				other.Advance(now)
			}
			if r.IntN(20) == 0 {
				snapshot := other.Snapshot(nil, keys)
				other, keys = Marks{Streams: streams, Lateness: 3, Idle: 40}, NewKeys(9)
				if err := other.Restore(snapshot, keys); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestADamagedSnapshotOfWatermarksIsRefused(t *testing.T) {
	k := NewKeys(9)
	m := &Marks{Streams: 2}
	observe(m, k, 0, 1000, 50)
	whole := m.Snapshot(nil, k)
	for n := range len(whole) {
		if err := (&Marks{Streams: 2}).Restore(whole[:n], NewKeys(9)); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(whole))
		}
	}
	if err := (&Marks{Streams: 2}).Restore(append(whole, 0), NewKeys(9)); err == nil {
		t.Error("a byte too many was taken")
	}
	if err := (&Marks{Streams: 3}).Restore(whole, NewKeys(9)); err != errMarksOther {
		t.Errorf("got %v, want %v", err, errMarksOther)
	}
	if err := (&Marks{Streams: 2}).Restore(whole, NewKeys(1)); err != errMarksKeys {
		t.Errorf("got %v, want %v", err, errMarksKeys)
	}
}

// above is a condition on the first column.
type above struct {
	limit float64
	c     Column
}

func (a *above) Eval(b *Batch) *Column {
	a.c = NewColumn(Field{"", Bool})
	for i, v := range b.Columns[0].Floats {
		if !b.Columns[0].Has(i) {
			a.c.AppendNull()
			continue
		}
		a.c.AppendBool(v > a.limit)
	}
	return &a.c
}

// ways writes down which way rows have gone.
type ways struct {
	name string
	said *[]string
}

func (w ways) Main(b *Batch) {
	for i := range b.Rows() {
		*w.said = append(*w.said, fmt.Sprintf("%s %v", w.name, b.Columns[0].Floats[i]))
	}
}
func (w ways) Late(*Batch)              {}
func (w ways) Dead([]DeadLetter)        {}
func (w ways) Branch(b *Branch) Results { return ways{w.name + "/" + b.Name, w.said} }

func TestARowTakesTheFirstBranchThatTakesIt(t *testing.T) {
	k := NewKeys(1)
	send := func(s *Switch) string {
		b := NewBatch(Schema{{"v", Float}}, k)
		for _, v := range []float64{5, 95, 45, 99} {
			b.AppendRow(Row{})
			b.Columns[0].AppendFloat(v)
		}
		b.AppendRow(Row{})
		b.Columns[0].AppendNull()
		var said []string
		c := Chain{Stages: []Stage{s}}
		if err := c.Process(b, ways{"main", &said}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(said, ", ")
	}
	inner := &Branch{Name: "top", When: &above{limit: 98}}
	hot := &Branch{Name: "hot", When: &above{limit: 90}, Chain: Chain{Stages: []Stage{&Switch{Branches: []*Branch{inner}}}}}
	warm := &Branch{Name: "warm", When: &above{limit: 40}}
	if got, want := send(&Switch{Branches: []*Branch{hot, warm}}), "main/hot/top 99, main/hot 95, main/warm 45, main 5, main 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := send(&Switch{Branches: []*Branch{warm, {Name: "else"}}}), "main/warm 95, main/warm 45, main/warm 99, main/else 5, main/else 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimePassesInBranchesAndMistakesComeOut(t *testing.T) {
	k := NewKeys(1)
	var said []string
	branch := &Branch{Name: "b", Chain: Chain{Stages: []Stage{&ticker{"in", NewBatch(Schema{{"v", Float}}, k), &said}}}}
	c := Chain{Stages: []Stage{&Switch{Branches: []*Branch{branch}}}}
	var got count
	if err := c.Advance(&Marks{}, &got); err != nil || got.main != 1 {
		t.Errorf("got %v and %+v, want a row", err, got)
	}
	stages := 0
	if c.All(func(Stage) { stages++ }); stages != 2 {
		t.Errorf("got %d stages, want 2", stages)
	}
	branch.Chain.Stages = []Stage{failing{errMarksOther}}
	if err := c.Process(oneRow(k, Row{}), &got); err != errMarksOther || got.dead != 1 {
		t.Errorf("got %v and %+v, want the mistake and its dead letter", err, got)
	}
}

// late is a stage that holds rows back.
type late struct{ d int64 }

func (l late) Process(in *Batch, out *Outputs) error { out.Main = in; return nil }
func (l late) Delay() int64                          { return l.d }

// looker writes down the watermark that it is shown.
type looker struct{ saw *[]int64 }

func (l looker) Process(in *Batch, out *Outputs) error { out.Main = in; return nil }
func (l looker) Advance(m *Marks, _ *Outputs) error {
	*l.saw = append(*l.saw, m.Of(0))
	return nil
}

func TestStagesBehindOneThatHoldsRowsSeeTheWatermarkOfItsRows(t *testing.T) {
	m := &Marks{Idle: -1}
	m.Observe(oneRow(NewKeys(1), Row{Time: 100, Arrived: 1}))
	var saw []int64
	branch := &Branch{Chain: Chain{Stages: []Stage{looker{&saw}, late{1}, looker{&saw}}}}
	c := Chain{Stages: []Stage{looker{&saw}, late{10}, looker{&saw}, &Switch{Branches: []*Branch{branch}}, late{5}, looker{&saw}}}
	if err := c.Advance(m, &count{}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(saw), "[100 90 90 89 85]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
