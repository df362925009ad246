// Package plant imitates machines with sensors, for demonstrations and tests.
package plant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// A fault begins FaultFirst after a machine is switched on, and again in every
// fault interval; after FaultLasts the machine is mended.
const (
	FaultFirst = 10 * time.Second
	FaultLasts = 10 * time.Second
)

// A Machine is a motor under changing load. Its readings depend on the seed
// and the time alone.
type Machine struct {
	Line, Device string

	noise *rand.Rand
	phase float64
	fault time.Duration
}

// Machines returns n machines on two lines. The last one has a bearing that
// runs hot once in every fault interval (0: never).
func Machines(n int, fault time.Duration, seed uint64) []*Machine {
	all := make([]*Machine, n)
	for i := range all {
		all[i] = &Machine{
			Line: string(rune('a' + i%2)), Device: fmt.Sprintf("motor-%d", i+1),
			noise: rand.New(rand.NewPCG(seed, uint64(i))), phase: float64(i),
		}
	}
	if n > 0 {
		all[n-1].fault = fault
	}
	return all
}

// A Reading is what a machine says of itself.
type Reading struct {
	Temp   float64 // °C at the bearing
	Vib    float64 // mm/s, root mean square
	RPM    int
	Faulty bool // whether the fault is there; sensors do not say it
}

// Read returns the reading at a time since the machine was switched on.
func (m *Machine) Read(at time.Duration) Reading {
	load := math.Sin(at.Seconds()/90 + m.phase)
	r := Reading{
		Temp:   61 + 2*load + 0.4*m.noise.NormFloat64(),
		Vib:    max(0, 0.8+0.1*load+0.03*m.noise.NormFloat64()),
		RPM:    1480 + int(10*load+3*m.noise.NormFloat64()),
		Faulty: m.fault > 0 && at >= FaultFirst && (at-FaultFirst)%m.fault < FaultLasts,
	}
	if r.Faulty {
		r.Temp += 14
		r.Vib += 2.5
	}
	return r
}

// AppendJSON appends the reading as a device would publish it, stamped with
// ts in ms since 1970.
func (r Reading) AppendJSON(dst []byte, ts int64) []byte {
	return fmt.Appendf(dst, `{"ts":%d,"temp":%.2f,"vib":%.3f,"rpm":%d}`, ts, r.Temp, r.Vib, r.RPM)
}
