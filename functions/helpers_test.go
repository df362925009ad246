package functions

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/pipeline"
)

// seeded returns a random source and prints the seed that makes it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// newRuntime returns a runtime that logs nowhere and is closed at the end.
func newRuntime(t testing.TB, o Options) *Runtime {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r, err := NewRuntime(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func load(t testing.TB, r *Runtime, name string) *Module {
	t.Helper()
	wasm, ok := builtin.Lookup(name)
	if !ok {
		t.Fatalf("no function %s", name)
	}
	m, err := r.Load(t.Context(), name, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bind(t testing.TB, m *Module, b Binding, in pipeline.Schema, keys *pipeline.Keys) *Stage {
	t.Helper()
	if b.Stage == "" {
		b.Stage = "steps[0] function " + m.name
	}
	s, err := m.Bind(t.Context(), b, in, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// A reading is a row of the tests' batches: key device, column value.
type reading struct {
	time  int64
	key   string
	value float64
	null  bool
}

var readings = pipeline.Schema{{Name: "line", Kind: pipeline.Text}, {Name: "device", Kind: pipeline.Text}, {Name: "value", Kind: pipeline.Float}}

// fill appends readings to b; offsets count on from first. The key is line
// and device.
func fill(b *pipeline.Batch, all []reading, first uint64) {
	for i, r := range all {
		line := "line-" + r.key[:1]
		code, ok := b.Keys.Code([]byte(line + "\x00" + r.key))
		if !ok {
			panic("too many keys")
		}
		at := first + uint64(i)
		b.AppendRow(pipeline.Row{Time: r.time, Arrived: r.time + 5, Key: code, Offset: at, Hop: uint8(at % 3)})
		b.Columns[0].AppendText([]byte(line))
		b.Columns[1].AppendText([]byte(r.key))
		if r.null {
			b.Columns[2].AppendNull()
		} else {
			b.Columns[2].AppendFloat(r.value)
		}
	}
}

// rowText is all that a row carries, the key by name.
func rowText(b *pipeline.Batch, i int) string {
	row := b.Row(i)
	var s strings.Builder
	fmt.Fprintf(&s, "@%d+%d %d %d %q h%d", row.Offset, row.Ordinal, row.Time, row.Mark, b.Keys.Name(row.Key), row.Hop)
	for k := range b.Columns {
		c := &b.Columns[k]
		fmt.Fprintf(&s, " %s=%s", c.Name, cell(c, i))
	}
	return s.String()
}

func cell(c *pipeline.Column, i int) string {
	switch {
	case !c.Has(i):
		return "-"
	case c.Kind == pipeline.Float:
		return fmt.Sprint(c.Floats[i])
	case c.Kind == pipeline.Int:
		return fmt.Sprint(c.Ints[i])
	case c.Kind == pipeline.Bool:
		return fmt.Sprint(c.Bools[i] != 0)
	}
	return string(c.Text(i))
}

// A sheet gathers what comes out of a chain, as text.
type sheet struct{ main, late, dead []string }

// Main gathers results.
func (s *sheet) Main(b *pipeline.Batch) {
	for i := range b.Rows() {
		s.main = append(s.main, rowText(b, i))
	}
}

// Late gathers late rows.
func (s *sheet) Late(b *pipeline.Batch) {
	for i := range b.Rows() {
		s.late = append(s.late, rowText(b, i))
	}
}

// Dead gathers dead letters.
func (s *sheet) Dead(d []pipeline.DeadLetter) {
	for _, l := range d {
		s.dead = append(s.dead, fmt.Sprintf("@%d %s: %s", l.Offset, l.Stage, l.Reason))
	}
}

func textLog(w *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
