package steps

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// seeded returns a random source and prints how to get it again.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// readings have a device, which is the key, numbers, a text and a bool.
var readings = pipeline.Schema{
	{Name: "device", Kind: pipeline.Text}, {Name: "temp", Kind: pipeline.Float}, {Name: "count", Kind: pipeline.Int},
	{Name: "state", Kind: pipeline.Text}, {Name: "on", Kind: pipeline.Bool}, {Name: "lat", Kind: pipeline.Float}, {Name: "lon", Kind: pipeline.Float},
}

// A row is a reading, with nil where it has no value.
type row struct {
	at, arrived int64 // µs; arrived 0: when it happened
	offset      uint64
	device      string
	values      []any // from temp on; what is missing is null
}

// fill appends rows to b, a batch whose first columns are readings.
func fill(b *pipeline.Batch, rows ...row) {
	for _, r := range rows {
		code, _ := b.Keys.Code([]byte(r.device))
		if r.arrived == 0 {
			r.arrived = r.at
		}
		b.AppendRow(pipeline.Row{Time: r.at, Arrived: r.arrived, Mark: r.at, Key: code, Offset: r.offset})
		b.Columns[0].AppendText([]byte(r.device))
		for k := range b.Columns[1:] {
			var v any
			if k < len(r.values) {
				v = r.values[k]
			}
			put(&b.Columns[1+k], v)
		}
	}
}

func put(c *pipeline.Column, v any) {
	switch v := v.(type) {
	case nil:
		c.AppendNull()
	case float64:
		c.AppendFloat(v)
	case int:
		if c.Kind == pipeline.Float {
			c.AppendFloat(float64(v))
		} else {
			c.AppendInt(int64(v))
		}
	case bool:
		c.AppendBool(v)
	case string:
		c.AppendText([]byte(v))
	}
}

// A sheet is what comes out of a chain, a line for each row.
type sheet struct{ lines []string }

func (s *sheet) Main(b *pipeline.Batch) {
	for i := range b.Rows() {
		r := b.Row(i)
		s.lines = append(s.lines, fmt.Sprintf("%d arrived %d mark %d key %s offset %d ordinal %x %s", r.Time, r.Arrived, r.Mark, b.Keys.Name(r.Key), r.Offset, r.Ordinal, show(b, i)))
	}
}

func (s *sheet) Late(*pipeline.Batch)       { panic("late rows") }
func (s *sheet) Dead([]pipeline.DeadLetter) { panic("dead letters") }

// show writes the values of row i by name.
func show(b *pipeline.Batch, i int) string {
	var all []string
	for k := range b.Columns {
		c := &b.Columns[k]
		if c.Rows() != b.Rows() {
			panic(fmt.Sprintf("column %s has %d rows of %d", c.Name, c.Rows(), b.Rows()))
		}
		if !c.Has(i) {
			continue
		}
		switch c.Kind {
		case pipeline.Float:
			all = append(all, fmt.Sprintf("%s=%v", c.Name, c.Floats[i]))
		case pipeline.Int:
			all = append(all, fmt.Sprintf("%s=%d", c.Name, c.Ints[i]))
		case pipeline.Bool:
			all = append(all, fmt.Sprintf("%s=%v", c.Name, c.Bools[i] != 0))
		default:
			all = append(all, fmt.Sprintf("%s=%q", c.Name, c.Text(i)))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// through sends rows through a stage in one batch and returns what comes out
// as time and values.
func through(t *testing.T, stage pipeline.Stage, keys *pipeline.Keys, rows ...row) []string {
	t.Helper()
	b := pipeline.NewBatch(readings, keys)
	fill(b, rows...)
	var out pipeline.Outputs
	if err := stage.Process(b, &out); err != nil {
		t.Fatal(err)
	}
	return told(out.Main)
}

func told(b *pipeline.Batch) []string {
	var all []string
	for i := range b.Rows() {
		all = append(all, fmt.Sprintf("%d %s", b.Time[i], show(b, i)))
	}
	return all
}

// check compares what came out with what was wanted.
func check(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// must returns the stage, which is right.
func must[T pipeline.Stage](stage T, err error) T {
	if err != nil {
		panic(err)
	}
	return stage
}

// wrong makes sure that a configuration is refused at a key, with these words.
func wrong(t *testing.T, err error, at, words string) {
	t.Helper()
	e, ok := err.(*Error)
	if !ok || e.At != at || !strings.Contains(e.Error(), words) {
		t.Errorf("got %#v, want one at %q with %q", err, at, words)
	}
}
