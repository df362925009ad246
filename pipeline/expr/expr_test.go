package expr

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// seeded returns a random source and prints the seed that makes it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var schema = pipeline.Schema{
	{Name: "f", Kind: pipeline.Float}, {Name: "g", Kind: pipeline.Float}, {Name: "i", Kind: pipeline.Int}, {Name: "j", Kind: pipeline.Int},
	{Name: "b", Kind: pipeline.Bool}, {Name: "c", Kind: pipeline.Bool}, {Name: "s", Kind: pipeline.Text}, {Name: "t", Kind: pipeline.Text},
	{Name: "m.x", Kind: pipeline.Float}, {Name: "r[0].t", Kind: pipeline.Float}, {Name: "oil-temp", Kind: pipeline.Float}, {Name: "max", Kind: pipeline.Float},
	{Name: "raw", Kind: pipeline.Bytes},
}

// add appends a row with these values; nil is none.
func add(b *pipeline.Batch, values ...any) {
	b.AppendRow(pipeline.Row{})
	for k := range b.Columns {
		c := &b.Columns[k]
		if k >= len(values) || values[k] == nil {
			c.AppendNull()
			continue
		}
		switch v := values[k].(type) {
		case float64:
			c.AppendFloat(v)
		case int:
			c.AppendInt(int64(v))
		case bool:
			c.AppendBool(v)
		case string:
			c.AppendText([]byte(v))
		}
	}
}

// at returns row i of c as the value that expr-lang has for it.
func at(c *pipeline.Column, i int) any {
	if !c.Has(i) {
		return nil
	}
	return value(c, i)
}

func mustCompile(t testing.TB, src string) *Program {
	t.Helper()
	p, err := Compile(src, schema)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return p
}

func TestExpressionsHaveTheseValues(t *testing.T) {
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	add(b, 1.5, nil, 7, 0, true, nil, "héllo-x", "m1", 2.0, 3.0, 4.0, 5.0, "raw")
	for src, want := range map[string]any{
		"f > 1": true, "1 < f and f < 2": true, "1 < f < 2": true, "not (f > 1)": false, "f + i": 8.5, "i / 2": 3.5, "i % 4": int64(3), "i % j": nil, "f % 1": 0.5,
		"g > 1": nil, "g + 1": nil, "-g": nil, "not c": nil, "g == nil": true, "g != nil": false, "f == nil": false, "nil == g": true, "nil == nil": true,
		"c and false": false, "c and true": nil, "c or true": true, "c or false": nil, "b or c": true, "c and not b": false,
		"g ?? 3": 3.0, "f ?? 3": 1.5, "(g ?? 1) > 0": true, "b ? f : i": 1.5, "c ? 1 : 2": nil, "b ? nil : 1": nil, "f > 1 ? s : t": "héllo-x", "if b { 1 } else { 2 }": int64(1),
		"i in [1, 7]": true, "i in [1.5, 7.0]": true, "f in [1, 2]": false, "g in [1]": nil, "f in [f, 3]": true, "i in 1..7": true, "f in 1..7": false, "s in []": false, "c in []": nil,
		`t in ["m1", "m2"]`: true, `t not in ["a","b","c","d","e","f","g","h","i","m1"]`: false, "b in [true]": true, "i in [j, g]": nil,
		`s contains "llo"`: true, `s startsWith "h"`: true, `s endsWith t`: false, `s matches "^h.llo"`: true, `not (s matches "z")`: true, "s < t": true, `t == "m1"`: true, `"m1" != t`: false,
		"len(s)": int64(7), "s + t": "héllo-xm1", "upper(t)": "M1", `split(s, "-")[1]`: "x", `len(split(s, "-"))`: int64(2), "t[0:1]": "m", "s[0:2]": nil, `split(s, "-")[9]`: nil,
		`string(i) + "!"`: "7!", "string(f)": "1.5", "int(f)": int64(1), `int("x")`: nil, `int("9007199254740993")`: int64(9007199254740993), `float("1.5") + 1`: 2.5, "float(t)": nil,
		"abs(-f)": 1.5, "abs(-i)": int64(7), "round(f)": 2.0, "floor(-f)": -2.0, "ceil(i)": 7.0, "max(f, i, 2)": 7.0, "min(i, j)": int64(0), "max(f, g)": nil, "int(1e300)": nil,
		"m.x": 2.0, "m?.x": 2.0, "r[0].t": 3.0, `$env["oil-temp"] + max`: 9.0, "max(max, 1)": 5.0, `raw == "raw"`: true, `raw contains "a"`: true,
		"let x = f * 2; x > 2 and x < 4": true, "let f = 1; let g = f + 1; f + g": int64(3), "t | upper()": "M1", "1767225600000 > i": true, "1_767_225_600_000": int64(1767225600000), "0xFFFFFFFFFF": int64(0xFFFFFFFFFF),
		"i == 9007199254740993": false, "2 ** 10": 1024.0, "-2 ^ 2": -4.0, "1 / 0": math.Inf(1), "0 / 0 == 0 / 0": false, "5 % 0": nil, "1.5e3 // a comment": 1500.0,
		"trim(' a ') == 'a'": true, "hasPrefix(t, 'm')": true, "indexOf(s, '-')": int64(6), `join(split(s, "-"), "+")`: "héllo+x", "(b)": true, "9223372036854775807 + 1": int64(math.MinInt64),
	} {
		if got := at(mustCompile(t, src).Eval(b), 0); got != want {
			t.Errorf("%s: got %v (%T), want %v (%T)", src, got, got, want, want)
		}
	}
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ src, at, msg, hint string }{
		{"f > ", "", "the expression ends too early", ""},
		{"", "", "the expression is empty", ""},
		{"(f > 1", "", "the expression ends too early", ""},
		{"f = 1", "= 1", `unexpected "="`, "compare with =="},
		{"f > 1 AND i > 2", "AND", `unexpected "AND"`, "and, or, not, in are written in lower case and stand between two values"},
		{"f > 1 )", ")", `unexpected ")"`, ""},
		{"é@f", "@", "unknown character '@'", ""},
		{`t == "x`, "", "a text has no closing quote", ""},
		{"f > 12x", "x", `not a number: "12x"`, "a text stands in quotes"},
		{"i > 99999999999999999999", "", "number is too large", ""},
		{"é > 1", "é", "unknown name é", ""},
		{"f > 1 and temp > 1", "temp", "unknown name temp", ""},
		{"f > 1767225600000 and mac > 1", "mac", "unknown name mac", "did you mean max?"},
		{"oil_temp > 1", "oil_temp", "unknown name oil_temp", `did you mean $env["oil-temp"]?`},
		{"m.y > 1", "m.y", "unknown name m.y", "did you mean m.x?"},
		{`f == "x"`, `== "x"`, "== cannot compare a number with a text", ""},
		{"b > true", "> true", "> cannot compare true or false with true or false", ""},
		{"f > nil", "> nil", "> cannot compare a number with nil", ""},
		{"not f > 1", "not", "not wants true or false, and this is a number", "not binds tightly: write not (a > b)"},
		{"f and b", "and", "and wants true or false on both sides, and here are a number and true or false", ""},
		{`f + t`, "+", "+ wants numbers, and here are a number and a text", "string(x) makes a text of a number, float(x) a number of a text"},
		{`f contains "x"`, "contains", "contains wants texts on both sides, and here are a number and a text", ""},
		{`t matches "("`, `"("`, "not a regular expression: error parsing regexp: missing closing ): `(`", ""},
		{`t matches s`, "s", "a regular expression must be a text in quotes", ""},
		{`f in ["a"]`, `"a"`, "in cannot find a number in a list with a text", ""},
		{`f in t`, `in t`, "in wants a list or a range behind it", `such as in ["a", "b"] or in 1..9`},
		{`f in 1..j`, `in`, "a range is of whole numbers, for a number", "such as n in 1..9"},
		{"b ? 1 : t", "b", "the two outcomes are a whole number and a text", ""},
		{"f ? 1 : 2", "f", "a condition is true or false, and this is a number", ""},
		{"f ?? t", "??", "?? wants two of a kind, and here are a number and a text", ""},
		{"all([1], # > 0)", "all", "all is not possible here, because it loops", "a window counts, sums and averages; a function does anything"},
		{"f > 0 and count(1..9, # > 1) > 0", "count", "count is not possible here, because it loops", "a window counts, sums and averages; a function does anything"},
		{"now() > f", "now", "now is not possible here: expressions know no clock and no calendar", ""},
		{"rond(f) > 1", "rond", "there is no function rond", "did you mean round?"},
		{"f(1)", "f", "f is a column, not a function", ""},
		{"bitand(i, 1)", "bitand", "there is no function bitand here", ""},
		{"round(f, 2)", "round", "round takes one value, and here are 2", ""},
		{"abs(t)", "abs", "abs wants a number, and this is a text", ""},
		{"upper(f)", "upper", "upper does not go with these values a number", ""},
		{"upper(t, t, t)", "upper", "wrong number of values for upper", ""},
		{`split(t, "-")`, "split", "a list is no value for a row", `take one of it, such as split(x, "-")[0]`},
		{"[1, 2]", "[", "a list can only stand behind in", ""},
		{"{a: 1}", "{", "this cannot be computed here", ""},
		{"nil", "nil", "this is always nil", ""},
		{"nil ?? nil", "??", "?? wants two of a kind, and here are nil and nil", ""},
		{"f ?? g > 1", ">", "?? and another operator need parentheses to tell which comes first", ""},
		{"f > 1; f > 2", "", "this cannot be computed here", ""},
		{"$env", "$env", "unknown name $env", ""},
	} {
		_, err := Compile(c.src, schema)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v, want an *Error", c.src, err)
			continue
		}
		if e.Msg != c.msg || c.hint != "" && e.Hint != c.hint {
			t.Errorf("%s: got %q, hint %q, want %q, hint %q", c.src, e.Msg, e.Hint, c.msg, c.hint)
		}
		if c.at != "" && !strings.HasPrefix(c.src[e.Column:], c.at) {
			t.Errorf("%s: %s: got column %d, want that of %q", c.src, e.Msg, e.Column, c.at)
		}
	}
	_, err := NewWhere("f", schema)
	if err == nil || err.Error() != "where wants true or false, and this is a number; compare it, such as with > 30" {
		t.Errorf("got %v", err)
	}
}

func TestKindsAreInferredFromUse(t *testing.T) {
	const number, text, truth = pipeline.Float, pipeline.Text, pipeline.Bool
	for src, want := range map[string]map[string]pipeline.Kind{
		"temp > 30":                             {"temp": number},
		"anomaly":                               {"anomaly": truth},
		"not ok and a or b == true":             {"ok": truth, "a": truth, "b": truth},
		`device == "m1" or temp > 3`:            {"device": text, "temp": number},
		"a == b":                                {"a": number, "b": number},
		`a == b and b == c and c == "x"`:        {"a": text, "b": text, "c": text},
		"a < b and b + 1 > 0":                   {"a": number, "b": number},
		`a in ["x"] and b in [1] and c in 1..2`: {"a": text, "b": number, "c": number},
		"a ?? b > 1 ? c : d":                    nil, // not an expression
		"(a ?? b) > 1 ? c : d":                  {"a": number, "b": number, "c": truth, "d": truth},
		`m.x > 1 and r[0].t == "x" and $env["oil-temp"] > 3`: {"m.x": number, "r[0].t": text, "oil-temp": number},
		`upper(a) == "X" and len(b) > 1 and abs(c) > d`:      {"a": text, "b": text, "c": number, "d": number},
		`a + "x" == b`:               {"a": text, "b": text},
		"a + b + c + d > 1":          {"a": number, "b": number, "c": number, "d": number},
		"let x = a * 2; x > y":       {"a": number, "y": number},
		`split(a, "-")[0] == b`:      {"a": text, "b": number},
		"a[0:2] == nil and b == nil": {"a": text, "b": number},
	} {
		got, err := Infer(src)
		if (err != nil) != (want == nil) || err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v %v, want %v", src, got, err, want)
		}
	}
}

func TestLongExpressionsAreRefusedAndDeepOnesAreNot(t *testing.T) {
	sum := "f > 0" + strings.Repeat(" ", BytesMax-5)
	if _, err := Compile(sum, schema); err != nil {
		t.Errorf("got %v, want none", err)
	}
	if _, err := Compile(sum+" ", schema); err == nil || !strings.Contains(err.Error(), "4097 bytes, the most is 4096") {
		t.Errorf("got %v", err)
	}
	for _, src := range []string{
		strings.Repeat("(", 2000) + "f" + strings.Repeat(")", 2000), strings.Repeat("-", 4000) + "f", strings.Repeat("not ", 1000) + "b", "f" + strings.Repeat("+f", 2000),
		"s" + strings.Repeat("+s", 2000), "f" + strings.Repeat("<f", 2000), strings.Repeat("b?f:", 1000) + "f", "f" + strings.Repeat("??f", 1300),
	} {
		if _, err := Compile(src, schema); err != nil {
			t.Errorf("%s…: got %v", src[:20], err)
		}
		if _, err := Infer(src); err != nil {
			t.Errorf("%s…: got %v", src[:20], err)
		}
	}
	nested := "b"
	for range 100 {
		nested = "(f<(" + nested + "?f:f)<f)" // the middle is looked at twice, and what is in it four times
	}
	for _, err := range []error{func() error { _, err := Compile(nested, schema); return err }(), func() error { _, err := Infer(nested); return err }()} {
		if err == nil || !strings.Contains(err.Error(), "too many parts") {
			t.Errorf("got %v, want too many parts", err)
		}
	}
}

func TestComputedTextsAreLimited(t *testing.T) {
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	add(b, 1.0, nil, nil, nil, nil, nil, strings.Repeat("x", TextBytesMax-1), "yy")
	for src, want := range map[string]bool{`s + "z"`: true, "s + t": false, `replace(s, "x", "yy")`: false, "upper(s)": true} {
		if got := mustCompile(t, src).Eval(b).Has(0); got != want {
			t.Errorf("%s: got a value %v, want %v", src, got, want)
		}
	}
}

func TestWhereKeepsWhatIsTrue(t *testing.T) {
	b := pipeline.NewBatch(schema, pipeline.NewKeys(1))
	for i := range 100 {
		if i%3 == 0 {
			add(b, nil, float64(i))
		} else {
			add(b, float64(i), float64(i))
		}
	}
	w, err := NewWhere("f > 50 or g == 3", schema)
	if err != nil {
		t.Fatal(err)
	}
	var out pipeline.Outputs
	if err := w.Process(b, &out); err != nil || out.Main != b {
		t.Fatalf("got %v %v", out.Main, err)
	}
	want := []float64{3}
	for i := 51; i < 100; i++ {
		if i%3 != 0 {
			want = append(want, float64(i))
		}
	}
	if got := fmt.Sprint(b.Columns[1].Floats); got != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b.Reset()
	if err := w.Process(b, &out); err != nil || b.Rows() != 0 {
		t.Errorf("an empty batch: got %d rows, %v", b.Rows(), err)
	}
}

func TestKernelsAllocateNothing(t *testing.T) {
	r := seeded(t)
	b, work := pipeline.NewBatch(schema, pipeline.NewKeys(1)), pipeline.NewBatch(schema, pipeline.NewKeys(1))
	randomRows(r, b, 256, true)
	for _, src := range []string{
		"f > 30", "f > -40 and f < 150", `t == "m1" or f > 3`, `s in ["a","b"] and t not in ["1","2","3","4","5","6","7","8","9"]`, "i * 2 + f / 3 - abs(g) > max(i, j) % 7",
		`s contains "a" or s startsWith t or s + t == "x" or len(s) > 3`, "f == nil or (g ?? 3) > 1 or (b ? f : g) > 1", "let x = f + 1; x > 1 and not (x < 0)", "float(t) > 1 or int(f) in 1..3",
	} {
		w, err := NewWhere(src, schema)
		if err != nil {
			t.Fatal(err)
		}
		var out pipeline.Outputs
		run := func() {
			work.CopyFrom(b)
			w.Process(work, &out)
		}
		run()
		want := 0.0
		if strings.Contains(src, "float(t)") {
			want = 256 // the error of a text that is no number
		}
		if got := testing.AllocsPerRun(20, run); got > want*4 {
			t.Errorf("%s: got %v allocations, want %v", src, got, want)
		}
	}
}

func TestRemaindersAreThoseOfADivision(t *testing.T) {
	r := seeded(t)
	edges := []int64{1, 2, 3, 5, 7, 10, 60, 64, 1000, 1<<31 - 1, 1 << 31, 1<<32 + 1, 1<<62 - 1, 1 << 62, 1<<62 + 1, math.MaxInt64 - 1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1}
	x := []int64{0}
	for _, e := range edges {
		x = append(x, e, -e, e-1, e+1, 2*e, 3*e, 3*e-1)
	}
	for range 200 {
		x = append(x, int64(r.Uint64())>>r.IntN(64))
		edges = append(edges, int64(r.Uint64())>>r.IntN(64))
	}
	positive := slices.DeleteFunc(slices.Clone(x), func(v int64) bool { return v < 0 })
	for _, d := range edges {
		for _, d := range []int64{d, -d} {
			if d == 0 {
				continue
			}
			for _, x := range [][]int64{x, positive} {
				out := make([]int64, len(x))
				remainders(out, x, d)
				for i, v := range x {
					if want := v % d; out[i] != want {
						t.Fatalf("%d %% %d: got %d, want %d", v, d, out[i], want)
					}
				}
			}
		}
	}
}
