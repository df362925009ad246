package native

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// results runs a job over readings written as "device second temp" and
// returns what it publishes.
func results(t *testing.T, k Kind, readings ...string) (all []string, j *Job) {
	t.Helper()
	j = NewJob(k, func(r *Result) { all = append(all, string(r.AppendJSON(nil, k))) })
	for _, s := range readings {
		f := strings.Fields(s)
		p := fmt.Sprintf(`{"device":%q,"ts":%s000,"temp":%s}`, f[0], f[1], f[2])
		if err := j.Message([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	return all, j
}

func TestFilterPassesWhatIsHot(t *testing.T) {
	got, _ := results(t, Filter, "a 1 30", "a 2 30.1", "b 2 -7", "b 3 99")
	want := []string{
		`{"time":"1970-01-01T00:00:02.000Z","device":"a","temp":30.1}`,
		`{"time":"1970-01-01T00:00:03.000Z","device":"b","temp":99}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAWindowSpeaksOnceWhenItsDevicesWatermarkPassesItsEnd(t *testing.T) {
	got, j := results(t, Window, "a 10 1", "a 10 4", "b 99 7", "a 11 100", "a 10 1", "a 12 0", "a 10 1000", "a 13 5")
	want := []string{
		`{"time":"1970-01-01T00:00:11.000Z","device":"a","mean":2,"low":1,"high":4,"n":3}`,
		`{"time":"1970-01-01T00:00:12.000Z","device":"a","mean":100,"low":100,"high":100,"n":1}`,
	}
	if !slices.Equal(got, want) || j.Late != 1 {
		t.Errorf("got %q and %d late, want %q and 1", got, j.Late, want)
	}
}

func TestMainFlagsTheWindowThatIsFarOff(t *testing.T) {
	var readings []string
	for second := range 40 {
		temp := 20 + second%3
		if second == 35 {
			temp = 60
		}
		readings = append(readings, fmt.Sprintf("a %d %d", second, temp), fmt.Sprintf("a %d 150", second), fmt.Sprintf("a %d -40", second))
	}
	got, _ := results(t, Main, readings...)
	if len(got) != 1 || !strings.HasPrefix(got[0], `{"time":"1970-01-01T00:00:36.000Z","device":"a","mean":60,"low":60,"high":60,"n":1,"score":`) {
		t.Errorf("got %q, want the window that ends at second 36", got)
	}
}

func TestNormalIsTheWeightedMeanAndDeviation(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var n Normal
	var values []float64
	for range 500 {
		x := 20 + random.Float64()
		s := n.Judge(x, kept())
		if mean, sd := weighted(values); len(values) >= Warmup {
			if want := (x - mean) / sd; math.Abs(s.Score-want) > 1e-6 || math.Abs(s.Expected-mean) > 1e-9 {
				t.Fatalf("after %d values: got %+v, want score %v of mean %v", len(values), s, want, mean)
			}
		}
		values = append(values, x)
	}
}

// weighted is what Normal keeps, straight from the definition.
func weighted(values []float64) (mean, sd float64) {
	sum, sum2 := 0.0, 0.0
	weight := func(i int) float64 { return math.Pow(0.5, float64(len(values)-1-i)/HalfLife) }
	for i, x := range values {
		sum += weight(i)
		sum2 += weight(i) * weight(i)
		mean += weight(i) * x
	}
	mean /= sum
	squares := 0.0
	for i, x := range values {
		squares += weight(i) * (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(squares / (sum - sum2/sum))
}

func TestALastingLevelBecomesNormal(t *testing.T) {
	var n Normal
	alarms := 0
	for i := range 1000 {
		x := float64(i % 2)
		if i >= 100 {
			x += 1000
		}
		if n.Judge(x, kept()).Anomaly {
			alarms++
		}
	}
	if alarms != Relearn {
		t.Errorf("got %d anomalies, want %d", alarms, Relearn)
	}
}

func TestJobsHaveNames(t *testing.T) {
	for _, k := range Kinds() {
		if got, err := ParseKind(k.String()); got != k || err != nil {
			t.Errorf("%v: got %v, %v", k, got, err)
		}
	}
	if _, err := ParseKind("x"); err == nil || !strings.Contains(err.Error(), "filter") {
		t.Errorf("got %v, want the names there are", err)
	}
}

func TestNothingIsAllocatedOnTheWay(t *testing.T) {
	for _, k := range Kinds() {
		j := NewJob(k, func(*Result) {})
		p := []byte(`{"device":"d7","ts":1767225600000,"temp":21.4,"hum":40.2,"ok":true}`)
		if n := testing.AllocsPerRun(1000, func() { j.Message(p) }); n != 0 {
			t.Errorf("%v: got %v allocations a message, want none", k, n)
		}
	}
}
