package metrics

import (
	"strings"
	"sync"
	"testing"
)

func page(t *testing.T, r *Registry) string {
	t.Helper()
	var b strings.Builder
	n, err := r.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("got %d bytes and %v, want %d", n, err, b.Len())
	}
	return b.String()
}

func TestThePageIsTheTextFormatInOrder(t *testing.T) {
	r := New()
	r.Counter("in_total", "pipeline", `a"b\c`+"\n").Add(2)
	r.Counter("in_total", "pipeline", `a"b\c`+"\n").Inc()
	r.Counter("in_total").AddInt64(1 << 40)
	r.Gauge("in", func() float64 { return 1 })
	r.Gauge("in", func() float64 { return 0.25 })
	r.Gauge("in_all_total", func() float64 { return 1e21 })
	want := `# TYPE in gauge
in 0.25
# TYPE in_all_total counter
in_all_total 1000000000000000000000
# TYPE in_total counter
in_total 1099511627776
in_total{pipeline="a\"b\\c\n"} 3
`
	if got := page(t, r); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestNameJoinsSeveralLabels(t *testing.T) {
	if got, want := Name("x", "a", "1", "b", "2", "c", "3"), `x{a="1",b="2",c="3"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestManyMayCountAndLookAtTheSameTime(t *testing.T) {
	r := New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				r.Counter("x_total", "a", "b").Inc()
			}
			r.Gauge("y", func() float64 { return 1 })
			page(t, r)
		})
	}
	all.Wait()
	if got := r.Counter("x_total", "a", "b").Get(); got != 8000 {
		t.Errorf("got %d, want 8000", got)
	}
}
