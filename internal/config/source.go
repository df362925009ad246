package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A source is a file's text and the places of its values.
type source struct {
	file   string
	lines  []string
	shown  []string              // the lines with secrets made unreadable
	hidden int                   // secrets
	values map[string]*yaml.Node // by path
	keys   map[string]*yaml.Node
}

func newSource(file, text string) *source {
	s := &source{file: file, lines: splitLines(text), values: map[string]*yaml.Node{}, keys: map[string]*yaml.Node{}}
	s.shown = append(s.shown, s.lines...)
	return s
}

// splitLines cuts text where the YAML library counts lines.
func splitLines(text string) []string {
	var lines []string
	from := 0
	for i, r := range text {
		switch r {
		case '\r':
			if strings.HasPrefix(text[i+1:], "\n") {
				continue // the pair ends the line, below
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		lines = append(lines, strings.TrimSuffix(text[from:i], "\r"))
		from = i + utf8.RuneLen(r)
	}
	return append(lines, text[from:])
}

// at returns a problem at the start of n.
func (s *source) at(n *yaml.Node, path, msg, hint string) Problem {
	p := Problem{File: s.file, Path: path, Msg: msg, Hint: hint}
	if n != nil {
		s.place(&p, n.Line, n.Column)
	}
	return p
}

// place puts p at a line and column, or the nearest there is.
func (s *source) place(p *Problem, line, col int) {
	last := len(s.lines)
	for line > last && last > 1 && s.lines[last-1] == "" {
		last-- // the end of the file is the end of its last words
	}
	if line > last {
		line, col = last, 1<<30
	}
	p.Line = max(line, 1)
	p.Source = s.shown[p.Line-1]
	p.Col = min(max(col, 1), utf8.RuneCountInString(s.lines[p.Line-1])+1)
}

// find returns the node at path, or the nearest one around it.
func (s *source) find(path string) *yaml.Node {
	if key, ok := strings.CutSuffix(path, "#key"); ok {
		if n := s.keys[key]; n != nil {
			return n
		}
		path = key
	}
	for path != "" {
		if n := s.values[path]; n != nil {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return s.values[""]
}

// Problem returns a problem at the value that path leads to, such as
// pipelines.motors.steps[1].function; "#key" at its end means the key.
func (f *File) Problem(path, msg, hint string) Problem {
	return f.src.at(f.src.find(path), strings.TrimSuffix(path, "#key"), msg, hint)
}

// ProblemAt is Problem inside a text, such as an expression: column counts
// its bytes from 0.
func (f *File) ProblemAt(path string, column int, msg, hint string) Problem {
	n := f.src.find(path)
	p := f.src.at(n, path, msg, hint)
	if n != nil && n.Kind == yaml.ScalarNode && n == f.src.values[path] {
		if at, ok := f.src.walk(n, max(column, 0)); ok {
			f.src.place(&p, at.line+1, at.runes+1)
		}
	}
	return p
}

// A cursor is a place in the lines of a source.
type cursor struct {
	lines       []string
	line, bytes int // from 0
	runes       int // in the line
}

func (c *cursor) rest() string {
	if c.line >= len(c.lines) {
		return ""
	}
	return c.lines[c.line][c.bytes:]
}

func (c *cursor) skip(n int) {
	c.runes += utf8.RuneCountInString(c.rest()[:n])
	c.bytes += n
}

func (c *cursor) nextLine() { c.line, c.bytes, c.runes = c.line+1, 0, 0 }

func (c *cursor) skipSpace() {
	for c.line < len(c.lines) {
		text := strings.TrimLeft(c.rest(), " \t")
		c.skip(len(c.rest()) - len(text))
		if text != "" {
			return
		}
		c.nextLine()
	}
}

// walk goes through the text of scalar n as it is written, up to the byte at
// offset of its value or to its end, and returns where that is.
func (s *source) walk(n *yaml.Node, offset int) (cursor, bool) {
	c := cursor{lines: s.lines, line: n.Line - 1}
	for c.runes < n.Column-1 && c.rest() != "" {
		_, size := utf8.DecodeRuneInString(c.rest())
		c.skip(size)
	}
	for n.Anchor != "" && strings.HasPrefix(c.rest(), "&") || n.Style&yaml.TaggedStyle != 0 && strings.HasPrefix(c.rest(), "!") {
		c.skip(strings.IndexAny(c.rest()+" ", " \t"))
		c.skipSpace()
	}
	switch {
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && c.rest() != "":
		c.skip(1)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.nextLine()
	}
	for i, r := range n.Value {
		if strings.ContainsRune(" \t\n\r\u0085\u2028\u2029", r) {
			c.takeSpace(n.Style)
			continue
		}
		c.skipSpace()
		if i >= offset {
			return c, true
		}
		if !c.take(r, n.Style) {
			return c, false
		}
	}
	return c, true
}

// takeSpace goes over one blank of a value, if it stands here: blanks may be folded.
func (c *cursor) takeSpace(style yaml.Style) {
	switch rest := c.rest(); {
	case rest == "":
	case rest[0] == ' ' || rest[0] == '\t':
		c.skip(1)
	case rest[0] == '\\' && style&yaml.DoubleQuotedStyle != 0:
		c.skip(escapeBytes(rest))
	}
}

// take goes over one character of a value.
func (c *cursor) take(r rune, style yaml.Style) bool {
	rest := c.rest()
	have, size := utf8.DecodeRuneInString(rest)
	switch {
	case rest == "":
		return false
	case have == '\\' && style&yaml.DoubleQuotedStyle != 0:
		size = escapeBytes(rest)
	case have == '\'' && style&yaml.SingleQuotedStyle != 0:
		size = min(2, len(rest))
	case have != r:
		return false
	}
	c.skip(size)
	return true
}

// escapeBytes is the length of the escape that s begins with.
func escapeBytes(s string) int {
	n := 2
	if len(s) > 1 {
		n += map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
		if s[1] >= utf8.RuneSelf {
			_, size := utf8.DecodeRuneInString(s[1:])
			n = 1 + size
		}
	}
	return min(n, len(s))
}

// hideSecrets makes what may be a secret unreadable in the lines that are
// shown, misspelt keys included, and links to it.
func (s *source) hideSecrets(n *yaml.Node, secret bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		if secret && !envRule.MatchString(n.Value) {
			s.hide(n)
		}
	case yaml.AliasNode:
		if secret && n.Alias.Kind == yaml.ScalarNode {
			s.hide(n.Alias)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			s.hideSecrets(key, secret)
			s.hideSecrets(value, secret || isSecret(key.Value) || isURL(key.Value) && hasUser(value))
			if key.Value == "http" {
				s.hideWebhook(value)
			}
		}
	default:
		for _, item := range n.Content {
			s.hideSecrets(item, secret)
		}
	}
}

// hasUser reports whether a URL, or one in a list, may hold a password.
func hasUser(n *yaml.Node) bool {
	return strings.Contains(n.Value, "@") || slices.ContainsFunc(n.Content, hasUser)
}

// hideWebhook hides the URL of an http sink: whoever knows it may write there.
func (s *source) hideWebhook(n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if isURL(n.Content[i].Value) {
			s.hideSecrets(n.Content[i+1], true)
		}
	}
}

// isSecret reports whether a value under key may be a secret.
func isSecret(key string) bool {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "_file") {
		return false
	}
	return strings.Contains(key, "token") || strings.Contains(key, "passw") || strings.Contains(key, "secret") ||
		strings.Contains(key, "authorization") || strings.Contains(key, "cookie") || strings.Contains(key, "api-key") || strings.Contains(key, "apikey") ||
		Closest(key, []string{"token", "password"}) != ""
}

// isURL reports whether a value under key may be a URL, which may hold a password.
func isURL(key string) bool { return Closest(strings.ToLower(key), []string{"url"}) != "" }

// hide makes the text of n unreadable, and the rest of its last line where it
// is not certain that the text ends before.
func (s *source) hide(n *yaml.Node) {
	const most = 100 // it takes time for each
	if s.hidden++; s.hidden > most {
		if s.hidden == most+1 {
			s.shown = make([]string, len(s.lines)) // then none is shown
		}
		return
	}
	end, ok := s.walk(n, len(n.Value))
	ok = ok && end.line < len(s.lines)
	for line := n.Line - 1; line < len(s.lines) && (line <= end.line || !ok); line++ {
		from, to := 0, utf8.RuneCountInString(s.lines[line])
		if line == n.Line-1 {
			from = n.Column - 1
		}
		if ok && line == end.line && endsAt(n, &end) {
			to = end.runes
		}
		s.mask(line, from, to)
	}
}

// endsAt reports whether the text of n ends at c without a doubt.
func endsAt(n *yaml.Node, c *cursor) bool {
	if c.line != n.Line-1 {
		return false
	}
	switch n.Style {
	case 0:
		return !strings.HasPrefix(strings.TrimLeft(c.rest(), " \t"), "#")
	case yaml.SingleQuotedStyle:
		return strings.HasPrefix(c.rest(), "'")
	case yaml.DoubleQuotedStyle:
		return strings.HasPrefix(c.rest(), `"`)
	}
	return false
}

func (s *source) mask(line, from, to int) {
	runes := []rune(s.shown[line])
	for i := from; i < min(to, len(runes)); i++ {
		runes[i] = '•'
	}
	s.shown[line] = string(runes)
}

var keyRule = regexp.MustCompile(`([A-Za-z0-9_-]+)["']?[ \t]*:`)

// hideAfterKeys is hideSecrets for a text that is not YAML: all that follows
// the key of a secret, up to the next line with a key.
func (s *source) hideAfterKeys() {
	secret := false
	for i, line := range s.lines {
		from := 0
		keys := keyRule.FindAllStringSubmatchIndex(line, -1)
		if len(keys) > 0 {
			secret = false
		}
		for _, at := range keys {
			key := line[at[2]:at[3]]
			if secret = isSecret(key) || isURL(key) && strings.ContainsAny(line[at[1]:], "@/"); secret {
				from = utf8.RuneCountInString(line[:at[1]])
				break
			}
		}
		if secret {
			s.mask(i, from, len(line))
		}
	}
}
