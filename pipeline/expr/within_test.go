package expr

import (
	"math"
	"testing"

	"millrace.dev/millrace/pipeline"
)

// Bounds say what the operators say, to the last number.
func TestBoundsHoldWhatTheOperatorsHold(t *testing.T) {
	edges := []float64{0, math.Copysign(0, -1), 1, -1, 2.5, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN()}
	for _, e := range edges[:6] {
		edges = append(edges, math.Nextafter(e, 9), math.Nextafter(e, -9))
	}
	ints := []int64{0, 1, -1, 7, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1}
	out := make([]byte, len(edges))
	for _, op := range operators {
		if op == unequal {
			continue
		}
		for _, c := range edges {
			inside(out, edges, floatBounds(op, c), math.Inf(-1), math.Inf(1))
			for i, v := range edges {
				if want := bit(holdsOf(op, v, c)); out[i] != want {
					t.Errorf("%v, operator %d, %v: got %d, want %d", v, op, c, out[i], want)
				}
			}
		}
		for _, c := range ints {
			inside(out[:len(ints)], ints, intBounds(op, c), math.MinInt64, math.MaxInt64)
			for i, v := range ints {
				if want := bit(holdsOf(op, v, c)); out[i] != want {
					t.Errorf("%v, operator %d, %v: got %d, want %d", v, op, c, out[i], want)
				}
			}
		}
	}
}

func holdsOf[T float64 | int64](op operator, x, y T) bool {
	switch op {
	case equal:
		return x == y
	case less:
		return x < y
	case atMost:
		return x <= y
	case greater:
		return x > y
	}
	return x >= y
}

// Two bounds of one column are one test, and mean what they meant apart.
func TestBoundsOfOneColumnAreMadeTogether(t *testing.T) {
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	for _, v := range []any{-3.0, 1.0, 1.5, 2.0, math.NaN(), nil, 7.0} {
		add(b, v, v)
	}
	for src, want := range map[string]string{
		"f > 1 and f < 2": "0010000", "1 <= f and 2 >= f": "0111000", "f > 2 and f < 1": "0000000", "f >= 1 and g <= 2": "0111000",
		"f > 1 and f < 7 and f != 2": "0010000", "f == 1 and f == 1": "0100000", "f == 1 and f == 2": "0000000", "let x = f; x > 1 and x < 2": "0010000",
		"not (f > 1 and f < 2)": "1101101", "f * 2 > 2 and f * 2 < 4": "0010000",
	} {
		got := mustCompile(t, src).Eval(b)
		for i := range want {
			if got.Bools[i] != want[i]-'0' || got.Has(i) != (i != 5) {
				t.Errorf("%s: got %d, there %v, for row %d, want %c", src, got.Bools[i], got.Has(i), i, want[i])
			}
		}
	}
	if _, ok := mustCompile(t, "f > 1 and f < 2").root.(*within); !ok {
		t.Error("they are two tests")
	}
}

// What decides alone spares the rest.
func TestADecidedConditionIsNotGoneThroughFurther(t *testing.T) {
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	for range 20 {
		add(b, 1.0, nil, 1)
	}
	for src, want := range map[string]bool{"f < 1 and g > 0": false, "f > 0 or g > 0": true} {
		p := mustCompile(t, src)
		p.root.(*logic).y = nil // would panic
		if got := p.Eval(b); !got.Has(7) || got.Bools[7] != bit(want) {
			t.Errorf("%s: got %d, want %v", src, got.Bools[7], want)
		}
	}
}
