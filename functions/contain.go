package functions

import (
	"fmt"

	"millrace.dev/millrace/pipeline"
)

// When a function is taken out of service, and when it is tried again. All
// of it counts rows, so that the same rows have the same fate everywhere.
const (
	badRowsMax = 100  // consecutive bad rows until quarantine
	spentRows  = 10   // how many bad rows one counts for that ran out of steps
	probeRows  = 1000 // rows that are set aside between two probes
)

// work puts all n rows of a job through the guest. Bad rows become dead
// letters; an error means that the stage can go on no more.
func (s *Stage) work(j *job, n int) error {
	j.into.reset()
	return s.more(j, 0, n)
}

// more is work for the rows from up to n, adding to what there is.
func (s *Stage) more(j *job, from, n int) error {
	for from < n {
		if s.broken != nil {
			return s.broken
		}
		switch {
		case j.numbers[from] < 0:
			s.dead(j, from, s.slots.full)
			from++
		case s.quarantined && s.skipped < probeRows:
			s.skipped++
			s.dead(j, from, errQuarantined)
			from++
		default:
			to := from + 1
			if !s.quarantined {
				to = s.fit(j, from, n)
			}
			from = s.contain(j, from, to)
		}
	}
	s.counter.steps.Store(s.inst.steps)
	return s.broken
}

var errQuarantined = fmt.Errorf("is in quarantine after %d bad messages in a row", badRowsMax)

// fit returns where a frame that begins at from ends.
func (s *Stage) fit(j *job, from, n int) int {
	n = min(n, from+RowsMax)
	for k := from; k < n; k++ {
		if j.numbers[k] < 0 {
			n = k
		}
	}
	if j.kind == kindRows && s.texts() {
		most := s.module.runtime.options.OutputMax
		for n > from+1 && s.textBytes(j.batch, from, n) > most {
			n = from + (n-from)/2
		}
	}
	return n
}

// contain runs the rows from up to to as one frame. When that fails, it
// halves the frame until the bad row is alone, which is set aside. It returns
// how far it came: less than to after quarantine or when the stage is broken.
func (s *Stage) contain(j *job, from, to int) int {
	why := s.attempt(j, from, to)
	switch {
	case why == nil:
		s.good()
		return to
	case s.broken != nil:
		return to
	case to-from == 1:
		s.refuse(j, from, why)
		return to
	}
	half := from + (to-from)/2
	if at := s.contain(j, from, half); s.quarantined || s.broken != nil {
		return at
	}
	return s.contain(j, half, to)
}

func (s *Stage) good() {
	s.bad = 0
	if s.quarantined {
		s.quarantined = false
		s.log.to.Warn("function works again; out of quarantine", "stage", s.name)
	}
}

func (s *Stage) refuse(j *job, row int, why error) {
	s.dead(j, row, why)
	s.bad++
	if s.inst.spent {
		s.bad += spentRows - 1
	}
	s.skipped = 0
	if s.bad >= badRowsMax && !s.quarantined {
		s.quarantined = true
		s.log.to.Error("function fails on every message; in quarantine: its messages become dead letters", "function", s.module.name, "tried_again_after", probeRows, "reason", why)
	}
}

// dead sets row k of a job aside.
func (s *Stage) dead(j *job, k int, why error) {
	j.into.none()
	if j.kind == kindRows {
		j.out.DeadRow(j.batch, k, s.name, "function %s: %v", s.module.name, why)
		return
	}
	s.slots.setTimer(s.inst, j.numbers[k], 0) // or it would be due for ever
	j.out.Dead = append(j.out.Dead, pipeline.DeadLetter{
		Time: j.time[k], Offset: s.number.seen, Stage: s.name,
		Reason: fmt.Sprintf("function %s: on a timer: %v", s.module.name, why),
	})
}

// attempt calls the guest once. After an error everything is as before.
func (s *Stage) attempt(j *job, from, to int) error {
	n, f := to-from, s.frame
	now := j.mark[from]
	for _, m := range j.mark[from:to] {
		now = max(now, m)
	}
	f.begin(j.kind, n, now)
	copy(f.time, j.time[from:to])
	copy(f.mark, j.mark[from:to])
	if s.image != nil {
		s.image.keep(s)
	}
	numbers := j.numbers[from:to]
	if s.ours {
		s.slots.point(numbers, f.slot)
	} else {
		s.slots.keep(s.inst, numbers, f.slot)
		s.globals = s.inst.readGlobals(s.globals[:0])
	}
	if j.kind == kindRows {
		if err := s.fill(j.batch, from, n); err != nil {
			s.undo(err)
			return err
		}
	}
	f.seal()
	if j.kind == kindTick {
		for k, number := range numbers {
			timer := int64(0)
			if j.starts != nil {
				timer = j.starts[from+k]
			}
			s.slots.setTimer(s.inst, number, timer)
		}
	}
	s.counter.calls.Add(1)
	s.counter.rows.Add(int64(n))
	got, err := s.inst.call(s.inst.frame, uint64(f.addr), s.limits.Steps)
	if err == nil && int32(got) != 0 {
		err = fmt.Errorf("failed: %s answered %d%s", exportFrame, int32(got), s.log.tail())
	}
	if err == nil {
		err = f.check(n)
	}
	if err != nil {
		s.counter.traps.Add(1)
		s.undo(err)
		return err
	}
	j.into.add(f, n)
	return nil
}

// undo makes the guest what it was before the frame that failed.
func (s *Stage) undo(why error) {
	spent := s.inst.spent
	switch {
	case s.ours:
		s.broken = fmt.Errorf("%s: %w", s.module.name, why)
		return
	case s.image != nil:
		s.broken = s.rebuild(func() error { return s.image.restore(s) })
	case s.module.manifest.Heap || s.inst.m.IsClosed():
		s.slots.undo(s.inst)
		s.broken = s.rebuild(s.moveSlots())
	default:
		s.slots.undo(s.inst)
		s.inst.writeGlobals(s.globals)
		s.inst.fresh()
	}
	if s.broken == nil {
		s.inst.spent = spent
	} else {
		s.broken = fmt.Errorf("function %s: after a failure: %w", s.module.name, s.broken)
	}
}

// rebuild puts a new instance in the place of the one there was.
func (s *Stage) rebuild(restore func() error) error {
	steps := s.inst.steps
	s.inst.close(s.ctx) // it holds memory only
	if err := s.open(); err != nil {
		return err
	}
	s.inst.steps += steps
	return restore()
}

// moveSlots copies the slots out, and returns what copies them into another instance.
func (s *Stage) moveSlots() func() error {
	n, all := len(s.slots.addr), []byte(nil)
	for k := range n {
		all = append(all, s.slots.bytes(s.inst, int32(k))...)
	}
	return func() error {
		if n == 0 {
			return nil
		}
		if err := s.slots.grow(s.inst, int32(n-1)); err != nil {
			return err
		}
		for k := range n {
			copy(s.slots.bytes(s.inst, int32(k)), all[k*int(s.slots.size):])
		}
		return nil
	}
}
