package functions

import (
	"fmt"
	"strings"
)

// hintFor returns a hint line for a name that is not among names: the nearest
// one, or all of them.
func hintFor(name, what string, names []string) string {
	best, at := len(name)/3+2, -1
	for i, n := range names {
		if d := distance(name, n); d < best {
			best, at = d, i
		}
	}
	switch {
	case at >= 0:
		return fmt.Sprintf("\n\thint: did you mean %q?", names[at])
	case len(names) == 0:
		return fmt.Sprintf("\n\thint: there are no %s", what)
	}
	return fmt.Sprintf("\n\thint: %s here: %s", what, strings.Join(names, ", "))
}

// distance is the number of letters to change, add or leave out (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
