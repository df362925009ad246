package functions

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/millrace/functions/builtin"
	"millrace.dev/millrace/pipeline"
)

// A maker makes a module by hand: the exports of the ABI, each with a body.
type maker struct {
	imports, exports, globals []byte
	imported, exported        int
	bodies                    [][]byte
	memory                    []byte
	table                     []byte
}

// module returns types 0 (i32)→i32, 1 ()→i64, 2 ()→i32, 3 (i32,i32,i32)→(),
// and the functions alloc, describe, state and frame.
func (m maker) module(without string) []byte {
	if m.memory == nil {
		m.memory = []byte{1, 0, 1}
	}
	section := func(id byte, body []byte) []byte {
		return append(appendUint([]byte{id}, uint32(len(body))), body...)
	}
	out := bytes.Clone(coreHeader)
	out = append(out, section(sectionType, []byte{4, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 1, 0x7e, 0x60, 0, 1, 0x7f, 0x60, 3, 0x7f, 0x7f, 0x7f, 0})...)
	if m.imported > 0 {
		out = append(out, section(sectionImport, append([]byte{byte(m.imported)}, m.imports...))...)
	}
	out = append(out, section(sectionFunction, []byte{4, 0, 1, 2, 0})...)
	if m.table != nil {
		out = append(out, section(sectionTable, m.table)...)
	}
	out = append(out, section(sectionMemory, m.memory)...)
	if m.globals != nil {
		out = append(out, section(sectionGlobal, m.globals)...)
	}
	exports := append([]byte(nil), m.exports...)
	count := m.exported
	for k, name := range []string{exportAlloc, exportDescribe, exportState, exportFrame} {
		if name != without {
			exports = append(appendName(exports, name), 0, byte(m.imported+k))
			count++
		}
	}
	if without != exportMemory {
		exports = append(appendName(exports, exportMemory), 2, 0)
		count++
	}
	out = append(out, section(sectionExport, append([]byte{byte(count)}, exports...))...)
	bodies := [][]byte{{0x41, 0}, {0x42, 0}, {0x41, 8}, {0x41, 0}}
	copy(bodies, m.bodies)
	code := []byte{4}
	for _, b := range bodies {
		code = append(appendUint(code, uint32(len(b)+2)), 0)
		code = append(append(code, b...), opEnd)
	}
	return append(out, section(sectionCode, code)...)
}

func imports(kind byte, module, name string, what ...byte) []byte {
	return append(append(appendName(appendName(nil, module), name), kind), what...)
}

func TestWrongModulesAreRefusedInWords(t *testing.T) {
	zscore, _ := builtin.Lookup("zscore")
	r := newRuntime(t, Options{})
	for name, c := range map[string]struct {
		wasm []byte
		want []string
	}{
		"empty":       {nil, []string{"is not WebAssembly", "hint:"}},
		"text":        {[]byte("(module)"), []string{"is not WebAssembly"}},
		"component":   {[]byte("\x00asm\x0d\x00\x01\x00"), []string{"is a component", "wasip2"}},
		"version":     {[]byte("\x00asm\x02\x00\x00\x00"), []string{"unknown version"}},
		"cut":         {zscore[:len(zscore)-3], []string{"not valid", "ends in the middle"}},
		"header only": {coreHeader, []string{"does not export memory, mr1_alloc, mr1_describe, mr1_state, mr1_frame", "hint:"}},
		"no frame":    {maker{}.module(exportFrame), []string{"does not export mr1_frame"}},
		"no memory":   {maker{}.module(exportMemory), []string{"does not export memory"}},
		"signature": {maker{exported: 1, exports: append(appendName(nil, exportFrame), 0, 1)}.module(exportFrame),
			[]string{"exports mr1_frame as () → (i64)", "must be (i32) → (i32)"}},
		"our import":     {maker{imported: 1, imports: imports(0, "millrace", "fuel", 2)}.module(""), []string{"millrace.fuel", "the host's own"}},
		"unknown import": {maker{imported: 1, imports: imports(0, "millrace", "flush", 2)}.module(""), []string{"millrace.flush", "there is millrace.log"}},
		"other import":   {maker{imported: 1, imports: imports(0, "env", "abort", 2)}.module(""), []string{"env.abort", "nothing else"}},
		"wrong log":      {maker{imported: 1, imports: imports(0, "millrace", "log", 2)}.module(""), []string{"millrace.log as () → (i32)", "(i32, i32, i32) → ()"}},
		"wasi socket":    {maker{imported: 1, imports: imports(0, "wasi_snapshot_preview1", "sock_open", 2)}.module(""), []string{"sock_open"}},
		"global import":  {maker{imported: 1, imports: imports(3, "env", "g", 0x7f, 0)}.module(""), []string{"env.g, which is no function"}},
		"own name":       {maker{exported: 1, exports: append(appendName(nil, fuelExport), 0, 0)}.module(""), []string{"__mr_fuel"}},
		"two memories":   {maker{memory: []byte{2, 0, 1, 0, 1}}.module(""), []string{"not valid"}},
		"large memory":   {maker{memory: []byte{1, 0, 0x80, 0x40}}.module(""), []string{"wants 512 MiB of memory, the most is 256 MiB", "hint: raise"}},
		"shared memory":  {maker{memory: []byte{1, 3, 1, 1}}.module(""), []string{"shared"}},
		"large table":    {maker{table: []byte{1, 0x70, 0, 0xff, 0xff, 0xff, 0x7f}}.module(""), []string{"a table has"}},
		"table grow":     {maker{table: []byte{1, 0x70, 0, 1}, bodies: [][]byte{{0xd0, 0x70, 0x41, 1, 0xfc, 15, 0}}}.module(""), []string{"table"}},
		"steals fuel":    {maker{bodies: [][]byte{{0x41, 0, 0x24, 0, 0x41, 0}}}.module(""), []string{"global that is not there"}},
		"mutable vector": {maker{globals: append(append([]byte{1, 0x7b, 1, 0xfd, 12}, make([]byte, 16)...), opEnd)}.module(""), []string{"no number"}},
		"atomic":         {maker{bodies: [][]byte{{0xfe, 3, 0}}}.module(""), []string{"instruction 0xfe"}},
		"no manifest":    {maker{}.module(""), []string{"manifest: the JSON ends in the middle"}},
		"a byte too many": {append(bytes.Clone(maker{bodies: [][]byte{{opLoop, 0x40, 0x0c, 0, opEnd, 0x41, 0}}}.module("")), 0),
			[]string{"ends in the middle"}},
		"describe loops": {maker{bodies: [][]byte{{0x41, 0}, {opLoop, 0x40, 0x0c, 0, opEnd, 0x42, 0}}}.module(""), []string{"mr1_describe: out of steps"}},
	} {
		_, err := r.Load(t.Context(), "./x.wasm", c.wasm)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		checkError(t, err, append(c.want, "function ./x.wasm: ")...)
	}
}

func TestWrongManifestsAreRefusedInWords(t *testing.T) {
	many := strings.Repeat(`{"name":"a","type":"f64"},`, inputsMax+1)
	for text, want := range map[string]string{
		`{`:                               "ends in the middle",
		`{"name":"a"} {}`:                 "follows",
		`{"name":"a","nmae":1}`:           `unknown field "nmae"`,
		`{"name":1}`:                      "cannot unmarshal",
		"{\"name\":\"\xff\"}":             "UTF-8",
		`{}`:                              "name",
		`{"name":"a b"}`:                  `"a b"`,
		`{"name":"a","state":"disk"}`:     "slots or memory",
		`{"name":"a","state_version":-1}`: "state_version -1",
		`{"name":"a","in":[{"name":"x","type":"f32"}]}`:                                                    `in[0] x: type "f32"`,
		`{"name":"a","out":[{"name":"x","type":"text"}]}`:                                                  `out[0] x: type "text"`,
		`{"name":"a","in":[{"name":"x","type":"f64"},{"name":"x","type":"f64"}]}`:                          "in[1]: x is there twice",
		`{"name":"a","in":[{"name":"","type":"f64"}]}`:                                                     "in[0]: name",
		`{"name":"a","in":[` + many[:len(many)-1] + `]}`:                                                   "257 inputs",
		`{"name":"a","params":[{"name":"p","default":3,"max":2}]}`:                                         "default 3 is above the most, 2",
		`{"name":"a","params":[{"name":"p","min":3,"max":2}]}`:                                             "min 3 is above max 2",
		`{"name":"a","params":[{"name":"p"},{"name":"p"}]}`:                                                "params[1]: p is there twice",
		`{"name":"a","params":[{"name":"p","default":1e999}]}`:                                             "cannot unmarshal",
		`{"name":"a","doc":"` + strings.Repeat("x", docBytesMax+1) + `"}`:                                  "too long",
		`{"name":"a"` + strings.Repeat(" ", manifestBytesMax) + `}`:                                        "the most is 65536",
		`{"name":"a","in":[{"name":"x","type":"f64","doc":"` + strings.Repeat("x", docBytesMax+1) + `"}]}`: "doc is too long",
	} {
		_, err := parseManifest([]byte(text))
		if err == nil {
			t.Errorf("%.60s: taken", text)
			continue
		}
		checkError(t, err, want, "manifest: ")
	}
}

func TestABindingSaysWhatIsWrongAndTheWayOut(t *testing.T) {
	m := load(t, newRuntime(t, Options{}), "zscore")
	in := pipeline.Schema{{Name: "temp", Kind: pipeline.Float}, {Name: "device", Kind: pipeline.Text}, {Name: "n", Kind: pipeline.Int}}
	for _, c := range []struct {
		input map[string]string
		with  map[string]float64
		want  []string
	}{
		{nil, nil, []string{`there is no column "value"`, "hint: bind it", "temp, device, n"}},
		{map[string]string{"value": "tmep"}, nil, []string{`no column "tmep"`, `did you mean "temp"?`}},
		{map[string]string{"vlaue": "temp"}, nil, []string{`no input "vlaue"`, `did you mean "value"?`}},
		{map[string]string{"value": "device"}, nil, []string{"input value wants number, and column device is text"}},
		{map[string]string{"value": "temp"}, map[string]float64{"treshold": 3}, []string{`no parameter "treshold"`, `did you mean "threshold"?`}},
		{map[string]string{"value": "temp"}, map[string]float64{"zzz": 3}, []string{`no parameter "zzz"`, "parameters here: threshold, warmup"}},
		{map[string]string{"value": "temp"}, map[string]float64{"threshold": 0}, []string{"parameter threshold: 0 is below the least, 0.1"}},
		{map[string]string{"value": "temp"}, map[string]float64{"threshold": 1001}, []string{"1001 is above the most, 1000"}},
	} {
		_, err := m.Bind(t.Context(), Binding{Input: c.input, With: c.with}, in, pipeline.NewKeys(2))
		checkError(t, err, append(c.want, "function zscore: ")...)
	}
	_, err := m.Bind(t.Context(), Binding{Input: map[string]string{"value": "temp"}, Limits: Limits{Memory: 1000}}, in, pipeline.NewKeys(2))
	checkError(t, err, "function zscore: wants 64 KiB of memory, the most is 1000 bytes", "hint: raise")
	m = load(t, m.runtime, "threshold")
	_, err = m.Bind(t.Context(), Binding{Input: map[string]string{"value": "n"}}, in, pipeline.NewKeys(2))
	checkError(t, err, "function threshold: refuses its parameters: threshold: set above, below or both")
	m = load(t, m.runtime, "window")
	_, err = m.Bind(t.Context(), Binding{}, in, pipeline.NewKeys(2))
	checkError(t, err, "is variadic")
}

func TestADamagedCacheDoesNotStopTheStart(t *testing.T) {
	wasm, _ := builtin.Lookup("zscore")
	dir := filepath.Join(t.TempDir(), "cache")
	loads := func() string {
		var log strings.Builder
		r, err := NewRuntime(t.Context(), Options{CacheDir: dir, Log: textLog(&log)})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close(context.Background())
		for range 2 {
			m, err := r.Load(t.Context(), "zscore", wasm)
			if err != nil {
				t.Fatal(err)
			}
			bind(t, m, Binding{}, readings, pipeline.NewKeys(2)).Close(t.Context())
		}
		return log.String()
	}
	if said := loads(); said != "" {
		t.Errorf("a new cache: got %s", said)
	}
	files := 0
	filepath.Walk(dir, func(path string, info os.FileInfo, _ error) error {
		if !info.IsDir() {
			files++
			b, _ := os.ReadFile(path)
			b[len(b)/2] ^= 0xff
			os.WriteFile(path, b[:len(b)-7], 0o600)
		}
		return nil
	})
	if files == 0 {
		t.Fatal("nothing was kept")
	}
	if said := loads(); strings.Count(said, "cannot be used") > 1 {
		t.Errorf("damaged files: got %s, want at most one line", said)
	}
	if dir = filepath.Join(dir, "file"); os.WriteFile(dir, nil, 0o600) != nil {
		t.Fatal("no file")
	}
	if said := loads(); strings.Count(said, "cannot be used") != 1 {
		t.Errorf("a file in the place of the folder: got %q, want one line", said)
	}
}

func TestARuntimeLogsWhereItIsTold(t *testing.T) {
	r, err := NewRuntime(t.Context(), Options{})
	if err != nil || r.log != slog.Default() {
		t.Errorf("got %v, %v", r, err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
