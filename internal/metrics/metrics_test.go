package metrics

import (
	"strings"
	"testing"
)

func TestLabelsAreEscapedAndCountersShared(t *testing.T) {
	r := New()
	r.Counter("in_total", "pipeline", `a"b\c`).Add(2)
	r.Counter("in_total", "pipeline", `a"b\c`).Inc()
	r.Gauge("depth", func() float64 { return 1 })
	r.Gauge("depth", func() float64 { return 7 })
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`in_total{pipeline="a\"b\\c"} 3`, "depth 7"} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("got:\n%swant the line %s", b.String(), want)
		}
	}
}

func TestNameJoinsSeveralLabels(t *testing.T) {
	if got, want := Name("x", "a", "1", "b", "2", "c", "3"), `x{a="1",b="2",c="3"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
