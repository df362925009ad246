package pipeline

// A Turn is what is to be done for rows of a batch, or for time that has
// passed: First, then the rows into their panes, then Then, then Free. It says
// nothing of what a pane holds. Memory is kept from one turn to the next.
type Turn struct {
	IDs   []int32 // the pane of each row of the batch so far, or why it has none
	First []Merge
	Then  []Step
	Free  []int32 // panes that are over; their IDs stay theirs until Panes.Free
	Parts []int32 // see Spoken
}

// A Merge adds what the pane From holds, which is later in time, to Into.
type Merge struct{ Into, From int32 }

// A Step merges, or makes a window speak.
type Step struct {
	Merge
	Speaks bool
	Spoken Spoken
}

// A Spoken is a window that speaks, and the row that made it do so.
type Spoken struct {
	Start, End int64 // what it covers
	Time       int64 // event time of the result
	Key        uint32
	By         int32 // row whose watermark, or coming, was the reason; -1: time passed without one
	Revision   int32 // how many stragglers have made it speak again
	Early      bool  // it will speak again
	Last       int32 // the pane of the latest row
	from, to   int32
}

// PartsOf returns the panes that together are the window, in order of time.
func (t *Turn) PartsOf(s *Spoken) []int32 { return t.Parts[s.from:s.to] }

func (t *Turn) begin(from int) {
	t.IDs, t.First, t.Then = t.IDs[:from], t.First[:0], t.Then[:0]
	t.Free, t.Parts = t.Free[:0], t.Parts[:0]
}

// speak adds a window made of panes.
func (t *Turn) speak(s Spoken, panes ...Pane) {
	s.from = int32(len(t.Parts))
	for i := range panes {
		t.Parts = append(t.Parts, panes[i].ID)
	}
	s.to = int32(len(t.Parts))
	s.Last = panes[len(panes)-1].ID
	t.Then = append(t.Then, Step{Speaks: true, Spoken: s})
}

func (t *Turn) merge(into, from int32) {
	t.Then = append(t.Then, Step{Merge: Merge{into, from}})
}
