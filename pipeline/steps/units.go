package steps

import (
	"math/big"
	"strings"
)

// A unit measures a quantity: so many of the quantity's base unit are
// factor × value + offset. Factors are exact, as fractions.
type unit struct {
	names    string // separated by spaces; the first is the usual one
	quantity string
	factor   string
	offset   string // empty: none
}

// The units that Convert knows; those of a quantity stand together.
var units = [...]unit{
	{"C °C", "temperature", "1", ""}, {"F °F", "temperature", "5/9", "-160/9"}, {"K", "temperature", "1", "-27315/100"},
	{"m", "length", "1", ""}, {"mm", "length", "1/1000", ""}, {"cm", "length", "1/100", ""}, {"km", "length", "1000", ""}, {"um µm", "length", "1/1000000", ""},
	{"in", "length", "254/10000", ""}, {"ft", "length", "3048/10000", ""}, {"yd", "length", "9144/10000", ""}, {"mi", "length", "1609344/1000", ""}, {"nmi", "length", "1852", ""},
	{"Pa", "pressure", "1", ""}, {"hPa mbar", "pressure", "100", ""}, {"kPa", "pressure", "1000", ""}, {"MPa", "pressure", "1000000", ""}, {"bar", "pressure", "100000", ""},
	{"psi", "pressure", "44482216152605/6451600000", ""}, {"atm", "pressure", "101325", ""}, {"mmHg", "pressure", "133322387415/1000000000", ""}, {"inHg", "pressure", "3386389/1000", ""},
	{"J", "energy", "1", ""}, {"kJ", "energy", "1000", ""}, {"MJ", "energy", "1000000", ""}, {"Wh", "energy", "3600", ""}, {"kWh", "energy", "3600000", ""}, {"MWh", "energy", "3600000000", ""},
	{"cal", "energy", "4184/1000", ""}, {"kcal", "energy", "4184", ""}, {"BTU", "energy", "105505585262/100000000", ""},
	{"W", "power", "1", ""}, {"mW", "power", "1/1000", ""}, {"kW", "power", "1000", ""}, {"MW", "power", "1000000", ""}, {"hp", "power", "37284993579113511/50000000000000", ""}, {"PS", "power", "73549875/100000", ""},
	{"m/s", "speed", "1", ""}, {"km/h", "speed", "5/18", ""}, {"mph", "speed", "44704/100000", ""}, {"kn", "speed", "463/900", ""}, {"ft/s", "speed", "3048/10000", ""}, {"mm/s", "speed", "1/1000", ""},
	{"L l", "volume", "1", ""}, {"mL ml", "volume", "1/1000", ""}, {"m3 m³", "volume", "1000", ""}, {"gal", "volume", "3785411784/1000000000", ""}, {"ft3 ft³", "volume", "28316846592/1000000000", ""},
	{"L/s", "flow", "1", ""}, {"L/min", "flow", "1/60", ""}, {"L/h", "flow", "1/3600", ""}, {"m3/h m³/h", "flow", "5/18", ""}, {"gal/min", "flow", "3785411784/60000000000", ""},
	{"kg", "mass", "1", ""}, {"mg", "mass", "1/1000000", ""}, {"g", "mass", "1/1000", ""}, {"t", "mass", "1000", ""}, {"lb", "mass", "45359237/100000000", ""}, {"oz", "mass", "28349523125/1000000000000", ""},
	{"rad", "angle", "1", ""}, {"deg °", "angle", "3141592653589793/180000000000000000", ""}, {"turn", "angle", "3141592653589793/500000000000000", ""},
	{"s", "time", "1", ""}, {"us µs", "time", "1/1000000", ""}, {"ms", "time", "1/1000", ""}, {"min", "time", "60", ""}, {"h", "time", "3600", ""}, {"d", "time", "86400", ""},
	{"Hz", "frequency", "1", ""}, {"kHz", "frequency", "1000", ""}, {"MHz", "frequency", "1000000", ""}, {"rpm", "frequency", "1/60", ""},
	{"V", "voltage", "1", ""}, {"mV", "voltage", "1/1000", ""}, {"kV", "voltage", "1000", ""},
	{"A", "current", "1", ""}, {"mA", "current", "1/1000", ""}, {"uA µA", "current", "1/1000000", ""},
	{"g0", "acceleration", "980665/100000", ""}, {"m/s2 m/s²", "acceleration", "1", ""},
	{"ratio", "part", "1", ""}, {"%", "part", "1/100", ""}, {"ppm", "part", "1/1000000", ""},
	{"B", "data", "1", ""}, {"kB", "data", "1000", ""}, {"MB", "data", "1000000", ""}, {"GB", "data", "1000000000", ""},
	{"KiB", "data", "1024", ""}, {"MiB", "data", "1048576", ""}, {"GiB", "data", "1073741824", ""},
}

// unitOf returns the unit called name; hint says what is there otherwise.
func unitOf(name string) (u unit, hint string) {
	var near []string
	for _, u := range units {
		for n := range strings.FieldsSeq(u.names) {
			if n == name {
				return u, ""
			}
			if strings.EqualFold(n, name) {
				near = append(near, n)
			}
		}
	}
	if len(near) > 0 {
		return u, "did you mean " + strings.Join(near, " or ") + "? Large and small letters differ"
	}
	return u, "there are " + unitsFor("")
}

// unitsFor lists the units of a quantity, or of all.
func unitsFor(quantity string) string {
	var all []string
	for i := range units {
		if quantity == "" || units[i].quantity == quantity {
			first, _, _ := strings.Cut(units[i].names, " ")
			all = append(all, first)
		}
	}
	return strings.Join(all, ", ")
}

// A line is y = (x × mul + add) / div, in which whole numbers keep the result
// as near as a float can be.
type line struct{ mul, add, div float64 }

// lineTo returns the way from values in u to values in v, of one quantity.
func (u unit) lineTo(v unit) line {
	factor := new(big.Rat).Quo(rational(u.factor), rational(v.factor))
	offset := new(big.Rat).Sub(rational(u.offset), rational(v.offset))
	offset.Quo(offset, rational(v.factor))
	div := new(big.Int).Mul(factor.Denom(), offset.Denom())
	div.Div(div, new(big.Int).GCD(nil, nil, factor.Denom(), offset.Denom())) // the least that both divide
	d := new(big.Rat).SetInt(div)
	mul, mulExact := new(big.Rat).Mul(factor, d).Float64()
	add, addExact := new(big.Rat).Mul(offset, d).Float64()
	l := line{mul: mul, add: add}
	divExact := false
	if l.div, divExact = d.Float64(); mulExact && addExact && divExact {
		return l
	}
	mul, _ = factor.Float64()
	add, _ = offset.Float64()
	return line{mul, add, 1}
}

// rational reads a fraction of the table.
func rational(s string) *big.Rat {
	if s == "" {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("BUG: a unit with " + s)
	}
	return r
}
