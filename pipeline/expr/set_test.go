package expr

import (
	"testing"

	"millrace.dev/millrace/pipeline"
)

var meter = pipeline.Schema{{Name: "volts", Kind: pipeline.Float}, {Name: "amps", Kind: pipeline.Float}, {Name: "state", Kind: pipeline.Text}}

// measured returns a batch of readings of meter, with a column of the payload
// that no schema has before the last of meter.
func measured(rows int) *pipeline.Batch {
	s := pipeline.Schema{meter[0], meter[1], {Name: "open", Kind: pipeline.Float}, meter[2]}
	b := pipeline.NewBatch(s, pipeline.NewKeys(1))
	for i := range rows {
		b.AppendRow(pipeline.Row{Offset: uint64(i)})
		b.Columns[0].AppendFloat(230 + float64(i))
		if i%4 == 3 {
			b.Columns[1].AppendNull()
		} else {
			b.Columns[1].AppendFloat(float64(i) / 2)
		}
		b.Columns[2].AppendNull()
		b.Columns[3].AppendText([]byte("on"))
	}
	return b
}

// set computes one column of measured readings.
func set(t *testing.T, name, src string, b *pipeline.Batch) *pipeline.Batch {
	t.Helper()
	s, err := NewSet(name, src, meter)
	if err != nil {
		t.Fatal(err)
	}
	var out pipeline.Outputs
	if err := s.Process(b, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.Main.Find(s.Schema()[s.Schema().Index(name)], 0); got == nil || got.Rows() != b.Rows() {
		t.Fatalf("%s: got column %+v, want one of %d rows", name, got, b.Rows())
	}
	return out.Main
}

func TestASetComputesAColumn(t *testing.T) {
	b := set(t, "power", "volts * amps", measured(8))
	power := b.Column("power", 2)
	if power == nil || power.Floats[2] != 232 || power.Has(3) || b.Columns[len(b.Columns)-1].Name != "power" {
		t.Errorf("got %+v, want 232 in row 2, nothing in row 3, behind all", power)
	}
	b = set(t, "state", `amps > 1 ? "busy" : state`, measured(8))
	state := b.Column("state", 4)
	if len(b.Columns) != 4 || string(state.Text(4)) != "busy" || string(state.Text(1)) != "on" {
		t.Errorf("got %+v, want busy in row 4, on in row 1, in its place", state)
	}
}

// A column that is made from another by its name alone is another.
func TestColumnsOfASetShareNothing(t *testing.T) {
	for _, src := range []string{"volts", "let x = volts; x", "7.5", "volts ?? 1", "nil ?? volts", "+volts", "float(volts)", "max(volts)", "amps == 0.5 ? volts : volts"} {
		in := measured(8)
		b := set(t, "copy", src, in)
		c := b.Column("copy", 0)
		for i := range c.Floats {
			c.Floats[i] = -1
		}
		for i, v := range b.Column("volts", 0).Floats {
			if v != 230+float64(i) {
				t.Fatalf("%s: changing the copy changes volts to %v", src, v)
			}
		}
		b = set(t, "copy", src, measured(8))
		b.Take([]int32{1, 5})
		if got := b.Column("volts", 1).Floats; len(got) != 2 || got[0] != 231 || got[1] != 235 {
			t.Errorf("%s: got %v, want rows 1 and 5", src, got)
		}
	}
	s, err := NewSet("copy", "7.5", meter)
	if err != nil {
		t.Fatal(err)
	}
	var out pipeline.Outputs
	for range 2 { // what was done to a constant is forgotten
		if err := s.Process(measured(4), &out); err != nil {
			t.Fatal(err)
		}
		c := out.Main.Column("copy", 0)
		if c.Floats[2] != 7.5 {
			t.Errorf("got %v, want 7.5", c.Floats[2])
		}
		c.Floats[2] = 0
	}
}

func TestABadSetIsRefused(t *testing.T) {
	for _, src := range []string{"volts *", "watts", "nil", ""} {
		if _, err := NewSet("x", src, meter); err == nil {
			t.Errorf("%q: got no error", src)
		}
	}
}
