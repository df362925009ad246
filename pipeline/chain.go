package pipeline

// A Chain is a pipeline's stages in order.
type Chain struct {
	Stages []Stage
	out    Outputs
}

// Results is what a chain's caller does with what comes out; the batches are
// only lent.
type Results interface {
	Main(b *Batch)
	Late(b *Batch)
	Dead(letters []DeadLetter)
}

// Process sends the rows of b through all stages.
func (c *Chain) Process(b *Batch, r Results) error { return c.from(0, b, r) }

// Advance lets the stages that wait for time act on marks, each before those
// behind it.
func (c *Chain) Advance(marks *Marks, r Results) error {
	for i, s := range c.Stages {
		if i > 0 {
			marks = behind(c.Stages[i-1], marks)
		}
		if branches, ok := s.(*Switch); ok {
			if err := branches.advance(marks, r); err != nil {
				return err
			}
		}
		a, ok := s.(Advancer)
		if !ok {
			continue
		}
		c.out.Main = nil
		err := a.Advance(marks, &c.out)
		next := c.flush(r)
		if err != nil {
			return err
		}
		if err := c.from(i+1, next, r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) from(first int, b *Batch, r Results) error {
	for _, s := range c.Stages[first:] {
		if b == nil || b.Rows() == 0 {
			return nil
		}
		c.out.Main = nil
		err := s.Process(b, &c.out)
		b = c.flush(r)
		if err != nil {
			return err
		}
		if branches, ok := s.(*Switch); ok {
			if err := branches.divide(b, r); err != nil {
				return err
			}
		}
	}
	if b != nil && b.Rows() > 0 {
		r.Main(b)
	}
	return nil
}

// behind returns the watermarks of the rows that come out of s.
func behind(s Stage, marks *Marks) *Marks {
	if d, ok := s.(Delayer); ok && d.Delay() > 0 {
		return marks.Behind(d.Delay())
	}
	return marks
}

// All calls do for every stage, those of branches behind their switch.
func (c *Chain) All(do func(s Stage)) {
	for _, s := range c.Stages {
		do(s)
		if branches, ok := s.(*Switch); ok {
			for _, b := range branches.Branches {
				b.Chain.All(do)
			}
		}
	}
}

func (c *Chain) flush(r Results) *Batch {
	if c.out.Late != nil && c.out.Late.Rows() > 0 {
		r.Late(c.out.Late)
		c.out.Late = nil
	}
	if len(c.out.Dead) > 0 {
		r.Dead(c.out.Dead)
		c.out.Dead = c.out.Dead[:0]
	}
	return c.out.Main
}
