package load

import (
	"math/rand/v2"
	"strconv"
)

// How the readings of a device go, in event time.
const (
	windowMS   = 1000 // a fault lasts this long
	faultEvery = 40   // windows from one fault to the next
	faultFirst = 35   // window of the first one, later for each next device
	flushMS    = 10_000
)

// A source makes the readings of one device, about 90 bytes each. They are
// the same whenever they are made.
//
// The temperature is even between 18.0 and 31.3 °C; in one window of 40, and
// in the last whole one, it is 20 °C higher. The last reading comes 10 s after
// the one before and is hot: whatever a job waits for, it need not wait longer.
type source struct {
	name    string
	device  int
	step    int64 // ms between readings
	start   int64 // ms since 1970, a multiple of windowMS
	n, last int64 // the number of the next reading, and of the last but the closing one
	random  *rand.Rand
}

func newSource(device int, start, step int64, messages int) *source {
	return &source{
		name: "d" + strconv.Itoa(device), device: device, step: step, start: start,
		last: int64(messages) - 2, random: rand.New(rand.NewPCG(uint64(device), 90)),
	}
}

// next appends the next payload.
func (s *source) next(dst []byte) []byte {
	at := s.n * s.step
	tenths := 180 + s.random.Int64N(134)
	switch {
	case s.n > s.last:
		at = s.last*s.step + flushMS
		tenths += 250
	case s.faulty(at / windowMS):
		tenths += 200
	}
	s.n++
	dst = append(append(append(dst, `{"device":"`...), s.name...), `","ts":`...)
	dst = strconv.AppendInt(dst, s.start+at, 10)
	dst = fixed(append(dst, `,"temp":`...), tenths, 1)
	dst = fixed(append(dst, `,"hum":`...), 300+s.random.Int64N(400), 1)
	dst = fixed(append(dst, `,"vib":0.`...), 10+s.random.Int64N(90), 0)
	dst = fixed(append(dst, `,"rpm":`...), 1400+s.random.Int64N(200), 0)
	return append(dst, `,"ok":true}`...)
}

func (s *source) faulty(window int64) bool {
	if window == s.last*s.step/windowMS {
		return true
	}
	since := window - faultFirst - int64(s.device%faultEvery)
	return since >= 0 && since%faultEvery == 0
}

// fixed appends n / 10^decimals; n is not negative.
func fixed(dst []byte, n int64, decimals int) []byte {
	if decimals == 0 {
		return strconv.AppendInt(dst, n, 10)
	}
	dst = strconv.AppendInt(dst, n/10, 10)
	return append(dst, '.', byte('0'+n%10))
}
