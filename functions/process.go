package functions

import (
	"cmp"
	"slices"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// ticksMax is how often a key's timer may fire between two of its rows, or in
// one Advance. A function that asks for more has it switched off.
const ticksMax = 1000

// A due is a timer that has run out: the time it was set to, and its slot.
type due struct {
	at     int64
	number int32
	mark   int64
}

// A made is a row that a tick made, and the place of the row it stands before.
type made struct {
	row    pipeline.Row
	before int32
	answer int32 // in the answers of the ticks
}

// Process runs the rows of in through the guest. Rows that it lets pass go on
// with its outputs as columns.
func (s *Stage) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	if s.broken != nil {
		return s.broken
	}
	n := in.Rows()
	s.made = s.made[:0]
	s.findSlots(in)
	j := &s.rows
	j.batch, j.time, j.mark, j.out = in, in.Time, in.Mark, out
	var err error
	if s.timers {
		err = s.processTimed(in, out)
	} else {
		err = s.work(j, n)
	}
	j.batch, j.out = nil, nil
	if err != nil {
		return err
	}
	if n > 0 {
		s.number.seen = in.Offset[n-1]
	}
	j.into.finish()
	s.answer(in, j.into, out)
	s.report()
	return nil
}

func (s *Stage) report() { s.counter.memory.Store(int64(s.inst.m.Memory().Size())) }

// findSlots finds the slot of each row.
func (s *Stage) findSlots(in *pipeline.Batch) {
	for len(s.byKey) < s.keys.Len() {
		s.byKey = append(s.byKey, -1)
	}
	numbers := s.rows.numbers[:0]
	for _, code := range in.Key {
		number := s.byKey[code]
		if number < 0 {
			number = s.slotFor(code)
		}
		numbers = append(numbers, number)
	}
	s.rows.numbers = numbers
}

// slotFor makes a slot for a key that has none; -1: there is no memory.
func (s *Stage) slotFor(code uint32) int32 {
	number := int32(len(s.codes))
	if s.slots.grow(s.inst, number) != nil {
		return -1
	}
	s.byKey[code] = number
	s.codes = append(s.codes, code)
	s.hops = append(s.hops, 0)
	return number
}

// processTimed is work for a guest with timers: a frame has at most one row
// of a key, and ends before a row whose key has a tick due, which comes first.
func (s *Stage) processTimed(in *pipeline.Batch, out *pipeline.Outputs) error {
	j := &s.rows
	j.into.reset()
	s.tick.into.reset()
	n := in.Rows()
	for from := 0; from < n; {
		if err := s.ticksBefore(in, from, out); err != nil {
			return err
		}
		to := from
		s.slots.next()
		for ; to < n && to-from < RowsMax; to++ {
			number := j.numbers[to]
			if number < 0 {
				continue
			}
			if s.slots.stamps[number] == s.slots.stamp || to > from && s.isDue(number, in.Mark[to]) {
				break
			}
			s.slots.stamps[number] = s.slots.stamp
			s.hops[number] = in.Hop[to]
		}
		if err := s.more(j, from, to); err != nil {
			return err
		}
		from = to
	}
	s.tick.into.finish()
	return nil
}

func (s *Stage) isDue(number int32, mark int64) bool {
	at := s.slots.timer(s.inst, number)
	return at != 0 && at <= mark
}

// ticksBefore delivers the ticks that are due before row i.
func (s *Stage) ticksBefore(in *pipeline.Batch, i int, out *pipeline.Outputs) error {
	number := s.rows.numbers[i]
	if number < 0 {
		return nil
	}
	for range ticksMax {
		if !s.isDue(number, in.Mark[i]) {
			return nil
		}
		row := in.Row(i)
		row.Time = s.slots.timer(s.inst, number)
		row.Hop = max(row.Hop, s.hops[number])
		s.due = append(s.due[:0], due{row.Time, number, row.Mark})
		answer := len(s.tick.into.emit)
		if err := s.ticks(out); err != nil {
			return err
		}
		if s.tick.into.emit[answer] == emitOn {
			row.Ordinal = s.number.of(row.Offset)
			s.made = append(s.made, made{row, int32(i), int32(answer)})
		}
	}
	s.stopTimer(number)
	return nil
}

func (s *Stage) stopTimer(number int32) {
	s.slots.setTimer(s.inst, number, 0)
	s.log.to.Warn("function's timer fires without end; switched off until it is set again", "key", s.keys.Name(s.codes[number]), "ticks", ticksMax)
}

// ticks runs the timers in s.due.
func (s *Stage) ticks(out *pipeline.Outputs) error {
	j := &s.tick
	j.time, j.mark, j.numbers, j.out = j.time[:0], j.mark[:0], j.numbers[:0], out
	for _, d := range s.due {
		j.time, j.mark, j.numbers = append(j.time, d.at), append(j.mark, d.mark), append(j.numbers, d.number)
	}
	err := s.more(j, 0, len(s.due))
	j.out = nil
	return err
}

// Advance delivers the ticks that the watermarks have made due.
func (s *Stage) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	if s.broken != nil {
		return s.broken
	}
	if !s.timers {
		return nil
	}
	b := s.mixedBatch(s.schema)
	for range ticksMax {
		s.findDue(marks)
		if len(s.due) == 0 {
			break
		}
		s.tick.into.reset()
		if err := s.ticks(out); err != nil {
			return err
		}
		s.tick.into.finish()
		for k, d := range s.due {
			if s.tick.into.emit[k] != emitOn {
				continue
			}
			code := s.codes[d.number]
			row := pipeline.Row{Time: d.at, Arrived: marks.Now(), Mark: d.mark, Key: code, Offset: s.number.seen, Hop: s.hops[d.number]}
			row.Ordinal = s.number.of(row.Offset)
			s.appendMade(b, row, k)
		}
	}
	if s.findDue(marks); len(s.due) > 0 {
		for _, d := range s.due {
			s.stopTimer(d.number)
		}
	}
	if b.Rows() > 0 {
		out.Main = b
	}
	s.report()
	return nil
}

// Waits implements pipeline.Waiter: it reports whether a timer is set.
func (s *Stage) Waits() bool {
	for k := 0; s.timers && s.broken == nil && k < len(s.codes); k++ {
		if s.slots.timer(s.inst, int32(k)) != 0 {
			return true
		}
	}
	return false
}

// findDue lists the timers that are due in the order of time, then key.
func (s *Stage) findDue(marks *pipeline.Marks) {
	s.due = s.due[:0]
	for k, code := range s.codes {
		number := int32(k)
		if at := s.slots.timer(s.inst, number); at != 0 {
			if mark := marks.Of(code); at <= mark {
				s.due = append(s.due, due{at, number, mark})
			}
		}
	}
	slices.SortFunc(s.due, func(a, b due) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(s.keys.Name(s.codes[a.number]), s.keys.Name(s.codes[b.number])))
	})
}

// answer makes the batch that goes on of what came in and what the guest said.
func (s *Stage) answer(in *pipeline.Batch, r *results, out *pipeline.Outputs) {
	b := &s.out
	b.Time, b.Arrived, b.Mark, b.Key, b.Keys = in.Time, in.Arrived, in.Mark, in.Key, in.Keys
	b.Offset, b.Ordinal, b.Hop = in.Offset, in.Ordinal, in.Hop
	b.Columns = append(b.Columns[:0], in.Columns...)
	for k := range r.cols {
		b.Columns = place(b.Columns, r.cols[k])
	}
	s.take = s.take[:0]
	for i, e := range r.emit {
		switch e {
		case emitOn:
			s.take = append(s.take, int32(i))
		case emitDead:
			out.DeadRow(in, i, s.name, "function %s: set aside by the function", s.module.name)
		}
	}
	if len(s.made) > 0 {
		out.Main = s.mix(b)
		return
	}
	b.Take(s.take)
	out.Main = b
}

// place puts c in the place of the columns of its name, or behind all.
func place(all []pipeline.Column, c pipeline.Column) []pipeline.Column {
	at := -1
	for k := 0; k < len(all); k++ {
		switch {
		case all[k].Name != c.Name:
		case at < 0:
			at = k
			all[k] = c
		default: // of another kind
			all = slices.Delete(all, k, k+1)
			k--
		}
	}
	if at < 0 {
		all = append(all, c)
	}
	return all
}

// mix puts the rows that ticks made before those they came before.
func (s *Stage) mix(b *pipeline.Batch) *pipeline.Batch {
	m := s.mixedBatch(b.Schema())
	next := 0
	for _, i := range s.take {
		next = s.mixUpTo(m, next, i)
		m.AppendFrom(b, int(i))
	}
	s.mixUpTo(m, next, int32(b.Rows()))
	return m
}

func (s *Stage) mixUpTo(m *pipeline.Batch, next int, row int32) int {
	for ; next < len(s.made) && s.made[next].before <= row; next++ {
		s.appendMade(m, s.made[next].row, int(s.made[next].answer))
	}
	return next
}

// mixedBatch returns an empty batch of the stage's own.
func (s *Stage) mixedBatch(schema pipeline.Schema) *pipeline.Batch {
	if s.mixed == nil || !slices.Equal(s.mixed.Schema(), schema) {
		s.mixed = pipeline.NewBatch(schema, s.keys)
	}
	s.mixed.Reset()
	return s.mixed
}

// appendMade appends a row with the columns of its key and the answers of tick k.
func (s *Stage) appendMade(b *pipeline.Batch, row pipeline.Row, k int) {
	b.AppendRow(row)
	for i := range b.Columns {
		c := &b.Columns[i]
		if o := slices.IndexFunc(s.outs, func(f pipeline.Field) bool { return f.Name == c.Name }); o >= 0 {
			c.AppendFrom(&s.tick.into.cols[o], k)
		} else if part := slices.Index(s.parts, c.Name); part >= 0 && isText(c.Kind) {
			c.AppendText([]byte(keyPart(s.keys.Name(row.Key), part)))
		} else {
			c.AppendNull()
		}
	}
}

// keyPart returns the part of a key of several columns, which a NUL separates.
func keyPart(key string, part int) string {
	for range part {
		_, key, _ = strings.Cut(key, "\x00")
	}
	key, _, _ = strings.Cut(key, "\x00")
	return key
}
