package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// mustParse returns the file, which has no problem.
func mustParse(t *testing.T, src string) *File {
	t.Helper()
	f, err := Parse("f.yaml", []byte(src))
	if err != nil {
		t.Fatalf("got %v", err)
	}
	return f
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func TestDefaultsStandWhereTheFileSaysNothing(t *testing.T) {
	f := mustParse(t, "pipelines: {p: {from: a, steps: [{window: {tumbling: 1s, fields: {n: count()}}}], to: [{file: {path: x}}]}}")
	p := f.Pipelines[0]
	check(t, "broker", f.Broker, Broker{Listen: []string{"mqtt://:1883"}, Anonymous: "loopback", MaxPacket: 256 << 10, MaxClients: 1000, MaxConnectionsPerAddress: 1000})
	check(t, "http", f.HTTP.Listen, "127.0.0.1:8080")
	check(t, "journal", f.Journal.Memory, Size(64<<20))
	check(t, "functions", f.Functions, Functions{Memory: 16 << 20, Steps: 50_000_000})
	check(t, "log", f.Log, Log{"info", "text"})
	check(t, "simulate", f.Simulate, (*Simulate)(nil))
	check(t, "decode", p.Decode, Decode{Format: "json", Charset: "utf-8", Separator: ","})
	check(t, "time", p.Time, TimeField{Unit: "ms"})
	check(t, "key", len(p.Key), 0)
	check(t, "keys_max", p.KeysMax, 100_000)
	check(t, "lateness", p.Lateness, time.Duration(0))
	check(t, "idle", p.Idle, Idle{After: time.Minute})
	check(t, "durability", p.Durability, "memory")
	check(t, "panes_max", p.Steps[0].Window.PanesMax, 64)
	check(t, "file", *p.To[0].File, FileSink{Path: "x", Format: "ndjson", Rotate: Rotate{Keep: 5}})
}

func TestShortAndLongFormsMeanTheSame(t *testing.T) {
	short := mustParse(t, "pipelines: {p: {from: a, time: ts, key: d, to: [{stdout: }, {influx: h}]}}\nsinks: {h: {influx: {url: 'http://h:1', database: d, measurement: m}}}")
	long := mustParse(t, "pipelines: {p: {from: [a], time: {field: ts, unit: ms}, key: [d], to: [{stdout: {}}, {influx: h}]}}\nsinks: {h: {influx: {url: 'http://h:1', database: d, measurement: m}}}")
	check(t, "pipelines", short.Pipelines, long.Pipelines)
	check(t, "reference", short.Pipelines[0].To[1], Target{Path: "pipelines.p.to[1]", Ref: "h", Kind: "influx"})
	check(t, "named sink", short.Sink("h").Influx.Database, "d")
	check(t, "no sink", short.Sink("g"), (*Target)(nil))
}

func TestTheOrderOfTheFileIsKept(t *testing.T) {
	f := mustParse(t, `
pipelines:
  z: {from: a, to: [{stdout: }]}
  a:
    from: a
    fields: {z: int, a: text}
    steps:
      - window: {tumbling: 1s, fields: {z: p99.9(t), a: median(t), m: count()}}
      - function: f
        input: {z: a, a: z}
        with: {z: 1, a: true, m: -0.5, e: 1e3}
    to: [{stdout: }]
`)
	var names []string
	for _, p := range f.Pipelines {
		names = append(names, p.Name+" "+p.Path)
	}
	check(t, "pipelines", names, []string{"z pipelines.z", "a pipelines.a"})
	p := f.Pipelines[1]
	check(t, "fields", p.Fields, FieldKinds{{"z", "int"}, {"a", "text"}})
	check(t, "aggregates", p.Steps[0].Window.Fields, Aggregates{
		{Name: "z", Op: "quantile", Column: "t", Arg: 0.9990000000000001, Path: "pipelines.a.steps[0].window.fields.z"},
		{Name: "a", Op: "quantile", Column: "t", Arg: 0.5, Path: "pipelines.a.steps[0].window.fields.a"},
		{Name: "m", Op: "count", Path: "pipelines.a.steps[0].window.fields.m"},
	})
	check(t, "input", p.Steps[1].Input, Pairs{{"z", "a"}, {"a", "z"}})
	check(t, "with", p.Steps[1].With, Params{{"z", 1}, {"a", 1}, {"m", -0.5}, {"e", 1000}})
}

func TestWhatIsRightStandsBesideTheProblems(t *testing.T) {
	f, err := Parse("f", []byte("pipelines:\n  a: {from: a, to: [{topic: b}]}\n  ab: {from: c, too: [{topic: d}]}\n  c: {from: e, lateness: 1, to: [{topic: f}]}\n"))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 2 || f == nil || len(f.Pipelines) != 1 || f.Pipelines[0].Name != "a" {
		t.Errorf("got %+v, %v, want pipeline a and two problems", f, err)
	}
}

func TestPathsStartInTheFolderOfTheFile(t *testing.T) {
	f := File{Dir: "/etc/millrace"}
	check(t, "relative", f.Join("users.txt"), filepath.FromSlash("/etc/millrace/users.txt"))
	check(t, "above", f.Join("../data/x"), filepath.FromSlash("/etc/data/x"))
	check(t, "absolute", f.Join("/x"), "/x")
}

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "4096": 4096, "10B": 10, "10MB": 10e6, "10 kB": 10e3, "64MiB": 64 << 20, "1.5KiB": 1536, "1_000": 1000, "2GiB": 2 << 30,
	} {
		got, ok := parseSize(text)
		if !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "+1", "1e3", "inf", "nan", "0x10", "1TB", "1 M", "99999999999GiB", "1.2.3"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%s: got %d, want no size", text, got)
		}
	}
	for size, want := range map[Size]string{0: "0", 1: "1", 1024: "1KiB", 1500: "1500", 64 << 20: "64MiB", 3 << 30: "3GiB"} {
		check(t, "text", size.String(), want)
	}
}

func TestSecretsComeFromTheEnvironmentAndAreNeverPrinted(t *testing.T) {
	t.Setenv("MILLRACE_TEST_TOKEN", "hunter2")
	f := mustParse(t, `
pipelines:
  p:
    from: a
    to:
      - influx: {url: "http://h:1", version: 2, org: o, bucket: b, measurement: m, token: "${MILLRACE_TEST_TOKEN}"}
      - influx: {url: "http://h:1", database: d, measurement: m, user: u, password: hunter2}
`)
	token := f.Pipelines[0].To[0].Influx.Token
	check(t, "token", string(token), "hunter2")
	check(t, "password", string(f.Pipelines[0].To[1].Influx.Password), "hunter2")
	encoded, err := json.Marshal(f.Pipelines)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", token, token, token, token, token, token, token) +
		fmt.Sprintf("%v %+v %#v", *f.Pipelines[0].To[0].Influx, *f.Pipelines[0].To[1].Influx, *f.Pipelines[0].To[1].Influx) + string(encoded) +
		f.Problem("pipelines.p.to[0].influx.token", "x", "").Report() + f.Problem("pipelines.p.to[1].influx.password", "x", "").Report() +
		f.ProblemAt("pipelines.p.to[1].influx.password", 3, "x", "").Report()
	for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2")} {
		if strings.Contains(printed, leak) {
			t.Errorf("got %q in %s", leak, printed)
		}
	}
}

func TestSecretsAreHiddenHoweverTheyAreWritten(t *testing.T) {
	for _, secret := range []string{
		"hunter2", `"hunter2"`, "'hunter2'", "hunter2 # hunter2", "a hunter2", `"a\thunter2"`, `"a\x20hunter2"`, "'it''s hunter2'",
		"|\n            hunter2\n            hunter2", ">-\n            a\n            hunter2", "\"a\n            hunter2\"", "a\n            hunter2",
		"|\n          hunter2", "&hunter2 x", "!hunter2 x", "*hunter2", "@hunter2", "%hunter2", "a: hunter2", "[hunter2]", "{hunter2: hunter2}", "\"hunter2", "ü hunter2",
		"http://me:hunter2@h", "${HOME}hunter2",
	} {
		for _, key := range []string{"token", "password", "pasword", "Tokn", "url"} {
			if key == "url" && !strings.Contains(secret, "@h") {
				continue
			}
			src := "pipelines:\n  p:\n    from: a\n    to:\n      - influx:\n          version: 2\n          " + key + ": " + secret + "\n"
			_, err := Parse("f", []byte(src))
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("got %v", err)
			}
			if report := ps.Report(); strings.Contains(report, "hunter2") {
				t.Errorf("%s: %s\ngot %s", key, secret, report)
			}
		}
	}
}

func TestProblemsPointIntoTexts(t *testing.T) {
	for _, c := range []struct {
		where  string // after "where: "; ^ is before the place
		offset int    // in the value
	}{
		{"^temp > 3", 0},
		{"temp ^> 3", 5},
		{"temp > 3^", 8},
		{"temp > 3^", 99},
		{`"temp ^> 3"`, 5},
		{`"a\tb == \u00e4 ^+ c"`, 10},
		{"'a == ''x'' ^or b'", 9},
		{"größe ^> 3", 8},
		{"größe > 3\n          and ^x", 15},
		{">-\n          temp > 3\n          and ^x", 13},
		{"|\n          temp > 3\n            ^and x", 11},
		{"&anchor temp ^> 3", 5},
	} {
		src := "pipelines:\n  p:\n    from: a\n    steps:\n      - where: " + c.where + "\n    to: [{stdout: }]\n"
		before, _, _ := strings.Cut(src, "^")
		f := mustParse(t, strings.Replace(src, "^", "", 1))
		p := f.ProblemAt("pipelines.p.steps[0].where", c.offset, "here", "")
		lines := strings.Split(before, "\n")
		line, col := len(lines), len([]rune(lines[len(lines)-1]))+1
		if p.Line != line || p.Col != col {
			t.Errorf("%s: got %d:%d, want %d:%d", c.where, p.Line, p.Col, line, col)
		}
	}
}

func TestProblemsFindTheNearestPlace(t *testing.T) {
	f := mustParse(t, "pipelines:\n  p:\n    from: a\n    to:\n      - topic: b\n        qos: 1\n")
	for path, want := range map[string]string{
		"pipelines.p.to[0].qos":         "f.yaml:6:14: x",
		"pipelines.p.to[0].qos#key":     "f.yaml:6:9: x",
		"pipelines.p.to[0].retain":      "f.yaml:5:9: x",
		"pipelines.p.to[0].retain#key":  "f.yaml:5:9: x",
		"pipelines.p.to[7].topic.a.b.c": "f.yaml:5:7: x",
		"pipelines.p#key":               "f.yaml:2:3: x",
		"nowhere":                       "f.yaml:1:1: x",
		"":                              "f.yaml:1:1: x",
	} {
		check(t, path, f.Problem(path, "x", "").Error(), want)
	}
}

func TestALoopIsAllowedWhereItIsSaidSo(t *testing.T) {
	ring := "pipelines: {a: {from: x/+, allow_loop: %v, to: [{topic: 'y/{d}'}]}, b: {from: y/#, allow_loop: %v, to: [{topic: x/1}]}}"
	for _, c := range []struct {
		a, b bool
		want int
	}{{false, false, 1}, {true, false, 0}, {false, true, 0}, {true, true, 0}} {
		_, err := Parse("f", fmt.Appendf(nil, ring, c.a, c.b))
		var ps Problems
		errors.As(err, &ps)
		check(t, fmt.Sprint(c), len(ps), c.want)
	}
}

func TestTwoLoopsAreToldApart(t *testing.T) {
	_, err := Parse("f", []byte(`
pipelines:
  a: {from: a, to: [{topic: b}]}
  b: {from: b, to: [{topic: a}]}
  c: {from: c, to: [{topic: d}], dead_letters: [{topic: c}]}
  d: {from: d, to: [{topic: e}]}
`))
	var ps Problems
	errors.As(err, &ps)
	var got []string
	for _, p := range ps {
		got = append(got, p.Msg)
	}
	check(t, "loops", got, []string{"a loop: a → b → b → a → a", "a loop: c → c → c"})
}

func TestTheClosestWordIsASlipOfTheFingers(t *testing.T) {
	words := []string{"tumbling", "fields", "panes_max"}
	for word, want := range map[string]string{
		"tumblng": "tumbling", "tubmling": "tumbling", "feilds": "fields", "field": "fields", "hopping": "", "": "", "x": "", strings.Repeat("tumbling", 9): "",
	} {
		check(t, word, Closest(word, words), want)
	}
	check(t, "distance", []int{distance("", "abc"), distance("abc", ""), distance("abcd", "acbd"), distance("kitten", "sitting")}, []int{3, 3, 1, 3})
}

func TestSinksTellTheColumnsTheyNeed(t *testing.T) {
	f := mustParse(t, `
pipelines:
  p:
    from: a
    to:
      - {topic: "x/{a}/{b}", fields: [c]}
      - stdout: {line: "{a} {b:.1f}"}
      - stdout:
      - file: {path: x, fields: [a]}
      - influx: {url: "http://h:1", database: d, measurement: "m_{a}", tags: [b], fields: [c]}
`)
	var got []string
	for _, to := range f.Pipelines[0].To {
		got = append(got, fmt.Sprint(to.Label(), to.Names(), to.TakesAll()))
	}
	check(t, "names", got, []string{"topic x/{a}/{b}[a b c] false", "stdout[a b] false", "stdout[] true", "file x[a] false", "influx[a b c] false"})
}
