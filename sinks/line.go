package sinks

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// decimalsMax is the most decimals that {mean:.2f} may ask for.
const decimalsMax = 15

// A line is a template of a line of text: {device} {mean:.2f} at {time}.
// A value that is missing is a dash. Control characters, and what is not
// UTF-8, are written as \x1b, so that a row is one line and harmless to
// terminals.
type line struct {
	parts []linePart
	clock clock
}

// A linePart is fixed text, or the name of a value.
type linePart struct {
	text, name string
	decimals   int // -1 for the shortest form
}

// compileLine reads a template.
func compileLine(s string) (*line, error) {
	l := &line{}
	for rest := s; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, fmt.Errorf("line %q: } without {", s)
		}
		if text != "" {
			l.parts = append(l.parts, linePart{text: text})
		}
		if !found {
			break
		}
		inside, more, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(inside, "{") {
			return nil, fmt.Errorf("line %q: { is not closed", s)
		}
		name, format, formatted := strings.Cut(inside, ":")
		if name == "" {
			return nil, fmt.Errorf("line %q: braces without a name", s)
		}
		p := linePart{name: name, decimals: -1}
		if formatted {
			if p.decimals = decimals(format); p.decimals < 0 {
				return nil, fmt.Errorf("line %q: {%s}: unknown format %q\n\thint: .2f is two decimals; the most is .%df", s, inside, format, decimalsMax)
			}
		}
		l.parts = append(l.parts, p)
		rest = more
	}
	return l, nil
}

// decimals returns the 2 of .2f, or -1.
func decimals(format string) int {
	digits, ok := strings.CutPrefix(format, ".")
	digits, isFloat := strings.CutSuffix(digits, "f")
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || !isFloat || err != nil || n > decimalsMax {
		return -1
	}
	return int(n)
}

// append appends the line of row i of b, without an end of line.
func (l *line) append(dst []byte, b *pipeline.Batch, i int) []byte {
	for k := range l.parts {
		switch p := &l.parts[k]; p.name {
		case "":
			dst = append(dst, p.text...)
		case timeName:
			dst = l.clock.append(dst, b.Time[i])
		default:
			dst = p.append(dst, b.Column(p.name, i), i)
		}
	}
	return dst
}

func (p *linePart) append(dst []byte, c *pipeline.Column, i int) []byte {
	switch {
	case c == nil:
		return append(dst, '-')
	case c.Kind == pipeline.Text || c.Kind == pipeline.Bytes:
		return appendVisible(dst, c.Text(i))
	case p.decimals >= 0 && c.Kind == pipeline.Float:
		return strconv.AppendFloat(dst, c.Floats[i], 'f', p.decimals, 64)
	case p.decimals >= 0 && c.Kind == pipeline.Int:
		return strconv.AppendFloat(dst, float64(c.Ints[i]), 'f', p.decimals, 64)
	}
	return appendPlain(dst, c, i)
}

// appendVisible appends text in which nothing moves the cursor.
func appendVisible(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 || r < ' ' || r >= 0x7f && r < 0xa0 {
			for _, c := range text[i : i+size] {
				dst = fmt.Appendf(dst, `\x%02x`, c)
			}
		} else {
			dst = append(dst, text[i:i+size]...)
		}
		i += size
	}
	return dst
}
