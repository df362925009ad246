package expr

import (
	"fmt"
	"strconv"
	"strings"

	"millrace.dev/millrace/pipeline"
)

// An Error says what is wrong with an expression, where, and what to do.
type Error struct {
	Column int    // bytes of the expression before the place
	Msg    string // one line
	Hint   string // may be empty
}

// Error returns message and hint on one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + "; " + e.Hint
}

// explain puts the words of expr-lang's parser into ours.
func explain(msg string) (plain, hint string) {
	if rest, ok := strings.CutPrefix(msg, "unexpected token "); ok {
		return explainToken(rest)
	}
	switch {
	case strings.HasPrefix(msg, "unexpected end"):
		return "the expression ends too early", ""
	case strings.HasPrefix(msg, "literal not terminated"), strings.Contains(msg, "unclosed string"):
		return "a text has no closing quote", ""
	case strings.HasPrefix(msg, "unrecognized character"):
		return "unknown character" + msg[strings.LastIndex(msg, " "):], ""
	case strings.HasPrefix(msg, "invalid integer literal"), strings.Contains(msg, "literal is too large"), strings.HasPrefix(msg, "invalid float literal"):
		return "number is too large", ""
	case strings.HasPrefix(msg, "bad number syntax: "):
		return "not a number: " + msg[len("bad number syntax: "):], "a text stands in quotes"
	case strings.HasPrefix(msg, "compilation failed: expression exceeds"):
		return "the expression has too many parts", ""
	case strings.HasPrefix(msg, "Operator (") && strings.Contains(msg, "coalesce"):
		return "?? and another operator need parentheses to tell which comes first", ""
	}
	return msg, ""
}

// explainToken explains a token in the wrong place, such as Operator("=").
func explainToken(token string) (plain, hint string) {
	_, quoted, ok := strings.Cut(token, "(")
	text, err := strconv.Unquote(strings.TrimSuffix(quoted, ")"))
	if !ok || err != nil {
		return "the expression ends too early", ""
	}
	switch strings.ToLower(text) {
	case "=":
		hint = "compare with =="
	case "&", "|":
		hint = fmt.Sprintf("write %s", map[string]string{"&": "and", "|": "or"}[text])
	case "and", "or", "not", "in":
		hint = "and, or, not, in are written in lower case and stand between two values"
	}
	return fmt.Sprintf("unexpected %q", text), hint
}

// kindName names a kind for a sentence.
func kindName(k pipeline.Kind) string {
	switch k {
	case 0:
		return "nil"
	case pipeline.Float:
		return "a number"
	case pipeline.Int:
		return "a whole number"
	case pipeline.Bool:
		return "true or false"
	}
	return "a text"
}

// meant returns a hint for an unknown name: the known one it is nearest to, or all.
func meant(name string, known []string) string {
	best, distance := "", max(1, len(name)/3)+1
	for _, k := range known {
		if d := edits(strings.ToLower(name), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %s?", spell(best))
	case len(known) == 0:
		return ""
	case len(known) > 20:
		known = append(known[:20:20], "…")
	}
	return "there are " + strings.Join(known, ", ")
}

// spell writes a column's name as an expression.
func spell(name string) string {
	if p, err := parse(name); err == nil {
		if same, ok := columnName(p.tree); ok && same == name {
			return name
		}
	}
	return fmt.Sprintf("$env[%q]", name)
}

// edits returns how many letters must be added, removed, replaced or swapped
// with their neighbour to make b of a.
func edits(a, b string) int {
	var before, last []int
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := range len(a) {
		row := []int{i + 1}
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}
