package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every configuration has a script, and where it states how much of its
// traffic goes out, that is what the script has.
func TestTheExamplesHaveScriptsAndSaveWhatTheySay(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("got %d examples and %v", len(files), err)
	}
	states := regexp.MustCompile(`(?m)^# Bytes out: (\d+) % of those in`)
	said := 0
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := scriptsOf(path)
		if err != nil || len(pairs) == 0 {
			t.Errorf("%s has no script (%v)", path, err)
			continue
		}
		traffic, err := runScript(context.Background(), pairs[0], false)
		if err != nil {
			var b strings.Builder
			tellFailure(&b, err)
			t.Errorf("%s: %s", path, &b)
			continue
		}
		m := states.FindSubmatch(src)
		if m == nil {
			continue
		}
		said++
		got := strconv.Itoa((100*traffic.Out + traffic.In/2) / traffic.In)
		if want := string(m[1]); got != want {
			t.Errorf("%s: got %s %% of the bytes, it says %s %%", path, got, want)
		}
	}
	if said < 5 {
		t.Errorf("got %d examples that state their saving, want 5", said)
	}
}
