package tidy

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "millrace.dev/millrace/"

// Packages that know nothing of each other but the core.
var level1 = []string{"pipeline", "pipeline/topics", "pipeline/expr", "pipeline/steps", "pipeline/join", "internal/journal", "internal/checkpoint", "internal/metrics", "internal/plant"}

var level2 = append([]string{"broker", "functions", "functions/builtin", "sinks", "internal/decode", "internal/config"}, level1...)

// mayImport is the architecture: what of ours each package may import. A
// package that is not here has no place in the drawing of docs/architecture.md.
var mayImport = map[string][]string{
	"pipeline":            {},
	"pipeline/topics":     {},
	"pipeline/expr":       {"pipeline"},
	"pipeline/join":       {"pipeline"},
	"pipeline/steps":      {"pipeline", "pipeline/topics"},
	"internal/journal":    {},
	"internal/checkpoint": {},
	"internal/metrics":    {},
	"internal/plant":      {},

	"broker":            level1,
	"functions":         append([]string{"functions/builtin"}, level1...),
	"functions/builtin": {},
	"sinks":             level1,
	"sinks/sinktest":    append([]string{"sinks"}, level1...),
	"internal/decode":   level1,
	"internal/config":   level1,

	"internal/node":   level2,
	"internal/script": append([]string{"internal/node"}, level2...),

	"internal/oracle":    {},
	"internal/sim":       {"internal/oracle"},
	"internal/sim/guest": {"internal/config", "internal/node", "internal/oracle"},

	"cmd/millrace": append([]string{"internal/node", "internal/script"}, level2...),

	"internal/tidy": {},
}

// doors has the packages that may import what is outside; tests may import
// any of it.
var doors = map[string][]string{
	"github.com/mochi-mqtt/server/v2":        {"broker"},
	"github.com/eclipse/paho.golang":         {"broker"},
	"github.com/tetratelabs/wazero":          {"functions", "internal/sim"},
	"github.com/influxdata/line-protocol/v2": {"sinks"},
	"github.com/jackc/pgx/v5":                {"sinks"},
	"github.com/nats-io/nats.go":             {"sinks"},
	"github.com/twmb/franz-go":               {"sinks"},
	"github.com/klauspost/compress":          {"sinks"},
	"github.com/nats-io/nats-server/v2":      {}, // a real server for tests
	"github.com/expr-lang/expr":              {"pipeline/expr"},
	"go.yaml.in/yaml/v4":                     {"internal/config"},
	"golang.org/x/crypto":                    {"broker"},
	"golang.org/x/sys":                       {},
	"golang.org/x/term":                      {"cmd/millrace"},
	"golang.org/x/tools/txtar":               {"internal/script"},
	"github.com/rogpeppe/go-internal":        {}, // testscript
	"github.com/santhosh-tekuri/jsonschema":  {}, // holds the schema to the examples
	"github.com/fxamacker/cbor/v2":           {}, // writes what internal/decode reads
	"github.com/vmihailenco/msgpack/v5":      {}, // likewise
	"google.golang.org/protobuf":             {}, // likewise
}

// A listed package is what go list says of one.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func (p *listed) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// isTop reports whether the package stands above all others: it measures or
// builds them, and nothing imports it.
func (p *listed) isTop() bool {
	first, _, _ := strings.Cut(p.name(), "/")
	return first == "bench" || first == "scripts"
}

// wrong returns what the drawing does not allow p to import.
func (p *listed) wrong() []string {
	var found []string
	allowed, known := mayImport[p.name()]
	if !known && !p.isTop() {
		found = append(found, "is not in mayImport: give it a place in the drawing")
	}
	for _, path := range p.Imports {
		ours, isOurs := strings.CutPrefix(path, module)
		door := doorOf(path)
		switch {
		case isStandard(path) || p.isTop() && (isOurs || door != ""):
		case isOurs && !slices.Contains(allowed, ours):
			found = append(found, "imports "+ours+", which the drawing does not allow")
		case !isOurs && !slices.Contains(doors[door], p.name()):
			found = append(found, "imports "+path+", whose door is "+strings.Join(doors[door], ", ")+" (see doors)")
		}
	}
	for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
		if !strings.HasPrefix(path, module) && !isStandard(path) && doorOf(path) == "" {
			found = append(found, "its tests import "+path+", which is not in doors")
		}
	}
	return found
}

func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// doorOf returns the outside library that path belongs to, or "".
func doorOf(path string) string {
	for library := range doors {
		if path == library || strings.HasPrefix(path, library+"/") {
			return library
		}
	}
	return ""
}

func TestImportsFollowTheDrawing(t *testing.T) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); n++ {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		for _, w := range p.wrong() {
			t.Errorf("%s %s", p.name(), w)
		}
	}
	if n < 10 {
		t.Errorf("got %d packages, want them all", n)
	}
}

// The table itself keeps the levels: no arrow points up, none goes round.
func TestTheDrawingHasNoCircle(t *testing.T) {
	left := maps.Clone(mayImport)
	for len(left) > 0 {
		n := len(left)
		for name, imports := range left {
			if !slices.ContainsFunc(imports, func(i string) bool { return left[i] != nil }) {
				delete(left, name)
			}
		}
		if len(left) == n {
			t.Fatalf("packages that import each other: %v", slices.Sorted(maps.Keys(left)))
		}
	}
}

func TestAWrongImportIsFound(t *testing.T) {
	for _, c := range []struct {
		p    listed
		want int
	}{
		{listed{ImportPath: module + "sinks", Imports: []string{"os", module + "pipeline", "github.com/influxdata/line-protocol/v2/lineprotocol"}}, 0},
		{listed{ImportPath: module + "sinks", Imports: []string{module + "broker"}}, 1},
		{listed{ImportPath: module + "pipeline", Imports: []string{module + "pipeline/topics"}}, 1},
		{listed{ImportPath: module + "internal/node", Imports: []string{module + "internal/script"}}, 1},
		{listed{ImportPath: module + "internal/node", Imports: []string{"github.com/tetratelabs/wazero"}}, 1},
		{listed{ImportPath: module + "functions", Imports: []string{"github.com/tetratelabs/wazeroo"}}, 1},
		{listed{ImportPath: module + "util"}, 1},
		{listed{ImportPath: module + "bench/cmd/load", Imports: []string{module + "broker", "github.com/eclipse/paho.golang/paho"}}, 0},
		{listed{ImportPath: module + "bench", Imports: []string{"example.com/x"}}, 1},
		{listed{ImportPath: module + "broker", TestImports: []string{module + "sinks", "github.com/tetratelabs/wazero"}}, 0},
		{listed{ImportPath: module + "broker", XTestImports: []string{"github.com/stretchr/testify/assert"}}, 1},
	} {
		if got := c.p.wrong(); len(got) != c.want {
			t.Errorf("%+v: got %q, want %d", c.p, got, c.want)
		}
	}
}
