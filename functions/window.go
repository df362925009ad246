package functions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/pipeline"
)

// windowMemoryMax is the least that a window may have, unless its limits say
// otherwise: it holds a slot for every open pane.
const windowMemoryMax = 64 << 20

// An Aggregate is one result column of a window. Op is count, sum, mean, min,
// max, stddev, first, last, range or quantile; Arg is the quantile, 0 to 1.
type Aggregate struct {
	Name, Op, Column string
	Arg              float64
}

// A WindowConfig says what a window does.
type WindowConfig struct {
	Stage      string // for dead letters and logs
	Size       int64  // µs
	Aggregates []Aggregate
	PanesMax   int      // panes a key may have open
	Key        []string // columns that make up the key
	Carry      []string // columns whose value a result takes from the pane's last row
	Limits     Limits
}

// A Window is the stage that cuts event time into panes and aggregates them:
// the function window, with a slot for each pane.
type Window struct {
	Stage
	size    int64
	panes   pipeline.Panes
	most    int
	info    []pane // by pane ID, which is the slot's number
	carry   []input
	ids     []int32
	touched []int32
	closed  []pipeline.Closed
	by      []pipeline.Row // the rows that closed them
	result  *pipeline.Batch
}

// A pane is what the host knows of a pane beside its slot.
type pane struct {
	key    uint32
	start  int64
	isOpen bool
	failed error // why it has no slot
	hop    uint8
	last   int32 // its latest row in this batch; -1: none
	carry  []carried
}

// A carried value is that of a column in the pane's last row.
type carried struct {
	has   bool
	value []byte // or eight bytes of a number, or one of a bool
}

// The numbers of the aggregates: docs/functions.md, The window function.
func windowOps() []string {
	return []string{"count", "sum", "mean", "min", "max", "stddev", "first", "last", "range", "quantile"}
}

// NewWindow makes a window over batches with the schema in and the dictionary keys.
func (r *Runtime) NewWindow(ctx context.Context, c WindowConfig, in pipeline.Schema, keys *pipeline.Keys) (*Window, error) {
	if c.Size <= 0 || c.PanesMax <= 0 || len(c.Aggregates) == 0 {
		return nil, errors.New("window: wants a size and panes above 0, and an aggregate")
	}
	wasm, ok := builtin.Lookup("window")
	if !ok {
		return nil, errors.New("window: the function is not there")
	}
	m, err := r.Load(ctx, "window", wasm)
	if err != nil {
		return nil, err
	}
	w := &Window{size: c.Size, most: c.PanesMax, panes: pipeline.Panes{Size: c.Size, Max: c.PanesMax}}
	limits := r.limits(c.Limits)
	if c.Limits.Memory == 0 {
		limits.Memory = max(limits.Memory, windowMemoryMax)
	}
	w.Stage = Stage{name: c.Stage, module: m, ctx: ctx, limits: limits, keys: keys, parts: c.Key}
	if err := w.layOut(c, in); err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	if err := w.start(); err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	w.result = pipeline.NewBatch(w.schema, keys)
	return w, nil
}

// layOut finds columns and parameters, and makes the schema of the results.
func (w *Window) layOut(c WindowConfig, in pipeline.Schema) error {
	for _, name := range c.Key {
		w.schema = append(w.schema, pipeline.Field{Name: name, Kind: pipeline.Text})
	}
	var columns []string
	for _, f := range in {
		columns = append(columns, f.Name)
	}
	for _, name := range c.Carry {
		at := in.Index(name)
		if at < 0 {
			return fmt.Errorf("there is no column %q to carry%s", name, hintFor(name, "columns", columns))
		}
		w.carry = append(w.carry, input{name, in[at].Kind, at})
		w.schema = append(w.schema, in[at])
	}
	w.schema = append(w.schema, pipeline.Field{Name: "window_start", Kind: pipeline.Int}, pipeline.Field{Name: "window_end", Kind: pipeline.Int})
	w.spec.params = []float64{float64(len(c.Aggregates))}
	for _, a := range c.Aggregates {
		op := slices.Index(windowOps(), a.Op)
		if op < 0 {
			return fmt.Errorf("%s: unknown aggregate %q%s", a.Name, a.Op, hintFor(a.Op, "aggregates", windowOps()))
		}
		at, err := 0, error(nil)
		if a.Op != "count" {
			if at, err = w.aggregated(a.Column, in, columns); err != nil {
				return fmt.Errorf("%s: %w", a.Name, err)
			}
		}
		w.spec.params = append(w.spec.params, float64(op), float64(at), a.Arg)
		field := pipeline.Field{Name: a.Name, Kind: pipeline.Float}
		w.outs = append(w.outs, field)
		w.schema = append(w.schema, field)
	}
	for i, f := range w.schema {
		if w.schema.Index(f.Name) != i {
			return fmt.Errorf("two result columns are called %s\n\thint: give the aggregate another name", f.Name)
		}
	}
	return nil
}

// aggregated returns the place of a column among the inputs.
func (w *Window) aggregated(name string, in pipeline.Schema, columns []string) (int, error) {
	if at := slices.IndexFunc(w.inputs, func(i input) bool { return i.name == name }); at >= 0 {
		return at, nil
	}
	at := slices.IndexFunc(in, func(f pipeline.Field) bool { return f.Name == name && readable(f.Kind, pipeline.Float) })
	if at < 0 && in.Index(name) >= 0 {
		return 0, fmt.Errorf("column %s is %s, and an aggregate takes numbers", name, in[in.Index(name)].Kind)
	}
	if at < 0 {
		return 0, fmt.Errorf("there is no column %q%s", name, hintFor(name, "columns", columns))
	}
	w.inputs = append(w.inputs, input{name, pipeline.Float, at})
	return len(w.inputs) - 1, nil
}

// Process adds each row to its pane, and puts out a row for each pane that
// the rows closed.
func (w *Window) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	if w.broken != nil {
		return w.broken
	}
	if in.Rows() == 0 {
		return nil
	}
	w.ids, w.closed = w.panes.Assign(in, w.ids[:0], w.closed[:0])
	w.by = w.by[:0]
	for _, c := range w.closed {
		w.by = append(w.by, in.Row(int(c.By)))
	}
	w.number.seen = in.Offset[in.Rows()-1]
	w.assign(in, out)
	j := &w.rows
	j.batch, j.time, j.mark, j.numbers, j.out = in, in.Time, in.Mark, w.ids, out
	err := w.work(j, in.Rows())
	j.batch, j.out = nil, nil
	if err != nil {
		return err
	}
	w.remember(in)
	return w.speak(out)
}

// assign makes slots for new panes, and takes rows without a pane out of in.
func (w *Window) assign(in *pipeline.Batch, out *pipeline.Outputs) {
	w.take, w.touched = w.take[:0], w.touched[:0]
	for i, id := range w.ids {
		switch id {
		case pipeline.PaneLate:
			out.LateRow(in, i)
			continue
		case pipeline.PaneOverflow:
			out.DeadRow(in, i, w.name, "window: key %s has %d panes open, the most is %d", quoted(w.keys.Name(in.Key[i])), w.most, w.most)
			continue
		}
		p := w.pane(id)
		if !p.isOpen {
			p.isOpen, p.key, p.start, p.hop = true, in.Key[i], pipeline.FloorTo(in.Time[i], w.size), 0
			p.failed = w.slots.grow(w.inst, id)
		}
		if p.failed != nil {
			out.DeadRow(in, i, w.name, "window: %v", p.failed)
			continue
		}
		if p.last < 0 {
			w.touched = append(w.touched, id)
		}
		p.last = int32(len(w.take))
		p.hop = max(p.hop, in.Hop[i])
		w.take = append(w.take, int32(i))
	}
	if len(w.take) < len(w.ids) {
		for to, from := range w.take {
			w.ids[to] = w.ids[from]
		}
		w.ids = w.ids[:len(w.take)]
		in.Take(w.take)
	}
}

func (w *Window) pane(id int32) *pane {
	for int(id) >= len(w.info) {
		w.info = append(w.info, pane{last: -1, carry: make([]carried, len(w.carry))})
	}
	return &w.info[id]
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

// Advance puts out a row for each pane whose time is over.
func (w *Window) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	if w.broken != nil {
		return w.broken
	}
	w.closed = w.panes.Advance(marks, w.closed[:0])
	slices.SortFunc(w.closed, func(a, b pipeline.Closed) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), strings.Compare(w.keys.Name(a.Key), w.keys.Name(b.Key)))
	})
	w.by = w.by[:0]
	for _, c := range w.closed {
		w.by = append(w.by, pipeline.Row{Arrived: marks.Now(), Mark: marks.Of(c.Key), Offset: w.number.seen})
	}
	return w.speak(out)
}

// speak puts out the closed panes and frees them.
func (w *Window) speak(out *pipeline.Outputs) error {
	j := &w.tick
	j.time, j.mark, j.numbers, j.out = j.time[:0], j.mark[:0], j.numbers[:0], out
	kept := 0
	for k, c := range w.closed {
		p := &w.info[c.ID]
		p.isOpen = false
		if p.failed != nil {
			w.panes.Free(c.ID)
			continue
		}
		w.closed[kept], w.by[kept] = c, w.by[k]
		kept++
		j.time, j.mark, j.numbers = append(j.time, c.Start+w.size), append(j.mark, w.by[k].Mark), append(j.numbers, c.ID)
	}
	w.closed, w.by = w.closed[:kept], w.by[:kept]
	w.report()
	if kept == 0 {
		return nil
	}
	err := w.work(j, kept)
	j.out = nil
	if err != nil {
		return err
	}
	j.into.finish()
	w.result.Reset()
	for k, c := range w.closed {
		if j.into.emit[k] == emitOn {
			w.appendResult(c, w.by[k], k)
		}
		clear(w.slots.bytes(w.inst, c.ID))
		w.panes.Free(c.ID)
	}
	if w.result.Rows() > 0 {
		out.Main = w.result
	}
	return nil
}

// appendResult appends the row of answer k.
func (w *Window) appendResult(c pipeline.Closed, by pipeline.Row, k int) {
	p, b := &w.info[c.ID], w.result
	end := c.Start + w.size
	b.AppendRow(pipeline.Row{Time: end, Arrived: by.Arrived, Mark: by.Mark, Key: c.Key, Offset: by.Offset, Ordinal: w.number.of(by.Offset), Hop: p.hop})
	columns, name := b.Columns, w.keys.Name(c.Key)
	for i := range w.parts {
		columns[i].AppendText([]byte(keyPart(name, i)))
	}
	columns = columns[len(w.parts):]
	for i := range w.carry {
		p.carry[i].appendTo(&columns[i])
	}
	columns = columns[len(w.carry):]
	columns[0].AppendInt(c.Start)
	columns[1].AppendInt(end)
	for i := range w.outs {
		columns[2+i].AppendFrom(&w.tick.into.cols[i], k)
	}
}
