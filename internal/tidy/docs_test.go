package tidy

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace.dev/millrace/internal/config"
)

// A block is a fenced piece of a Markdown file.
type block struct {
	language string
	line     int // of its first line
	text     string
}

// blocks cuts Markdown into its fenced blocks and what is around them, in
// which inline code is blanked.
func blocks(markdown string) (fenced []block, prose string) {
	var around strings.Builder
	var in *block
	fence := ""
	for i, line := range strings.Split(markdown, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case in == nil && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
			fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, trimmed[:1]))]
			in = &block{language: strings.TrimSpace(trimmed[len(fence):]), line: i + 2}
		case in != nil && strings.HasPrefix(trimmed, fence):
			fenced = append(fenced, *in)
			in = nil
		case in != nil:
			in.text += line + "\n"
		default:
			around.WriteString(line + "\n")
		}
	}
	return fenced, inlineCode.ReplaceAllString(around.String(), "``")
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	pipelines  = regexp.MustCompile(`(?m)^pipelines:`)
	variable   = regexp.MustCompile(`\$\{([A-Z_]+)\}`)
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)(?: "[^"]*")?\)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
)

func TestEveryConfigurationInTheDocsIsRight(t *testing.T) {
	n := 0
	for _, name := range files(t, ".md") {
		fenced, _ := blocks(read(t, name))
		for _, b := range fenced {
			if b.language == "yaml" && pipelines.MatchString(b.text) {
				n++
				parses(t, name, b)
			}
		}
	}
	for _, name := range files(t, ".yaml") {
		if path.Dir(name) == "configs" {
			n++
			parses(t, name, block{line: 1, text: read(t, name)})
		}
	}
	if n < 10 {
		t.Errorf("got %d configurations, want those of docs/pipelines.md at least", n)
	}
}

func parses(t *testing.T, name string, b block) {
	t.Helper()
	for _, v := range variable.FindAllStringSubmatch(b.text, -1) {
		t.Setenv(v[1], "some secret")
	}
	_, err := config.Parse(name, []byte(b.text))
	var ps config.Problems
	if errors.As(err, &ps) {
		t.Errorf("%s: the configuration at line %d:\n%s", name, b.line, ps.Report())
	}
}

func TestEveryExampleHasAScriptTest(t *testing.T) {
	for _, name := range files(t, ".yaml") {
		if path.Dir(name) != "configs" {
			continue
		}
		stem := strings.TrimSuffix(name, ".yaml")
		if !slices.ContainsFunc(files(t, ".txtar"), func(s string) bool {
			return s == stem+".txtar" || strings.HasPrefix(s, stem+"_")
		}) {
			t.Errorf("%s has no script test %s.txtar beside it", name, stem)
		}
	}
}

func TestEveryLinkInTheDocsLeadsSomewhere(t *testing.T) {
	for _, name := range files(t, ".md") {
		for _, target := range deadLinks(name, read(t, name)) {
			t.Errorf("%s links to %s, which is not there", name, target)
		}
	}
}

// deadLinks returns the relative links of a Markdown file whose file or
// heading is not there.
func deadLinks(name, markdown string) []string {
	var dead []string
	_, prose := blocks(markdown)
	for _, m := range linkTarget.FindAllStringSubmatch(prose, -1) {
		target, anchor, _ := strings.Cut(m[1], "#")
		if strings.Contains(target, ":") { // of the net
			continue
		}
		text := markdown
		if target != "" {
			file := filepath.Join(root, path.Dir(name), target)
			info, err := os.Stat(file)
			if err != nil {
				dead = append(dead, m[1])
				continue
			}
			if info.IsDir() || path.Ext(target) != ".md" {
				continue
			}
			b, _ := os.ReadFile(file) // without it, its headings are missing
			text = string(b)
		}
		if anchor != "" && !slices.Contains(anchors(text), anchor) {
			dead = append(dead, m[1])
		}
	}
	return dead
}

// anchors returns the names that a page's headings can be linked by.
func anchors(markdown string) []string {
	var all []string
	seen := map[string]bool{}
	fenced, _ := blocks(markdown)
	for _, b := range fenced {
		markdown = strings.Replace(markdown, b.text, "", 1) // # begins comments there
	}
	for _, m := range heading.FindAllStringSubmatch(markdown, -1) {
		var name strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				name.WriteByte('-')
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				name.WriteRune(r)
			}
		}
		if !seen[name.String()] { // a second one is numbered, and better not linked to
			all = append(all, name.String())
		}
		seen[name.String()] = true
	}
	return all
}

func TestPlantedLinksAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"[a](nowhere.md)":                                       1,
		"[a](../README.md) [b](../README.md#x)":                 1,
		"# A b\n[a](#a-b) [b](#c)":                              1,
		"`[a](nowhere.md)`":                                     0,
		"```\n[a](nowhere.md)\n# c\n```\n[b](#c)":               1,
		"[a](https://example.com/nowhere.md)":                   0,
		"## from: topics, `x` and_y\n[a](#from-topics-x-and_y)": 0,
	} {
		if got := deadLinks("docs/x.md", text); len(got) != want {
			t.Errorf("%q: got %q, want %d", text, got, want)
		}
	}
}

// forbidden are words that mean something on one machine only. They are in
// pieces, for this file is searched, too.
var forbidden = []string{"/wo" + "rk/", "/ro" + "ot/", "/tm" + "p/mr", "/Us" + "ers/", "local" + "host:50" + "00"}

func TestNothingNamesOurMachines(t *testing.T) {
	for _, name := range files(t, "") {
		text := read(t, name)
		for _, word := range forbidden {
			if i := strings.Index(text, word); i >= 0 {
				t.Errorf("%s:%d: has %q", name, strings.Count(text[:i], "\n")+1, word)
			}
		}
	}
}

func TestEveryModuleHasItsSourceBesideIt(t *testing.T) {
	for _, name := range files(t, ".wasm") {
		source := strings.TrimSuffix(name, ".wasm") + ".c"
		if !slices.Contains(files(t, ".c"), source) {
			t.Errorf("%s was built from nothing that is here; want %s", name, source)
		}
	}
}
