package decode

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// randomNumber writes a JSON number of up to 40 digits.
func randomNumber(r *rand.Rand) string {
	digits := func(n int) string {
		s := ""
		for range n {
			s += strconv.Itoa(r.IntN(10))
		}
		return s
	}
	s := strings.TrimLeft(digits(r.IntN(22)), "0")
	if s == "" {
		s = "0"
	}
	if r.IntN(2) == 0 {
		s = "-" + s
	}
	if r.IntN(2) == 0 {
		s += "." + digits(1+r.IntN(20))
	}
	if r.IntN(3) == 0 {
		s += []string{"e", "E-", "e+"}[r.IntN(3)] + strconv.Itoa(r.IntN(340))
	}
	return s
}

func scanNumber(t *testing.T, text string) decimal {
	t.Helper()
	var s scanner
	var d decimal
	if end := s.number([]byte(text), 0, &d); end != len(text) {
		t.Fatalf("%s: got end %d", text, end)
	}
	return d
}

func TestFloatsAreTheNearest(t *testing.T) {
	r := seeded(t)
	texts := []string{"0", "-0", "1e22", "1e23", "9007199254740993", "0.1", "123456789012345678", "1e400", "-1e400", "1e-400", "4.9e-324", "2.2250738585072011e-308", "0e999999999999", "1e-99999999999999999999"}
	for range 30_000 {
		texts = append(texts, randomNumber(r), strconv.FormatFloat(math.Float64frombits(r.Uint64()&^(1<<62)), 'g', -1, 64))
	}
	for _, text := range texts {
		d := scanNumber(t, text)
		got, ok := d.float([]byte(text))
		want, err := strconv.ParseFloat(text, 64)
		if math.Float64bits(got) != math.Float64bits(want) || ok != (err == nil) {
			t.Fatalf("%s: got %v %v, want %v %v", text, got, ok, want, err)
		}
	}
}

func rat(t *testing.T, text string, shift int) *big.Rat {
	v, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatal(text)
	}
	ten := new(big.Rat).SetFrac64(10, 1)
	for ; shift > 0; shift-- {
		v.Mul(v, ten)
	}
	for ; shift < 0; shift++ {
		v.Quo(v, ten)
	}
	return v
}

func TestWholeNumbersAreExact(t *testing.T) {
	r := seeded(t)
	texts := []string{"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "3.0", "3.5", "-0.0", "1e18", "1e19", "92233720368547758070e-1", "0.00", "0e99", "100e-2", "150e-2"}
	for range 5_000 {
		texts = append(texts, randomNumber(r), strconv.FormatInt(int64(r.Uint64())>>r.IntN(64), 10))
	}
	for _, text := range texts {
		d := scanNumber(t, text)
		got, ok := d.int()
		v := rat(t, text, 0)
		if want := v.IsInt() && v.Num().IsInt64(); ok && !want || want && !ok && d.whole {
			t.Fatalf("%s: got %v, want %v", text, ok, want)
		}
		if ok && v.Num().Int64() != got {
			t.Fatalf("%s: got %d", text, got)
		}
	}
}

func TestTimesAreRoundedDownToMicroseconds(t *testing.T) {
	r := seeded(t)
	for range 5_000 {
		text := randomNumber(r)
		d := scanNumber(t, text)
		if !d.whole {
			continue
		}
		for unit, shift := range shifts {
			v := rat(t, text, shift)
			want := new(big.Int).Div(v.Num(), v.Denom()) // Euclid's: rounds down, as the divisor is positive
			got, ok := d.floor(shift, []byte(text))
			if ok != want.IsInt64() || ok && got != want.Int64() {
				t.Fatalf("%s %s: got %d %v, want %v", text, unit, got, ok, want)
			}
		}
	}
	d := scanNumber(t, "1767225600.12345678901234567890")
	if got, ok := d.floor(6, []byte("1767225600.12345678901234567890")); !ok || got != 1767225600123456 {
		t.Errorf("many digits: got %d %v", got, ok)
	}
}

func TestTimesInWordsAreThoseOfTheStandardLibrary(t *testing.T) {
	r := seeded(t)
	texts := []string{"0000-01-01T00:00:00Z", "0000-02-29T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29T00:00:60Z", "2024-02-29T00:00:00", "2024-02-29T00:00:00.Z", "", "2024", "2024-02-29T00:00:00+0100"}
	for range 20_000 {
		at := time.Unix(r.Int64N(253402300800+62135596800)-62135596800, r.Int64N(1e9)).In(time.FixedZone("", 60*(r.IntN(2*1440-1)-1439)))
		text := at.Format([]string{time.RFC3339Nano, time.RFC3339, "2006-01-02T15:04:05.000Z07:00"}[r.IntN(3)])
		if r.IntN(3) == 0 {
			b := []byte(text)
			b[r.IntN(len(b))] = "0123456789:-+.TZ"[r.IntN(16)]
			text = string(b)
		}
		texts = append(texts, text)
	}
	for _, text := range texts {
		got, ok := rfc3339([]byte(text), nil)
		var want time.Time
		err := want.UnmarshalText([]byte(text))
		if w, e := time.Parse("2006-01-02T15:04:05.999999999", text); e == nil {
			want, err = w, nil // without an offset it is UTC
		}
		if n := len(text); err == nil && n > 6 && (text[n-5:n-3] == "24" || text[n-2:] == "60") {
			continue // the library takes zones such as +24:60; RFC 3339 ends at 23:59
		}
		if ok != (err == nil) || ok && got != want.UnixMicro() {
			t.Fatalf("%q: got %d %v, want %d %v", text, got, ok, want.UnixMicro(), err)
		}
	}
	for _, text := range []string{"2026-01-31t15:04:05z", "2026-01-31 15:04:05Z"} {
		if got, ok := rfc3339([]byte(text), nil); !ok || got != 1769871845e6 {
			t.Errorf("%q: got %d %v", text, got, ok)
		}
	}
}

func TestEventTimesHaveUnits(t *testing.T) {
	for unit, payload := range map[string]string{"s": `{"ts":1.5}`, "": `{"ts":1500}`, "ms": `{"ts":1500}`, "us": `{"ts":1500000}`, "ns": `{"ts":1500000999}`, "rfc3339": `{"ts":"1970-01-01T00:00:01.5Z"}`} {
		d := newDecoder(t, Config{Time: TimeField{Name: "ts", Unit: unit}})
		b := d.NewBatch()
		dead := fmt.Sprint(decodeInto(d, b, payload))
		if b.Rows() != 1 || b.Time[0] != 1500e3 {
			t.Errorf("%s: got %v and dead %s", unit, b.Time, dead)
		}
	}
	check(t, Config{Time: TimeField{Name: "ts", Unit: "rfc3339"}}, [][2]string{
		{`{"ts":"yesterday"}`, `dead: field ts: want a time such as 2026-01-31T15:04:05Z, have text "yesterday"`},
		{`{"ts":1500}`, `dead: field ts: want a time such as 2026-01-31T15:04:05Z, have number 1500`},
	})
}
