package pipeline

import (
	"errors"
	"testing"
)

// ticker puts out one row of its own whenever time moves and passes all others on.
type ticker struct {
	name string
	out  *Batch
	said *[]string
}

func (s *ticker) Process(in *Batch, out *Outputs) error {
	*s.said = append(*s.said, s.name)
	out.Main = in
	return nil
}

func (s *ticker) Advance(_ *Marks, out *Outputs) error {
	s.out.Reset()
	s.out.AppendRow(Row{})
	out.Main = s.out
	return nil
}

type failing struct{ err error }

func (f failing) Process(in *Batch, out *Outputs) error {
	out.DeadRow(in, 0, "failing", "row %d", 0)
	return f.err
}

type count struct{ main, late, dead int }

func (c *count) Main(b *Batch)       { c.main += b.Rows() }
func (c *count) Late(b *Batch)       { c.late += b.Rows() }
func (c *count) Dead(d []DeadLetter) { c.dead += len(d) }

func TestTimePassesThroughTheStagesBehind(t *testing.T) {
	var said []string
	k := NewKeys(1)
	c := Chain{Stages: []Stage{&ticker{"first", NewBatch(nil, k), &said}, &ticker{"second", NewBatch(nil, k), &said}}}
	var got count
	if err := c.Advance(&Marks{}, &got); err != nil {
		t.Fatal(err)
	}
	if got.main != 2 || len(said) != 1 || said[0] != "second" {
		t.Errorf("got %+v and %v: want two rows out, the first one through the second stage", got, said)
	}
}

func TestDeadLettersOfAFailingStageAreNotLost(t *testing.T) {
	want := errors.New("broken")
	c := Chain{Stages: []Stage{failing{want}}}
	var got count
	if err := c.Process(oneRow(NewKeys(1), Row{}), &got); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if got.dead != 1 || got.main != 0 {
		t.Errorf("got %+v, want one dead letter", got)
	}
}
