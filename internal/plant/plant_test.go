package plant

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTheSameSeedGivesTheSameReadings(t *testing.T) {
	a, b, c := Machines(3, 0, 1), Machines(3, 0, 1), Machines(3, 0, 2)
	differ := false
	for at := range 100 {
		for i := range a {
			x := a[i].Read(time.Duration(at) * time.Second)
			if y := b[i].Read(time.Duration(at) * time.Second); x != y {
				t.Fatalf("got %v and %v of one seed", x, y)
			}
			differ = differ || x != c[i].Read(time.Duration(at)*time.Second)
		}
	}
	if !differ {
		t.Error("another seed gave the same readings")
	}
}

func TestOnlyTheLastMachineFailsAndIsMended(t *testing.T) {
	all := Machines(4, 30*time.Second, 1)
	for i, m := range all {
		for at := time.Duration(0); at < 2*time.Minute; at += time.Second {
			want := i == 3 && at >= FaultFirst && (at-FaultFirst)%(30*time.Second) < FaultLasts
			r := m.Read(at)
			if r.Faulty != want {
				t.Fatalf("%s at %s: got fault %v, want %v", m.Device, at, r.Faulty, want)
			}
			if hot := r.Temp > 70; hot != want {
				t.Fatalf("%s at %s: got %.1f °C with fault %v", m.Device, at, r.Temp, want)
			}
		}
	}
}

func TestReadingsAreJSON(t *testing.T) {
	r := Machines(1, 0, 1)[0].Read(0)
	var got struct {
		TS   int64
		Temp float64
	}
	if err := json.Unmarshal(r.AppendJSON(nil, 1735689600123), &got); err != nil {
		t.Fatal(err)
	}
	if got.TS != 1735689600123 || got.Temp < 50 || got.Temp > 70 {
		t.Errorf("got %+v", got)
	}
}
