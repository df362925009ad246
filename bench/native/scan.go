package native

import (
	"bytes"
	"errors"
	"strconv"
)

// ErrPayload is returned for a payload that is not a flat JSON object with
// the fields of a Reading.
var ErrPayload = errors.New("payload is not a reading")

// A Reading is the fields of a payload that a job uses.
type Reading struct {
	Device []byte  // a view of the payload
	Time   int64   // ms since 1970
	Temp   float64 // °C
}

// Which fields have been seen.
const (
	hasDevice = 1 << iota
	hasTime
	hasTemp
	hasAll = hasDevice | hasTime | hasTemp
)

// Scan reads a flat JSON object in one pass and without allocation. It looks
// at device, ts and temp and passes over other numbers, texts and literals,
// not caring whether a number it passes over is written as JSON wants it.
func Scan(p []byte, r *Reading) error {
	i, seen := space(p, 0), 0
	if i >= len(p) || p[i] != '{' {
		return ErrPayload
	}
	for {
		i = space(p, i+1)
		key, at := text(p, i)
		if at < 0 {
			return ErrPayload
		}
		if i = space(p, at); i >= len(p) || p[i] != ':' {
			return ErrPayload
		}
		field, next := value(p, space(p, i+1), key, r)
		if next < 0 {
			return ErrPayload
		}
		seen |= field
		if i = space(p, next); i >= len(p) {
			return ErrPayload
		}
		if p[i] == ',' {
			continue
		}
		if p[i] != '}' || space(p, i+1) != len(p) || seen != hasAll {
			return ErrPayload
		}
		return nil
	}
}

// value reads the value at p[i] of the field called key; it returns which of
// the fields that count it was, and where it ends, -1 if it is not right.
func value(p []byte, i int, key []byte, r *Reading) (field, next int) {
	switch string(key) {
	case "device":
		r.Device, next = text(p, i)
		return hasDevice, next
	case "ts":
		r.Time, next = whole(p, i)
		return hasTime, next
	case "temp":
		r.Temp, next = number(p, i)
		return hasTemp, next
	}
	return 0, skip(p, i)
}

func space(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
		i++
	}
	return i
}

// text returns what is between the quotes at p[i] and the place behind them.
func text(p []byte, i int) ([]byte, int) {
	if i >= len(p) || p[i] != '"' {
		return nil, -1
	}
	for k := i + 1; k < len(p); k++ {
		switch p[k] {
		case '"':
			return p[i+1 : k], k + 1
		case '\\':
			k++
		}
	}
	return nil, -1
}

// skip returns where the value at p[i] ends.
func skip(p []byte, i int) int {
	if i >= len(p) {
		return -1
	}
	switch p[i] {
	case '"':
		_, next := text(p, i)
		return next
	case 't':
		return literal(p, i, "true")
	case 'f':
		return literal(p, i, "false")
	case 'n':
		return literal(p, i, "null")
	}
	first := i
	for i < len(p) && (p[i]-'0' <= 9 || p[i] == '.' || p[i] == '-' || p[i] == '+' || p[i]|0x20 == 'e') {
		i++
	}
	if i == first {
		return -1
	}
	return i
}

func literal(p []byte, i int, want string) int {
	if len(p)-i < len(want) || string(p[i:i+len(want)]) != want {
		return -1
	}
	return i + len(want)
}

func whole(p []byte, i int) (int64, int) {
	n, first := int64(0), i
	for i < len(p) && p[i]-'0' <= 9 {
		n = n*10 + int64(p[i]-'0')
		i++
	}
	if i == first || i-first > 18 {
		return 0, -1
	}
	return n, i
}

// tens are the powers of ten that a float64 holds exactly.
var tens = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a decimal. Up to 15 digits, mantissa and power are exact and
// one division rounds as strconv does; other numbers are left to strconv.
func number(p []byte, i int) (float64, int) {
	first, negative := i, i < len(p) && p[i] == '-'
	if negative {
		i++
	}
	mantissa, digits, point := int64(0), 0, -1
	for ; i < len(p); i++ {
		if c := p[i]; c-'0' <= 9 {
			mantissa = mantissa*10 + int64(c-'0')
			digits++
		} else if c == '.' && point < 0 {
			point = digits
		} else {
			break
		}
	}
	if i < len(p) && p[i]|0x20 == 'e' || digits > 15 {
		return slow(p, first)
	}
	if digits == 0 || point == digits {
		return 0, -1
	}
	f := float64(mantissa)
	if point >= 0 {
		f /= tens[digits-point]
	}
	if negative {
		f = -f
	}
	return f, i
}

func slow(p []byte, i int) (float64, int) {
	n := bytes.IndexAny(p[i:], ",} \t\r\n")
	if n < 0 {
		return 0, -1
	}
	f, err := strconv.ParseFloat(string(p[i:i+n]), 64)
	if err != nil {
		return 0, -1
	}
	return f, i + n
}
