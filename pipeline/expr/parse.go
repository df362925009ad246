package expr

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// A source is a parsed expression.
type source struct {
	text    string
	tree    ast.Node
	rewrote []rewrite
}

// A rewrite is a whole number that the parser did not see as it was written:
// it keeps them in an int, which has 32 bits on some machines. It sees a
// float there.
type rewrite struct {
	from, to int // in what the parser saw, in characters
	written  int // where it begins in the text, in characters
	shift    int // how much further everything behind it is
	value    int64
}

func parse(text string) (*source, error) {
	if len(text) > BytesMax {
		return nil, &Error{Column: BytesMax, Msg: fmt.Sprintf("the expression is %d bytes, the most is %d", len(text), BytesMax)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &Error{Msg: "the expression is empty"}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{Msg: "the expression is not UTF-8"}
	}
	s := &source{text: text}
	tree, err := parser.Parse(s.widen())
	var at *file.Error
	if errors.As(err, &at) {
		msg, hint := explain(at.Message)
		e := &Error{Column: s.column(at.From), Msg: msg, Hint: hint}
		if msg == "the expression ends too early" {
			e.Column = len(strings.TrimRight(text, " \t\n"))
		}
		return nil, e
	}
	if err != nil {
		return nil, &Error{Msg: err.Error()}
	}
	s.tree = tree.Node
	return s, nil
}

// widen returns the text with whole numbers that need more than 32 bits
// written as floats.
func (s *source) widen() string {
	tokens, err := lexer.Lex(file.NewSource(s.text))
	if err != nil {
		return s.text // the parser will tell
	}
	runes, done, shift := []rune(s.text), 0, 0
	var b strings.Builder
	for _, t := range tokens {
		if t.Kind != lexer.Number {
			continue
		}
		v, err := strconv.ParseInt(t.Value, 0, 64)
		if err != nil {
			v, err = strconv.ParseInt(strings.ReplaceAll(t.Value, "_", ""), 10, 64)
		}
		if err != nil || v <= math.MaxInt32 {
			continue
		}
		as := strconv.FormatInt(v, 10) + "e0"
		b.WriteString(string(runes[done:t.From]))
		b.WriteString(as)
		done = t.To
		r := rewrite{from: t.From + shift, to: t.From + shift + len(as), written: t.From, value: v}
		shift += len(as) - (t.To - t.From)
		r.shift = shift
		s.rewrote = append(s.rewrote, r)
	}
	b.WriteString(string(runes[done:]))
	return b.String()
}

// column returns the bytes of the text before a place that the parser gave.
func (s *source) column(place int) int {
	at := place
	for _, r := range s.rewrote {
		switch {
		case place >= r.to:
			at = place - r.shift
		case place >= r.from:
			at = r.written
		}
	}
	n := 0
	for i := range s.text {
		if n == at {
			return i
		}
		n++
	}
	return len(s.text)
}

// wide returns the whole number that was written where the parser saw a float.
func (s *source) wide(n *ast.FloatNode) (v int64, ok bool) {
	for _, r := range s.rewrote {
		if r.from == n.Location().From {
			return r.value, true
		}
	}
	return 0, false
}

// start returns where the leftmost part of n is, in bytes.
func (s *source) start(n ast.Node) int {
	for {
		switch x := n.(type) {
		case *ast.MemberNode:
			n = x.Node
		case *ast.ChainNode:
			n = x.Node
		case *ast.SliceNode:
			n = x.Node
		default:
			return s.column(n.Location().From)
		}
	}
}

// columnName returns the name that n is, such as temp, a.b or readings[0].t.
func columnName(n ast.Node) (name string, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, n.Value != "$env"
	case *ast.ChainNode:
		return columnName(n.Node)
	case *ast.MemberNode:
		base, ok := columnName(n.Node)
		env, _ := n.Node.(*ast.IdentifierNode)
		switch p := n.Property.(type) {
		case *ast.StringNode:
			if env != nil && env.Value == "$env" {
				return p.Value, true
			}
			return base + "." + p.Value, ok
		case *ast.IntegerNode:
			return base + "[" + strconv.Itoa(p.Value) + "]", ok
		}
	}
	return "", false
}
