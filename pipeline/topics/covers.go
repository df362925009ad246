package topics

import "strings"

// Covers reports whether every topic that matches the MQTT filter b matches a.
func Covers(a, b string) bool {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	if startsDollar(y) && isWild(x[0]) {
		return false // [MQTT-4.7.2-1]
	}
	for i := range x {
		switch {
		case x[i] == "#":
			return true // the parent level too
		case i == len(y) || y[i] == "#":
			return false
		case x[i] != "+" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}
