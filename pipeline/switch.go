package pipeline

// A Switch sends each row into the first of its branches that takes it; rows
// that none takes go on. As a stage it only passes on; Chain does the rest.
type Switch struct {
	Branches []*Branch
	left     []int32
}

// A Branch is a chain beside the chain that its switch stands in.
type Branch struct {
	Name  string
	When  Condition // nil: it takes every row
	Chain Chain
	taken []int32
	rows  Batch
}

// A Condition computes a Bool column, whose rows without a value are false.
// An expr.Program is one.
type Condition interface {
	Eval(b *Batch) *Column
}

// A Brancher is Results that tell the results of branches apart; others get
// them as their own.
type Brancher interface {
	Branch(b *Branch) Results
}

// Process implements Stage.
func (s *Switch) Process(in *Batch, out *Outputs) error {
	out.Main = in
	return nil
}

// divide sends rows into the branches and leaves the others in b.
func (s *Switch) divide(b *Batch, r Results) error {
	for _, branch := range s.Branches {
		if b.Rows() == 0 {
			return nil
		}
		if s.choose(branch, b); len(branch.taken) == 0 {
			continue
		}
		branch.rows.CopyFrom(b)
		branch.rows.Take(branch.taken)
		b.Take(s.left)
		if err := branch.Chain.Process(&branch.rows, branch.of(r)); err != nil {
			return err
		}
	}
	return nil
}

// choose finds the rows that a branch takes and those that are left.
func (s *Switch) choose(branch *Branch, b *Batch) {
	branch.taken, s.left = branch.taken[:0], s.left[:0]
	var when *Column
	if branch.When != nil {
		when = branch.When.Eval(b)
	}
	for i := range int32(b.Rows()) {
		if when == nil || when.Has(int(i)) && when.Bools[i] != 0 {
			branch.taken = append(branch.taken, i)
		} else {
			s.left = append(s.left, i)
		}
	}
}

func (s *Switch) advance(marks *Marks, r Results) error {
	for _, branch := range s.Branches {
		if err := branch.Chain.Advance(marks, branch.of(r)); err != nil {
			return err
		}
	}
	return nil
}

// of returns what the results of the branch go to.
func (branch *Branch) of(r Results) Results {
	if b, ok := r.(Brancher); ok {
		return b.Branch(branch)
	}
	return r
}
