package steps

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// FillMost is the most rows that a Fill can be told to make in one gap.
const FillMost = 100_000

// How a Fill computes its Fields.
const (
	FillLast   = "last"   // as in the row before
	FillLinear = "linear" // on the line between the rows before and behind
	FillValue  = "value"  // a number
)

// A FillConfig says what a Fill makes.
type FillConfig struct {
	Stage  string // tells the ordinals of its rows from those of other stages
	Every  int64  // µs of event time
	How    string
	Value  float64  // of FillValue
	Fields []string // columns of numbers; everything else is as in the row before
	Most   int      // rows made in one gap
}

// A Fill is a stage that makes rows where a key has none for Every: at one,
// two, … times Every behind the last row, as long as the next row is more than
// half of Every away. After Most rows in a gap it makes no more; with
// FillLinear it makes none in a gap that needs more. A row that is older than
// the one before passes as it is.
//
// With FillLinear the next row brings the rows before it; otherwise the
// watermark does, too. Rows that are made have the offset of the row before
// and ordinals of their own, so that a replay makes the same.
type Fill struct {
	FillConfig
	columns []column
	memory  memory[gap]
	shelf   shelf
	base    uint32
	now     []*pipeline.Column
	due     []madeRow
	with    []given
	schema  pipeline.Schema
}

// A gap is what is known of a key: its last row, and how many were made since.
type gap struct {
	seen   int64 // the watermark that stages behind may have acted on
	at     int64
	values []reading // of Fields
	row    []byte    // on the shelf
	made   int64
}

// A madeRow is row number n behind the last of a key.
type madeRow struct {
	at   int64
	code uint32
	n    int64
}

// NewFill returns the stage.
func NewFill(c FillConfig, s pipeline.Schema, keys *pipeline.Keys) (*Fill, error) {
	f := &Fill{FillConfig: c, memory: memory[gap]{keys: keys}, schema: s, base: ordinals(c.Stage)}
	for _, name := range c.Fields {
		x, err := find(s, "fields", name, pipeline.Float, pipeline.Int)
		if err != nil {
			return nil, err
		}
		f.columns, f.with = append(f.columns, x), append(f.with, given{column: name})
	}
	f.now = make([]*pipeline.Column, len(f.columns))
	switch {
	case c.Every <= 0:
		return nil, fail("every", "", "the time is not above 0")
	case c.Most < 1 || c.Most > FillMost:
		return nil, fail("most", "", "%d rows; there can be 1 to %d", c.Most, FillMost)
	case !slices.Contains([]string{FillLast, FillLinear, FillValue}, c.How):
		return nil, fail("with", "write last, linear or a number", "unknown way to fill %q", c.How)
	case c.How != FillLast && len(c.Fields) == 0:
		return nil, fail("", "fields: the columns of numbers that get it", "nothing says which columns are filled")
	}
	return f, nil
}

// Ordinals of rows that are made have the highest bit set, then 8 bits that
// differ from stage to stage, then the number of the stretch of Every that the
// row is in: a key gets no two in one.
const ordinalBits = 23

func ordinals(stage string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(stage))
	return 1<<31 | h.Sum32()&0xff<<ordinalBits
}

// Schema implements Step.
func (f *Fill) Schema() pipeline.Schema { return f.schema }

// Process implements pipeline.Stage.
func (f *Fill) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	f.shelf.open(in)
	for k, c := range f.columns {
		f.now[k] = c.of(in)
	}
	for i, code := range in.Key {
		g, first := f.memory.at(code)
		in.Mark[i] -= f.Delay()
		switch {
		case first:
			g.seen = pipeline.NoMark
			f.follow(g, in, i)
		case in.Time[i] >= g.at:
			f.until(g, in, i)
			f.follow(g, in, i)
		}
		g.seen = max(g.seen, in.Mark[i])
		f.shelf.pass(in, i)
	}
	out.Main = &f.shelf.out
	return nil
}

// Delay implements pipeline.Delayer: a row is made when the watermark is half
// of Every behind it.
func (f *Fill) Delay() int64 { return f.Every / 2 }

// until makes the rows between the last and row i.
func (f *Fill) until(g *gap, in *pipeline.Batch, i int) {
	last := f.last(g, in.Time[i])
	if f.How == FillLinear && last > int64(f.Most) {
		return
	}
	for n := g.made + 1; n <= min(last, int64(f.Most)); n++ {
		for k, c := range f.now {
			part := float64(n*f.Every) / float64(in.Time[i]-g.at)
			f.with[k].v = f.value(g.values[k], reading{c.Has(i), number(c, i)}, part)
		}
		f.make(g, n, now(in, i, g.seen))
	}
}

// last returns the number of the last row whose place is empty for sure when
// the next row is at t or later.
func (f *Fill) last(g *gap, t int64) int64 { return (t - g.at - f.Every/2) / f.Every }

// value returns what a column gets; part is how much of the way from one row
// to the next lies behind.
func (f *Fill) value(from, to reading, part float64) reading {
	switch {
	case f.How == FillValue:
		return reading{true, f.Value}
	case f.How == FillLast:
		return from
	case !from.has || !to.has:
		return reading{}
	}
	return reading{true, from.v + (to.v-from.v)*part}
}

// make adds row number n behind the last of a key.
func (f *Fill) make(g *gap, n int64, at moment) {
	m := at.meta(g.row, n*f.Every)
	m.Ordinal = f.base | uint32(pipeline.FloorTo(m.Time, f.Every)/f.Every)&(1<<ordinalBits-1)
	g.made = n
	f.shelf.bring(g.row, m, f.with)
}

// follow makes row i the last of its key.
func (f *Fill) follow(g *gap, in *pipeline.Batch, i int) {
	g.at, g.made = in.Time[i], 0
	g.row = f.shelf.keep(g.row, in, i)
	g.values = g.values[:0]
	for _, c := range f.now {
		g.values = append(g.values, reading{c.Has(i), number(c, i)})
	}
}

// Advance implements pipeline.Advancer.
func (f *Fill) Advance(marks *pipeline.Marks, out *pipeline.Outputs) error {
	f.find(marks)
	f.shelf.reopen(f.memory.keys)
	for _, d := range f.due {
		g := &f.memory.of[d.code].T
		for k := range f.with {
			f.with[k].v = f.value(g.values[k], reading{}, 0)
		}
		f.make(g, d.n, moment{d.code, marks.Now(), marks.Of(d.code) - f.Delay(), g.seen})
	}
	for code := range f.memory.of {
		if g := &f.memory.of[code].T; marks.Of(uint32(code)) != pipeline.NoMark {
			g.seen = max(g.seen, marks.Of(uint32(code))-f.Delay())
		}
	}
	out.Main = &f.shelf.out
	return nil
}

// Waits implements pipeline.Waiter.
func (f *Fill) Waits() bool {
	if f.How == FillLinear {
		return false
	}
	for code := range f.memory.of {
		if e := &f.memory.of[code]; e.known && e.T.made < int64(f.Most) {
			return true
		}
	}
	return false
}

// find lists the rows that the watermarks bring, in the order of time, then key.
func (f *Fill) find(marks *pipeline.Marks) {
	f.due = f.due[:0]
	for code := range f.memory.of {
		e := &f.memory.of[code]
		mark := marks.Of(uint32(code))
		if !e.known || f.How == FillLinear || mark < e.T.at {
			continue
		}
		for n := e.T.made + 1; n <= min(f.last(&e.T, mark), int64(f.Most)); n++ {
			f.due = append(f.due, madeRow{e.T.at + n*f.Every, uint32(code), n})
		}
	}
	slices.SortFunc(f.due, func(a, b madeRow) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(f.memory.keys.Name(a.code), f.memory.keys.Name(b.code)))
	})
}

func (f *Fill) said() string {
	return fmt.Sprintf("every %d µs with %s %v: %s", f.Every, f.How, f.Value, strings.Join(f.Fields, ","))
}

// Snapshot implements pipeline.Snapshotter.
func (f *Fill) Snapshot(dst []byte) ([]byte, error) {
	w := &writer{dst}
	w.head("fill", f.said())
	f.shelf.snapshot(w)
	f.memory.snapshot(w, func(g *gap) {
		w.int(g.seen)
		w.int(g.at)
		for _, v := range g.values {
			w.bool(v.has)
			w.float(v.v)
		}
		w.bytes(g.row)
		w.int(g.made)
	})
	return w.b, nil
}

// Restore implements pipeline.Snapshotter.
func (f *Fill) Restore(snapshot []byte) error {
	r := &reader{b: snapshot}
	r.head("fill", f.said())
	f.shelf.restore(r)
	f.memory.restore(r, func(g *gap) {
		g.seen, g.at = r.int(), r.int()
		for range f.columns {
			g.values = append(g.values, reading{r.bool(), r.float()})
		}
		g.row, g.made = f.shelf.row(r), r.int()
	})
	return r.end()
}

var (
	_ pipeline.Advancer    = (*Fill)(nil)
	_ pipeline.Delayer     = (*Fill)(nil)
	_ pipeline.Snapshotter = (*Fill)(nil)
)
