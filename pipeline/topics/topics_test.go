package topics

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatIsNoFilterIsRefusedWithTheReason(t *testing.T) {
	deep := strings.Repeat("a/", LevelsMax-1)
	for _, c := range []struct{ filter, want string }{
		{"", "filter is empty"},
		{"a/#/b", "# is only allowed as the last level"},
		{"a/b#", "a wildcard stands alone"},
		{"a/b+/c", "a wildcard stands alone"},
		{"a/{b", "a wildcard stands alone"},
		{"a/{}", `"" is not a name`},
		{"a/{B}", `"B" is not a name`},
		{"a/{1a}", `"1a" is not a name`},
		{"a/{x}/{x}", `level "x" is named twice`},
		{"a\x00b", "NUL"},
		{"a\xff", "not UTF-8"},
		{strings.Repeat("a", BytesMax+1), "513 bytes long; the most is 512"},
		{deep + "a/a", "33 levels; the most is 32"},
	} {
		_, err := ParseFilter(c.filter)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.filter, err, c.want)
		}
	}
	for _, filter := range []string{strings.Repeat("a", BytesMax), deep + "a", "/", "#", "+", "a/{b_1}/+/#"} {
		if _, err := ParseFilter(filter); err != nil {
			t.Errorf("%q: %v", filter, err)
		}
	}
}

func TestNamedLevelsHaveTheirPlaces(t *testing.T) {
	f, err := ParseFilter("plant/{line}/+/{device}/#")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Levels(), []Level{{"line", 1}, {"device", 3}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := f.MQTT(), "plant/+/+/+/#"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := f.String(), "plant/{line}/+/{device}/#"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestATopicHasNoWildcards(t *testing.T) {
	for _, topic := range []string{"a/+", "#", "", "a\x00", strings.Repeat("/", LevelsMax)} {
		if ValidTopic([]byte(topic)) == nil {
			t.Errorf("%q passes", topic)
		}
	}
	if err := ValidTopic([]byte("a//{b}/$c")); err != nil {
		t.Error(err)
	}
}

func TestATemplateMakesTopicsFromRows(t *testing.T) {
	c, err := CompileTemplate("alerts/{line}/x{device}y")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Names(), []string{"line", "device"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := c.Filter(), "alerts/+/+"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	row := map[string]string{"line": "a", "device": "m1"}
	value := func(name string) ([]byte, bool) { v, ok := row[name]; return []byte(v), ok }
	got, err := c.Append([]byte("> "), value)
	if err != nil || string(got) != "> alerts/a/xm1y" {
		t.Errorf("got %q and %v", got, err)
	}
	for _, bad := range []string{"", "a/b", "+", "#", "\x00", "\xff", strings.Repeat("a", BytesMax)} {
		row["device"] = bad
		if got, err := c.Append([]byte("> "), value); err == nil || string(got) != "> " {
			t.Errorf("%.20q: got %.40q and %v, want an error", bad, got, err)
		}
	}
	delete(row, "device")
	if _, err := c.Append(nil, value); err == nil || !strings.Contains(err.Error(), "device has no value") {
		t.Errorf("got %v, want the column that has no value", err)
	}
}

func TestWhatIsNoTemplateIsRefused(t *testing.T) {
	for _, s := range []string{"", "a/#", "a/+/b", "a/{b", "a/b}", "a/{}", "a/{b/c}", "a/{{b}}"} {
		if _, err := CompileTemplate(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}
