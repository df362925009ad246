package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Problem is one thing wrong with a file, at one place.
type Problem struct {
	File      string
	Line, Col int    // from 1, Col in characters; 0 when the problem is the whole file's
	Path      string // such as pipelines.motors.steps[0].window
	Msg       string
	Hint      string
	Source    string // the line, with secrets made unreadable
}

// Error tells the problem in one line.
func (p Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Msg)
}

// Report tells the problem with its line, a caret under the place, and the hint.
func (p Problem) Report() string {
	var b strings.Builder
	b.WriteString(p.Error())
	if p.Path != "" {
		fmt.Fprintf(&b, " in %s", p.Path)
	}
	if strings.TrimSpace(p.Source) != "" {
		line, before := excerpt(p.Source, p.Col)
		fmt.Fprintf(&b, "\n    %s\n    %s^", line, before)
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "\n\thint: %s", p.Hint)
	}
	return b.String()
}

// excerpt returns the part of a line around character col that fits a
// terminal, and the blanks that move a caret under that character.
func excerpt(line string, col int) (shown, before string) {
	const runesMax, runesBefore = 120, 80
	all := []rune(line)
	at := min(max(col-1, 0), len(all))
	from := 0
	if len(all) > runesMax {
		from = max(at-runesBefore, 0)
	}
	to := min(from+runesMax, len(all))
	var text, blanks strings.Builder
	for i, r := range all[from:to] {
		if r != '\t' && !unicode.IsPrint(r) {
			r = '·'
		}
		text.WriteRune(r)
		if r != '\t' {
			r = ' '
		}
		if from+i < at {
			blanks.WriteRune(r)
		}
	}
	shown, before = text.String(), blanks.String()
	if from > 0 {
		shown, before = "…"+shown, " "+before
	}
	if to < len(all) {
		shown += "…"
	}
	return shown, before
}

// Problems is everything wrong with a file.
type Problems []Problem

// Error tells each problem in a line.
func (ps Problems) Error() string { return ps.lines(Problem.Error) }

// Report tells each problem with its line, caret and hint.
func (ps Problems) Report() string { return ps.lines(Problem.Report) }

func (ps Problems) lines(tell func(Problem) string) string {
	all := make([]string, len(ps))
	for i, p := range ps {
		all[i] = tell(p)
	}
	return strings.Join(all, "\n")
}

// Sort puts the problems in the order of their places.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// Closest returns the candidate nearest to s by edit distance, or "" when
// none is near enough to be a slip of the fingers.
func Closest(s string, candidates []string) string {
	const bytesMax = 64 // longer ones are no slips
	if len(s) > bytesMax {
		return ""
	}
	best, at := "", max(1, len(s)/3)+1
	for _, c := range candidates {
		if len(c)-len(s) >= at || len(s)-len(c) >= at {
			continue // the distance is no less
		}
		if n := distance(s, c); n < at {
			best, at = c, n
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a (Damerau-Levenshtein, optimal string alignment).
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
