package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Verdict is what is wrong with the results; all of it must be zero.
type Verdict struct {
	Missing, Under, Over int // results that are not there, or count too few, or too many
	Conflicts            int // results that were delivered with two values
	Foreign              int // results that nobody asked for
	Torn                 int // lines that are not JSON
}

// Wrong reports whether anything is.
func (v Verdict) Wrong() bool { return v != Verdict{} }

// Add adds what is wrong elsewhere.
func (v *Verdict) Add(o Verdict) {
	v.Missing += o.Missing
	v.Under += o.Under
	v.Over += o.Over
	v.Conflicts += o.Conflicts
	v.Foreign += o.Foreign
	v.Torn += o.Torn
}

// A row is a result in a file, of a window or of rate-of-change.
type row struct {
	Device      string   `json:"device"`
	WindowStart int64    `json:"window_start"`
	N           int      `json:"n"`
	Sum         float64  `json:"sum"`
	First       float64  `json:"first"`
	Last        float64  `json:"last"`
	Seq         int      `json:"seq"`
	Rate        *float64 `json:"rate"`
}

// place tells results apart: by the start of the window, or the message.
type place struct {
	device string
	at     int64
}

// readRows returns the rows of a file by place, and how many came again. A row
// that was there before with another value is a conflict.
func readRows(file []byte, of func(row) place, v *Verdict) (map[place]row, int) {
	rows, again := map[place]row{}, 0
	for line := range bytes.Lines(file) {
		var one row
		if json.Unmarshal(line, &one) != nil {
			v.Torn++
		} else if before, ok := rows[of(one)]; !ok {
			rows[of(one)] = one
		} else if same(before, one) {
			again++
		} else {
			v.Conflicts++
		}
	}
	return rows, again
}

func same(a, b row) bool {
	if (a.Rate == nil) != (b.Rate == nil) || a.Rate != nil && *a.Rate != *b.Rate {
		return false
	}
	a.Rate, b.Rate = nil, nil
	return a == b
}

// judgeWindows compares the windows in a file with those that a device's
// messages ask for, and returns how many there are and came more than once.
func judgeWindows(file []byte, want map[string]map[int64]Count) (v Verdict, n, again int) {
	rows, again := readRows(file, func(r row) place { return place{r.Device, r.WindowStart} }, &v)
	for device, windows := range want {
		for start, c := range windows {
			n++
			p := place{device, start}
			r, ok := rows[p]
			delete(rows, p)
			switch {
			case !ok:
				v.Missing++
			case r.N < c.N:
				v.Under++
			case r.N > c.N || int(r.Sum) != c.Sum || int(r.First) != c.First || int(r.Last) != c.Last:
				v.Over++
			}
		}
	}
	v.Foreign += len(rows)
	return v, n, again
}

// judgeRates compares the rates in a file with those of each device's first
// messages.
func judgeRates(file []byte, want map[string]int) (v Verdict, n, again int) {
	rows, again := readRows(file, func(r row) place { return place{r.Device, int64(r.Seq)} }, &v)
	for device, messages := range want {
		for i := 1; i <= messages; i++ {
			n++
			r, ok := rows[place{device, int64(i)}]
			perSecond, any := rate(i)
			switch {
			case !ok:
				v.Missing++
			case any != (r.Rate != nil), any && perSecond != *r.Rate:
				v.Over++
			}
		}
	}
	return v, n, again
}

// String tells a verdict in the words of delivery.md.
func (v Verdict) String() string {
	return fmt.Sprintf("%d missing, %d counted too few, %d too many, %d with two values, %d unasked, %d torn lines",
		v.Missing, v.Under, v.Over, v.Conflicts, v.Foreign, v.Torn)
}
