package decode

import "encoding/binary"

// The payloads of one source look alike. So the members of an object are first
// compared with those of the last object at the same place, as they were
// written, and plain values are read without asking what else they might be.

// A guess is a member of the last object at a node: as it was written, from
// the { or , up to the value, and where it led.
type guess struct {
	written []byte
	child   *node

	words, masks [2]uint64 // of up to 16 bytes: they are compared as two words
}

// The members of an object that are remembered, and the most bytes of one.
const (
	guessesMax    = 64
	guessBytesMax = 128
)

// never is how no member is written.
var never = []byte{0}

// guess remembers member k.
func (n *node) guess(k int, written []byte, child *node) {
	if k > len(n.guesses) || k >= guessesMax {
		return
	}
	if len(written) > guessBytesMax {
		written = never
	}
	if k == len(n.guesses) {
		n.guesses = append(n.guesses, guess{})
	}
	g := &n.guesses[k]
	g.written, g.child = append(g.written[:0], written...), child
	var bytes, mask [16]byte
	for i := range mask[:copy(bytes[:], written)] {
		mask[i] = 0xff
	}
	g.words = [2]uint64{binary.LittleEndian.Uint64(bytes[:]), binary.LittleEndian.Uint64(bytes[8:])}
	g.masks = [2]uint64{binary.LittleEndian.Uint64(mask[:]), binary.LittleEndian.Uint64(mask[8:])}
}

// begins reports whether p begins as the member was written.
func (g *guess) begins(p []byte) bool {
	n := len(g.written)
	switch {
	case n <= 8 && len(p) >= 8:
		return (binary.LittleEndian.Uint64(p)^g.words[0])&g.masks[0] == 0
	case n <= 16 && len(p) >= 16:
		return (binary.LittleEndian.Uint64(p)^g.words[0])&g.masks[0]|(binary.LittleEndian.Uint64(p[8:])^g.words[1])&g.masks[1] == 0
	}
	return n <= len(p) && string(p[:n]) == string(g.written)
}

// alike reads an object from member k on, as long as it is written as the last
// one at n was and its values are plain; p[i] is the { or , before the member.
// It returns the first member that differs and the place before it, or -1 and
// the place behind the object.
func (s *scanner) alike(p []byte, i int, n *node, k int) (int, int) {
	if n == nil {
		return k, i
	}
	q := p[i:]
	for ; k < len(n.guesses); k++ {
		g := &n.guesses[k]
		if !g.begins(q) || !g.child.isLeaf() {
			break
		}
		var v *slot
		if g.child != nil {
			v = g.child.slot
		}
		rest := q[len(g.written):]
		end := s.plainValue(rest, v)
		if end == 0 {
			break
		}
		if q = rest[end:]; q[0] == '}' {
			return -1, len(p) - len(q) + 1
		}
	}
	return k, len(p) - len(q)
}

// isLeaf reports whether nothing is wanted below n, nil where nothing at all
// is wanted.
func (n *node) isLeaf() bool { return n == nil || n.names == nil && n.items == nil }

// plainValue reads the text, number or bool at the beginning of p for v, nil
// where nobody wants it, and returns where it ends; 0 if it is none of them,
// plain and with a comma or brace behind it, and then nothing is done.
func (s *scanner) plainValue(p []byte, v *slot) int {
	if len(p) > 0 && p[0] == '"' {
		return s.plainText(p, v)
	}
	if len(p) > 0 && p[0] > '9' {
		return s.plainBool(p, v)
	}
	if v == nil {
		return plainNumber(p)
	}
	m, i, exp := uint64(0), 0, 0
	if len(p) > 8 && p[7]-'0' <= 9 {
		m, i = eightDigits(p)
	}
	for ; uint(i) < uint(len(p)) && p[i]-'0' <= 9; i++ {
		m = m*10 + uint64(p[i]-'0')
	}
	if i == 0 || p[0] == '0' && i > 1 {
		return 0
	}
	if uint(i) < uint(len(p)) && p[i] == '.' {
		point := i + 1
		for i++; uint(i) < uint(len(p)) && p[i]-'0' <= 9; i++ {
			m = m*10 + uint64(p[i]-'0')
		}
		if exp = point - i; exp == 0 {
			return 0
		}
	}
	if uint(i) >= uint(len(p)) || p[i] != ',' && p[i] != '}' || i > digitsMax {
		return 0
	}
	v.set(s, number).raw = p[:i]
	v.num = decimal{mantissa: m, exp: exp, whole: true}
	return i
}

// plainNumber is plainValue for a number that nobody wants.
func plainNumber(p []byte) int {
	i := 0
	for uint(i) < uint(len(p)) && p[i]-'0' <= 9 {
		i++
	}
	if i == 0 || p[0] == '0' && i > 1 {
		return 0
	}
	if uint(i) < uint(len(p)) && p[i] == '.' {
		point := i + 1
		for i++; uint(i) < uint(len(p)) && p[i]-'0' <= 9; {
			i++
		}
		if i == point {
			return 0
		}
	}
	if uint(i) >= uint(len(p)) || p[i] != ',' && p[i] != '}' {
		return 0
	}
	return i
}

// plainText is plainValue for a text.
func (s *scanner) plainText(p []byte, v *slot) int {
	i := 1
	for uint(i) < uint(len(p)) && plain[p[i]] {
		i++
	}
	if i+1 >= len(p) || p[i] != '"' || p[i+1] != ',' && p[i+1] != '}' {
		return 0
	}
	if v != nil {
		v.set(s, text).raw = p[1:i]
	}
	return i + 1
}

// plainBool is plainValue for true and false.
func (s *scanner) plainBool(p []byte, v *slot) int {
	end := 0
	switch {
	case len(p) > 4 && string(p[:4]) == "true":
		end = 4
	case len(p) > 5 && string(p[:5]) == "false":
		end = 5
	}
	if end == 0 || p[end] != ',' && p[end] != '}' {
		return 0
	}
	if v != nil {
		v.set(s, truth).truth = end == 4
	}
	return end
}

// eightDigits returns the number that the first eight bytes of p are, and 8;
// or 0 and 0 if one of them is no digit. The digits are joined in one word, in
// pairs, fours and eights: Daniel Lemire, Number Parsing at a Gigabyte per
// Second, Software: Practice and Experience 51 (2021).
func eightDigits(p []byte) (uint64, int) {
	w := binary.LittleEndian.Uint64(p)
	if w&0xf0f0f0f0f0f0f0f0|(w+0x0606060606060606)&0xf0f0f0f0f0f0f0f0>>4 != 0x3333333333333333 {
		return 0, 0
	}
	w -= 0x3030303030303030
	w = w*10 + w>>8
	return (w&0x000000ff000000ff*(100+1000000<<32) + w>>16&0x000000ff000000ff*(1+10000<<32)) >> 32, 8
}
