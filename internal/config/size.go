package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes: 4096, 10MB, 64MiB.
type Size int64

var sizeUnits = [...]struct {
	suffix string
	bytes  float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// String writes the size with the largest unit of 1024 that divides it.
func (s Size) String() string {
	for _, u := range []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseSize reads a size; fractions such as 1.5MiB are allowed.
func parseSize(s string) (Size, bool) {
	for _, u := range sizeUnits {
		number, found := strings.CutSuffix(s, u.suffix)
		if !found {
			continue
		}
		number = strings.TrimSpace(number)
		if strings.Trim(number, "0123456789._") != "" {
			return 0, false // no signs, exponents, inf
		}
		x, err := strconv.ParseFloat(strings.ReplaceAll(number, "_", ""), 64)
		if err != nil || x*u.bytes >= math.MaxInt64 {
			return 0, false
		}
		return Size(x * u.bytes), true
	}
	panic("BUG: the last unit fits all")
}
