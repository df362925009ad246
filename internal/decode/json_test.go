package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

func decodeInto(d *Decoder, b *pipeline.Batch, payload string) []pipeline.DeadLetter {
	var dead []pipeline.DeadLetter
	d.Decode([]journal.Record{record(payload)}, b, &dead)
	return dead
}

// expected reads payload with encoding/json and returns the scalars of its
// object by dotted name. comparable is false where we mean to differ.
func expected(payload []byte) (scalars map[string]any, ok, comparable bool) {
	if p := bytes.TrimLeft(payload, " \n\t\r"); len(p) > 0 && p[0] != '{' && p[0] != '[' {
		return nil, false, false // a bare value, which need not be JSON
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var v any
	if !json.Valid(payload) || dec.Decode(&v) != nil || !utf8.Valid(payload) {
		return nil, false, true
	}
	object, ok := v.(map[string]any)
	scalars = map[string]any{}
	comparable = flatten(scalars, "", object, 1)
	text := fmt.Sprint(scalars, object)
	return scalars, ok, comparable && !strings.ContainsRune(text, utf8.RuneError) && len(scalars) <= OpenColumnsMax
}

func flatten(to map[string]any, prefix string, object map[string]any, depth int) bool {
	fine := true
	for name, v := range object {
		fine = fine && !strings.Contains(name, ".") && len(prefix)+len(name) <= NameBytesMax && depth <= depthMax
		switch v := v.(type) {
		case map[string]any:
			fine = flatten(to, prefix+name+".", v, depth+1) && fine
		case json.Number:
			f, err := v.Float64()
			to[prefix+name], fine = f, fine && err == nil
		case []any:
			fine = fine && !strings.Contains(fmt.Sprintf("%#v", v), strings.Repeat("{", depthMax/2)) && depthOf(v)+depth <= depthMax
		case nil:
		default:
			to[prefix+name] = v
		}
	}
	return fine
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			deepest = max(deepest, depthOf(x))
		}
	case map[string]any:
		for _, x := range v {
			deepest = max(deepest, depthOf(x))
		}
	default:
		return 0
	}
	return deepest + 1
}

// scalars returns the values of row i as encoding/json would have them.
func scalars(b *pipeline.Batch, i int) map[string]any {
	m := map[string]any{}
	for k := range b.Columns {
		switch c := &b.Columns[k]; {
		case !c.Has(i):
		case c.Kind == pipeline.Float:
			m[c.Name] = c.Floats[i]
		case c.Kind == pipeline.Bool:
			m[c.Name] = c.Bools[i] != 0
		default:
			m[c.Name] = string(c.Text(i))
		}
	}
	return m
}

// same decodes payload twice, so that guesses are used, and compares with encoding/json.
func same(t *testing.T, d *Decoder, payload []byte) {
	t.Helper()
	want, ok, comparable := expected(payload)
	if !comparable {
		return
	}
	b := d.NewBatch()
	dead := decodeInto(d, b, string(payload))
	dead = append(dead, decodeInto(d, b, string(payload))...)
	if (len(dead) == 0) != ok {
		t.Fatalf("%q: got %d dead letters (%s), want accepted %v", payload, len(dead), append(dead, pipeline.DeadLetter{})[0].Reason, ok)
	}
	for i := range b.Rows() {
		if got := scalars(b, i); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Fatalf("%q:\ngot  %#v\nwant %#v", payload, got, want)
		}
	}
}

func FuzzDecodersAgreeWithTheStandardLibrary(f *testing.F) {
	for _, seed := range []string{
		`{"ts":1767225600123,"temp":21.5,"ok":true,"id":"m\u00fc","n":null}`, `{"a":{"b":[1,{"c":2}],"d":"x"}}`, `{"a":1,"a":"x","a":{}}`,
		`{"\ud83d\ude00":-1.5e-7}`, ` [] `, `{"a":00}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":"\x"}`, "{\"a\":\"\xc3\x28\"}", `{"a":tru}`, `{"a" 1}`, `{"":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		same(t, newDecoder(t, Config{Open: true}), payload)
		closed := newDecoder(t, motors)
		b := closed.NewBatch()
		decodeInto(closed, b, string(payload))
		for k := range b.Columns {
			if c := &b.Columns[k]; c.Rows() != b.Rows() {
				t.Fatalf("%q: column %s has %d rows, want %d", payload, c.Name, c.Rows(), b.Rows())
			}
		}
	})
}

// randomObject returns the JSON text of an object with some of a few names, in any order.
func randomObject(r *rand.Rand, depth int) string {
	names := []string{"a", "b", "temp", "ts", "été", "q\\\"q", "x y"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	space := func() string { return strings.Repeat(" ", max(0, r.IntN(6)-4)) }
	var members []string
	for _, name := range names[:r.IntN(len(names)+1)] {
		value := []string{randomNumber(r), "true", "false", "null", `"` + strings.Repeat("é\\n", r.IntN(4)) + `\u20ac"`, `[1,{"a":[]}]`}[r.IntN(6)]
		if depth < 4 && r.IntN(4) == 0 {
			value = randomObject(r, depth+1)
		}
		members = append(members, space()+`"`+name+`"`+space()+":"+space()+value+space())
	}
	return "{" + strings.Join(members, ",") + space() + "}"
}

func TestRandomObjectsInAnyOrderAreReadRight(t *testing.T) {
	r := seeded(t)
	d := newDecoder(t, Config{Open: true}) // one for all, so that guesses go wrong too
	for range 5_000 {
		payload := []byte(randomObject(r, 3))
		same(t, d, payload)
		payload[r.IntN(len(payload))] = byte(r.IntN(256))
		same(t, newDecoder(t, Config{Open: true}), payload)
	}
}

func TestBatchesCutAnywhereHoldTheSameRows(t *testing.T) {
	r := seeded(t)
	c := motors
	c.Open = true
	var recs []journal.Record
	for range 500 {
		recs = append(recs, record(strings.Replace(randomObject(r, 2), "{", fmt.Sprintf(`{"ts":%d,`, r.IntN(1e9)), 1)))
	}
	run := func(cut func() int) (rows []string) {
		d := newDecoder(t, c)
		b := d.NewBatch()
		var dead []pipeline.DeadLetter
		for rest := recs; len(rest) > 0; {
			b.Reset()
			n := d.Decode(rest[:min(cut(), len(rest))], b, &dead)
			for i := range b.Rows() {
				rows = append(rows, fmt.Sprint(b.Row(i), rowText(b, i)))
			}
			rest = rest[n:]
		}
		return append(rows, fmt.Sprint(dead))
	}
	whole, ones, some := run(func() int { return 500 }), run(func() int { return 1 }), run(func() int { return 1 + r.IntN(40) })
	if !slices.Equal(ones, whole) || !slices.Equal(some, whole) {
		t.Error("the rows depend on how the records were cut into batches")
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	for _, open := range []bool{false, true} {
		c := motors
		c.Open = open
		d := newDecoder(t, c)
		b := d.NewBatch()
		var recs []journal.Record
		for i := range 256 {
			recs = append(recs, record(reading(i)))
		}
		var dead []pipeline.DeadLetter
		work := func() {
			b.Reset()
			d.Decode(recs, b, &dead)
		}
		work()
		if n := testing.AllocsPerRun(50, work); n != 0 || len(dead) > 0 {
			t.Errorf("open %v: got %v allocations and %v, want none", open, n, dead)
		}
	}
}

// reading returns a payload of about 90 bytes with five fields.
func reading(i int) string {
	return fmt.Sprintf(`{"ts":%d,"temp":%.3f,"rpm":%d,"vibration":%.5f,"state":"running","id":"m\u00fc%02d"}`,
		1767225600000+int64(i), 20+10*math.Sin(float64(i)), 1000+i*7%3000, math.Abs(math.Cos(float64(i))), i%50)
}

func TestARepeatedNameReplacesAllThatWasBelowTheFirst(t *testing.T) {
	check(t, Config{Open: true}, [][2]string{{`{"b":{"c":1},"b":null,"d":1}`, `d=1`}, {`{"b":1}`, `b=1`}, {`{"b":{"c":1},"b":null}`, ``}, {`{"b":{"c":1},"b":2}`, `b=2`}})
}

func TestAFieldThatWasNullIsSeenOnceItHasAValue(t *testing.T) {
	check(t, Config{Open: true}, [][2]string{{`{"x":null,"y":[1]}`, ``}, {`{"x":1,"y":2}`, `x=1 y=2`}, {`{"x":null,"y":[1]}`, ``}, {`{"x":"a","y":3}`, `x="a" y=3`}})
}

func TestACutMessageHidesNoFieldOfTheNext(t *testing.T) {
	const whole = `{"ts":1,"name":"x","deep":{"on":true,"list":[1,2]},"temp":2.5}`
	c := Config{Open: true, Fields: fieldsOf(pipeline.Float, "temp")}
	want := rowsOf(newDecoder(t, c), "a", whole)
	for n := range whole {
		d := newDecoder(t, c)
		rowsOf(d, "a", whole[:n])
		if got := rowsOf(d, "a", whole); !slices.Equal(got, want) {
			t.Errorf("behind %q: got %q, want %q", whole[:n], got, want)
		}
	}
}
