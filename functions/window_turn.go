package functions

import (
	"encoding/binary"
	"fmt"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// scratchSlots is how many windows of several panes are merged before they
// speak together.
const scratchSlots = 16

// An asked window is one that is about to speak.
type asked struct {
	pipeline.Spoken
	by  pipeline.Row
	hop uint8
}

// reserve makes the slots in which panes are merged, so that a full memory
// does not stop windows from speaking.
func (w *Window) reserve() error {
	if !w.panes.Shared() {
		return nil
	}
	for range scratchSlots {
		id := w.panes.NewID()
		if err := w.slots.grow(w.inst, id); err != nil {
			return err
		}
		w.scratch = append(w.scratch, id)
	}
	return nil
}

// Process adds each row to its pane, and puts out a row for each window that
// the rows made speak.
func (w *Window) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	if w.broken != nil {
		return w.broken
	}
	n := in.Rows()
	if n == 0 {
		return nil
	}
	w.number.seen = in.Offset[n-1]
	w.result.Reset()
	j := &w.rows
	j.into.reset()
	j.batch, j.time, j.mark, j.out = in, in.Time, in.Mark, out
	var err error
	for from := 0; from < n && err == nil; {
		to := w.panes.Assign(in, from, &w.turn)
		err = w.follow(in, from, to, out)
		from = to
	}
	j.batch, j.out = nil, nil
	return w.over(out, err)
}

// follow does what the turn says, and adds the rows from up to to.
func (w *Window) follow(in *pipeline.Batch, from, to int, out *pipeline.Outputs) error {
	for _, m := range w.turn.First {
		if err := w.join(m); err != nil {
			return err
		}
	}
	w.rows.numbers, w.touched = w.turn.IDs, w.touched[:0]
	begin := from
	info := w.info
	for i := from; i < to; i++ {
		if id := w.turn.IDs[i]; uint(id) < uint(len(info)) {
			if p := &info[id]; p.isOpen && p.failed == nil { // as usual
				w.last(p, id, in, i)
				continue
			}
		}
		entered := w.enter(in, i, out)
		if info = w.info; entered {
			continue
		}
		if err := w.more(&w.rows, begin, i); err != nil {
			return err
		}
		begin = i + 1
	}
	if err := w.more(&w.rows, begin, to); err != nil {
		return err
	}
	w.remember(in)
	return w.then(in, nil, out)
}

// Advance puts out a row for each window that the watermarks make speak.
func (w *Window) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	if w.broken != nil {
		return w.broken
	}
	w.result.Reset()
	w.panes.Advance(marks, w.keys, &w.turn)
	return w.over(out, w.then(nil, marks, out))
}

// Waits implements pipeline.Waiter.
func (w *Window) Waits() bool { return w.panes.Waits() }

func (w *Window) over(out *pipeline.Outputs, err error) error {
	if err != nil {
		return err
	}
	w.report()
	if w.result.Rows() > 0 {
		out.Main = w.result
	}
	return nil
}

// enter opens the pane of row i if need be; false: the row has none, and is
// set aside.
func (w *Window) enter(in *pipeline.Batch, i int, out *pipeline.Outputs) bool {
	id := w.turn.IDs[i]
	switch id {
	case pipeline.PaneLate:
		out.LateRow(in, i)
		return false
	case pipeline.PaneOverflow:
		out.DeadRow(in, i, w.name, "window: key %s has %d panes open, the most is %d", quoted(w.keys.Name(in.Key[i])), w.panes.PanesMax, w.panes.PanesMax)
		return false
	}
	if int(id) >= len(w.info) || !w.info[id].isOpen {
		w.paneOf(id)
	}
	p := &w.info[id]
	if p.failed != nil {
		out.DeadRow(in, i, w.name, "window: %v", p.failed)
		return false
	}
	w.last(p, id, in, i)
	return true
}

// last notes that row i is the latest of a pane.
func (w *Window) last(p *pane, id int32, in *pipeline.Batch, i int) {
	p.hop = max(p.hop, in.Hop[i])
	if len(w.carry) == 0 {
		return
	}
	if p.last < 0 {
		w.touched = append(w.touched, id)
	}
	p.last = int32(i)
}

// paneOf returns the pane of an ID, open. It is valid until the next call.
func (w *Window) paneOf(id int32) *pane {
	for int(id) >= len(w.info) {
		w.info = append(w.info, pane{last: -1, carry: make([]carried, len(w.carry))})
	}
	p := &w.info[id]
	if !p.isOpen {
		p.isOpen, p.hop = true, 0
		p.failed = w.slots.grow(w.inst, id)
	}
	return p
}

func quoted(key string) string { return fmt.Sprintf("%q", strings.ReplaceAll(key, "\x00", " ")) }

// remember copies what results carry from the last row of each pane.
func (w *Window) remember(in *pipeline.Batch) {
	for _, id := range w.touched {
		p := &w.info[id]
		row := int(p.last)
		p.last = -1
		for k := range w.carry {
			c := w.carry[k].find(in)
			p.carry[k].has = c != nil && c.Kind == w.carry[k].kind && c.Has(row)
			if p.carry[k].has {
				p.carry[k].value = appendValue(p.carry[k].value[:0], c, row)
			}
		}
	}
}

// then lets windows speak, whose reasons are rows of in, or marks.
func (w *Window) then(in *pipeline.Batch, marks *pipeline.Marks, out *pipeline.Outputs) error {
	for k := range w.turn.Then {
		s := &w.turn.Then[k]
		if !s.Speaks {
			if err := w.join(s.Merge); err != nil {
				return err
			}
			continue
		}
		a := asked{Spoken: s.Spoken}
		if s.Spoken.By >= 0 {
			a.by = in.Row(int(s.Spoken.By))
		} else {
			a.by = pipeline.Row{Arrived: marks.Now(), Mark: marks.Of(s.Spoken.Key), Offset: w.number.seen}
		}
		if err := w.ask(a, out); err != nil {
			return err
		}
	}
	err := w.speak(out)
	for _, id := range w.turn.Free {
		if p := &w.info[id]; p.failed == nil {
			clear(w.slots.bytes(w.inst, id))
		}
		w.info[id].isOpen = false
		w.panes.Free(id)
	}
	return err
}

// join adds one pane to another.
func (w *Window) join(m pipeline.Merge) error {
	from := *w.paneOf(m.From)
	into := w.paneOf(m.Into)
	into.hop = max(into.hop, from.hop)
	if into.failed != nil || from.failed != nil {
		return nil // their rows are dead letters
	}
	w.pieces = append(w.pieces[:0], m.From)
	return w.merge(m.Into, w.pieces)
}

// ask lets a window speak with the next call of the guest.
func (w *Window) ask(a asked, out *pipeline.Outputs) error {
	w.pieces = w.pieces[:0]
	for _, id := range w.turn.PartsOf(&a.Spoken) {
		p := &w.info[id]
		a.hop = max(a.hop, p.hop)
		if p.failed == nil {
			w.pieces = append(w.pieces, id)
		}
	}
	if len(w.pieces) == 0 {
		return nil
	}
	most := RowsMax
	if w.scratch != nil {
		most = len(w.scratch)
	}
	if len(w.asked) == most {
		if err := w.speak(out); err != nil {
			return err
		}
	}
	number := w.pieces[0]
	if w.scratch != nil { // other windows share its panes
		number = w.scratch[len(w.asked)]
		clear(w.slots.bytes(w.inst, number))
		if err := w.merge(number, w.pieces); err != nil {
			return err
		}
	}
	j := &w.tick
	j.time, j.mark = append(j.time, a.End), append(j.mark, a.by.Mark)
	j.numbers, j.starts = append(j.numbers, number), append(j.starts, a.Start)
	w.asked = append(w.asked, a)
	return nil
}

// merge adds the slots from, in their order, to the slot into. The function is
// ours and ends, so that a failure is the end of the pipeline.
func (w *Window) merge(into int32, from []int32) error {
	for len(from) > 0 {
		n := min(len(from), len(w.frame.slot))
		for k, id := range from[:n] {
			w.frame.slot[k] = w.slots.addr[id]
		}
		from = from[n:]
		stack := &w.inst.stack
		stack[0], stack[1], stack[2] = uint64(w.slots.addr[into]), uint64(binary.LittleEndian.Uint32(w.frame.image[atSlot:])), uint64(n)
		got, err := w.inst.callStack(w.inst.merge, startStepsMax)
		if err == nil && int32(got) != 0 {
			err = fmt.Errorf("%s answered %d%s", exportMerge, int32(got), w.log.tail())
		}
		if err != nil {
			w.broken = fmt.Errorf("window: %w", err)
			return w.broken
		}
		w.counter.calls.Add(1)
	}
	return nil
}

// speak puts out what the asked windows say.
func (w *Window) speak(out *pipeline.Outputs) error {
	if len(w.asked) == 0 {
		return nil
	}
	j := &w.tick
	j.out = out
	err := w.work(j, len(w.asked))
	j.out = nil
	if err == nil {
		j.into.finish()
		for k := range w.asked {
			if j.into.emit[k] == emitOn {
				w.appendResult(&w.asked[k], k)
			}
		}
	}
	j.time, j.mark, j.numbers, j.starts, w.asked = j.time[:0], j.mark[:0], j.numbers[:0], j.starts[:0], w.asked[:0]
	return err
}

// appendResult appends the row of answer k.
func (w *Window) appendResult(a *asked, k int) {
	b := w.result
	b.AppendRow(pipeline.Row{Time: a.Time, Arrived: a.by.Arrived, Mark: a.by.Mark, Key: a.Key, Offset: a.by.Offset, Ordinal: w.number.of(a.by.Offset), Hop: a.hop})
	columns, name := b.Columns, w.keys.Name(a.Key)
	for i := range w.parts {
		columns[i].AppendText([]byte(keyPart(name, i)))
	}
	columns = columns[len(w.parts):]
	last := &w.info[a.Last]
	for i := range w.carry {
		last.carry[i].appendTo(&columns[i])
	}
	columns = columns[len(w.carry):]
	columns[0].AppendInt(a.Start)
	columns[1].AppendInt(a.End)
	columns = columns[2:]
	if w.panes.Early > 0 {
		columns[0].AppendBool(a.Early)
		columns = columns[1:]
	}
	if w.panes.Correct > 0 {
		columns[0].AppendInt(int64(a.Revision))
		columns = columns[1:]
	}
	for i := range w.answers {
		w.appendAnswer(&columns[i], &w.answers[i], k)
	}
}

// appendAnswer appends what the guest answered for one aggregate.
func (w *Window) appendAnswer(c *pipeline.Column, a *answer, k int) {
	outs := w.tick.into.cols[a.first:a.to]
	switch a.op {
	case opMode:
		appendItemTo(c, outs, k)
	case "top":
		w.text = w.text[:0]
		for i := 0; i < len(outs) && outs[i].Has(k); i += itemWords {
			if i > 0 {
				w.text = append(w.text, ", "...)
			}
			w.text = appendItem(w.text, outs[i:], k, a.of)
		}
		if !outs[0].Has(k) {
			c.AppendNull()
			return
		}
		c.AppendText(w.text)
	default:
		c.AppendFrom(&outs[0], k)
	}
}
