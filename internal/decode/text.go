package decode

import (
	"unicode/utf16"
	"unicode/utf8"
)

// text reads the string at p[i], a quote, and returns what it says: a piece
// of p, or of the scratch memory when it has escapes.
func (s *scanner) text(p []byte, i int) ([]byte, int) {
	i++
	for start := i; ; {
		for i < len(p) && plain[p[i]] {
			i++
		}
		switch {
		case i >= len(p):
			return nil, s.fail(i, "it ends inside a text")
		case p[i] == '"':
			return p[start:i], i + 1
		case p[i] == '\\':
			return s.escaped(p, start, i)
		}
		if i = s.letter(p, i); i < 0 {
			return nil, i
		}
	}
}

// plain tells the bytes that stand for themselves in a string: ASCII but for
// control characters, the quote and the backslash.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// letter reads a character outside ASCII.
func (s *scanner) letter(p []byte, i int) int {
	if p[i] < ' ' {
		return s.fail(i, "control character in a text")
	}
	_, size := utf8.DecodeRune(p[i:])
	if size == 1 {
		return s.fail(i, "not UTF-8")
	}
	return i + size
}

// escaped goes on with a string that began at start and has its first
// backslash at i.
func (s *scanner) escaped(p []byte, start, i int) ([]byte, int) {
	from := len(s.scratch)
	s.scratch = append(s.scratch, p[start:i]...)
	for i < len(p) {
		switch c := p[i]; {
		case plain[c]:
			s.scratch = append(s.scratch, c)
			i++
		case c == '"':
			return s.scratch[from:len(s.scratch):len(s.scratch)], i + 1
		case c == '\\':
			if i = s.escape(p, i); i < 0 {
				return nil, i
			}
		default:
			end := s.letter(p, i)
			if end < 0 {
				return nil, end
			}
			s.scratch = append(s.scratch, p[i:end]...)
			i = end
		}
	}
	return nil, s.fail(i, "it ends inside a text")
}

// escape adds what the backslash at p[i] and the characters behind it mean.
func (s *scanner) escape(p []byte, i int) int {
	if i+1 >= len(p) {
		return s.fail(i, "it ends inside a text")
	}
	c := p[i+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode(p, i)
	default:
		return s.fail(i, "unknown escape")
	}
	s.scratch = append(s.scratch, c)
	return i + 2
}

// unicode adds the character that \uXXXX at p[i] stands for, or two of them
// that make a surrogate pair.
func (s *scanner) unicode(p []byte, i int) int {
	r, end := hex4(p, i), i+6
	if utf16.IsSurrogate(r) {
		r, end = utf16.DecodeRune(r, hex4(p, end)), end+6
		if r == utf8.RuneError {
			return s.fail(i, "half of a surrogate pair")
		}
	}
	if r < 0 {
		return s.fail(i, "want four hexadecimal digits after \\u")
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return end
}

// hex4 returns the number in \uXXXX at p[i], or -1.
func hex4(p []byte, i int) rune {
	if i+6 > len(p) || p[i] != '\\' || p[i+1] != 'u' {
		return -1
	}
	r := rune(0)
	for _, c := range p[i+2 : i+6] {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}
