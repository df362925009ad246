package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("millrace.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("millrace.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate checks a configuration as an editor would.
func validate(t *testing.T, s *jsonschema.Schema, src []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestEveryExampleFitsTheSchema(t *testing.T) {
	s := compiledSchema(t)
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("got %d examples and %v", len(files), err)
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, src); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestWhatTheDocsShowFitsTheSchema(t *testing.T) {
	s := compiledSchema(t)
	doc, err := os.ReadFile("../../docs/pipelines.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for part := range strings.SplitSeq(string(doc), "```yaml\n") {
		src, _, found := strings.Cut(part, "```")
		if !found || !strings.HasPrefix(src, "pipelines:") {
			continue
		}
		shown++
		if err := validate(t, s, []byte(src)); err != nil {
			t.Errorf("%v\n%s", err, src)
		}
	}
	if shown < 5 {
		t.Errorf("got %d examples in the docs", shown)
	}
}

func TestTheSchemaRefusesWhatIsWrong(t *testing.T) {
	s := compiledSchema(t)
	const good = "brokers: {b: {url: mqtt://h, version: 5}}\npipelines: {q: {from: {mqtt: b, topic: x/#}, to: [{mqtt: b, topic: y}]}, p: {from: a/#, steps: [{where: x > 1}], to: [{topic: b, qos: 1}, {file: {path: x}}, {stdout: }]}}\n"
	if err := validate(t, s, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ old, new string }{
		{"pipelines:", "pipeline:"}, {"from:", "form:"}, {"version: 5", "version: 4"}, {"url:", "uri:"}, {"topic: x/#", "topik: x/#"}, {"where:", "wehre:"}, {"qos: 1", "qos: 3"}, {"qos: 1", `qos: "1"`},
		{"topic: b", "topik: b"}, {"path:", "pfad:"}, {"{where: x > 1}", "x"}, {"from: a/#", "from: a/#, lateness: 5"},
		{"from: a/#", "from: a/#, durability: eternal"}, {"from: a/#", "from: a/#, fields: {x: float}"},
	} {
		src := strings.Replace(good, bad.old, bad.new, 1)
		if src == good {
			t.Fatalf("%q is not there", bad.old)
		}
		if validate(t, s, []byte(src)) == nil {
			t.Errorf("%s fits", src)
		}
	}
}
