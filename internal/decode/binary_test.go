package decode

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/vmihailenco/msgpack/v5"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// binaries are the formats that say what JSON says, with another's encoder.
func binaries(t testing.TB) map[string]func(v any) []byte {
	tidy := func(p []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	return map[string]func(v any) []byte{
		"cbor":    func(v any) []byte { return tidy(cbor.Marshal(v)) },
		"msgpack": func(v any) []byte { return tidy(msgpack.Marshal(v)) },
	}
}

func TestBinaryPayloadsSayWhatJSONSays(t *testing.T) {
	r := seeded(t)
	for format, encode := range binaries(t) {
		ours, theirs := newDecoder(t, Config{Format: format, Open: true}), newDecoder(t, Config{Open: true})
		for range 2000 {
			payload := randomObject(r, 3)
			var v any
			if err := json.Unmarshal([]byte(payload), &v); err != nil {
				continue // a number that is out of range
			}
			got, want := rowsOf(ours, "x", string(encode(v))), rowsOf(theirs, "x", payload)
			if fmt.Sprint(got) != fmt.Sprint(want) && !strings.Contains(payload, "a\":[]") {
				t.Fatalf("%s of %s:\ngot  %q\nwant %q", format, payload, got, want)
			}
		}
	}
}

func TestBinaryNumbersKeepTheirKinds(t *testing.T) {
	c := Config{Fields: append(append(fieldsOf(pipeline.Float, "f"), fieldsOf(pipeline.Int, "i")...), fieldsOf(pipeline.Text, "t")...)}
	for format, encode := range binaries(t) {
		c.Format = format
		d := newDecoder(t, c)
		for _, x := range []struct {
			v    map[string]any
			want string
		}{
			{map[string]any{"f": uint64(math.MaxUint64), "i": int64(math.MinInt64), "t": -17}, `0 f=1.8446744073709552e+19 i=-9223372036854775808 t="-17"`},
			{map[string]any{"f": float32(21.5), "i": 3.0, "t": 0.1}, `0 f=21.5 i=3 t="0.1"`},
			{map[string]any{"f": math.Inf(-1), "i": int8(-100), "t": "é"}, `0 f=-Inf i=-100 t="é"`},
			{map[string]any{"f": math.NaN(), "i": int64(1 << 40), "t": []byte("raw")}, `0 f=NaN i=1099511627776 t="raw"`},
			{map[string]any{"i": uint64(math.MaxUint64)}, `dead: field i: want int, have number 18446744073709551615`},
			{map[string]any{"i": 1.5}, `dead: field i: want int, have number 1.5`},
			{map[string]any{"i": 1e300}, `dead: field i: want int, have number 1e+300`},
			{map[string]any{"t": []byte{0xff}}, `dead: field t: want text, have bytes`},
			{map[string]any{"f": "x"}, `dead: field f: want number, have text "x"`},
			{map[string]any{"f": []int{1}}, `dead: field f: want number, have an array`},
			{map[string]any{"f": nil}, `0`},
		} {
			checkRows(t, d, "x", string(encode(x.v)), x.want)
		}
	}
}

func TestBinaryArraysTimesAndBareValues(t *testing.T) {
	for format, encode := range binaries(t) {
		c := Config{Format: format, Fields: append(fieldsOf(pipeline.Float, "value", "7", "a.b[1].c"), fieldsOf(pipeline.Text, "id")...), Explode: "r", Time: TimeField{Name: "at"}}
		at := time.UnixMicro(newYear).Add(1500 * time.Millisecond)
		var stamp any = at
		if format == "cbor" {
			stamp = cbor.Tag{Number: 1, Content: float64(at.UnixMilli()) / 1000}
		}
		block := encode(map[string]any{"r": []any{1, map[string]any{"value": 2, "id": "x"}}, "at": stamp, "a": map[string]any{"b": []any{0, map[string]any{"c": 5}}}})
		checkRows(t, newDecoder(t, c), "x", string(block), `1500 value=1 a.b[1].c=5`, `1500 value=2 a.b[1].c=5 id="x"`)
		c.Explode, c.Time = "", TimeField{}
		d := newDecoder(t, c)
		checkRows(t, d, "x", string(encode(21.5)), `0 value=21.5`)
		checkRows(t, d, "x", string(encode(map[int]any{7: 1, -1: 2})), `0 7=1`)
		checkRows(t, d, "x", string(encode([]int{1})), `dead: payload: not an object`)
		checkRows(t, d, "x", string(encode(map[string]any{"x": 1}))+"\x00", fmt.Sprintf("dead: payload: not %s: more after the end at byte 4", d.scanner.language))
		wide := newDecoder(t, Config{Format: format, Fields: fieldsOf(pipeline.Float, "value"), Explode: "."})
		if got := len(rowsOf(wide, "x", string(encode(make([]byte, 0))))); got != 1 {
			t.Errorf("%s: got %d rows of bytes, want a dead letter", format, got)
		}
		checkRows(t, wide, "x", string(encode(make([]int, MessageRowsMax+1))), "dead: payload: more than 32768 rows")
	}
}

func fromHex(t testing.TB, s string) string {
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestTheFormsOfCBOR(t *testing.T) {
	c := Config{Format: "cbor", Fields: append(fieldsOf(pipeline.Float, "a"), fieldsOf(pipeline.Text, "b")...), Open: true}
	d := newDecoder(t, c)
	for payload, want := range map[string]string{
		"bf 6161 f93e00 6162 7f 6161 62c3bc ff ff":              `0 a=1.5 b="aü"`, // indefinite lengths, half precision
		"d9d9f7 a1 6161 c2 43010000":                            `dead: field a: want number, have bytes`,
		"a1 6161 f90001":                                        `0 a=5.960464477539063e-08`, // the appendix of RFC 8949
		"a1 6161 f97bff":                                        `0 a=65504`,
		"a1 6161 f9fc00":                                        `0 a=-Inf`,
		"a1 6161 fb3ff199999999999a":                            `0 a=1.1`,
		"a1 6161 3bffffffffffffffff":                            `0 a=-1.8446744073709552e+19`,
		"a1 6162 c0 74323032362d30312d30315430303a30303a30315a": `0 b="2026-01-01T00:00:01Z"`,
		"a2 6161 f7 6163 f0":                                    `0`, // undefined, a simple value
		"a1 9f01ff f4":                                          `0`, // an array as a key
		"a1 6161":                                               `dead: payload: not CBOR: it ends too early at byte 3`,
		"a1 6161 1c":                                            `dead: payload: not CBOR: unknown length at byte 3`,
		"a1 6161 ff":                                            `dead: payload: not CBOR: a break that ends nothing at byte 3`,
		"a1 6161 62c328":                                        `dead: payload: not CBOR: a text that is not UTF-8 at byte 3`,
		"a1 6161 7f4161ff":                                      `dead: payload: not CBOR: want a piece of a text at byte 4`,
		"a1 6161 7bffffffffffffffff":                            `dead: payload: not CBOR: it ends inside a text at byte 12`,
		"bbffffffffffffffff":                                    `dead: payload: not CBOR: it ends too early at byte 9`,
		"a1 6161" + strings.Repeat("81", depthMax) + "01":       `dead: payload: nested deeper than 32`,
	} {
		checkRows(t, d, "x", fromHex(t, payload), want)
	}
}

func TestTheFormsOfMessagePack(t *testing.T) {
	c := Config{Format: "msgpack", Fields: append(fieldsOf(pipeline.Float, "a"), fieldsOf(pipeline.Text, "b")...), Time: TimeField{Name: "t"}}
	d := newDecoder(t, c)
	const at = "a174 d6ff 6955b901" // 2026-01-01T00:00:01Z
	for payload, want := range map[string]string{
		"82" + at + "a161 ca3fc00000":              `1000 a=1.5`,
		"82" + at + "a161 d0f0":                    `1000 a=-16`,
		"82" + at + "a161 e0":                      `1000 a=-32`,
		"de0002" + at + "d90162 c40161":            `1000 b="a"`,
		"81 a174 d7ff 77359400 6955b901":           `1500`,
		"81 a174 c70cff 1dcd6500 000000006955b901": `1500`,
		"82" + at + "a161 d40100":                  `1000`, // another extension
		"81" + "a161 01":                           `dead: field t: missing, and it is the event time`,
		"c1":                                       `dead: payload: not MessagePack: a byte that is never used at byte 0`,
		"81 a174":                                  `dead: payload: not MessagePack: it ends too early at byte 3`,
		"81 a174 ce0000":                           `dead: payload: not MessagePack: it ends too early at byte 6`,
		"81 a174 dbffffffff":                       `dead: payload: not MessagePack: it ends inside a text at byte 8`,
		"dfffffffff":                               `dead: payload: not MessagePack: it ends too early at byte 5`,
		"81a174" + strings.Repeat("91", depthMax) + "01": `dead: payload: nested deeper than 32`,
	} {
		checkRows(t, d, "x", fromHex(t, payload), want)
	}
}

// fuzzFormat feeds anything to a decoder twice, open and closed, whole and in a
// batch, and holds the outcomes equal.
func fuzzFormat(t *testing.T, c Config, topic string, payload []byte) {
	for _, open := range []bool{false, true} {
		c.Open = open
		d := newDecoder(t, c)
		b := d.NewBatch()
		var dead []pipeline.DeadLetter
		rec := record(string(payload))
		rec.Topic = []byte(topic)
		for range 2 {
			recs := []journal.Record{rec}
			d.Decode(recs, b, &dead)
		}
		if len(dead) != 0 && len(dead) != 2 || b.Rows()%2 != 0 || len(dead) == 2 && b.Rows() != 0 {
			t.Fatalf("%q: got %d rows and %v", payload, b.Rows(), dead)
		}
		half := b.Rows() / 2
		for k := range b.Columns {
			if n := b.Columns[k].Rows(); n != b.Rows() {
				t.Fatalf("%q: column %s has %d rows, want %d", payload, b.Columns[k].Name, n, b.Rows())
			}
		}
		for i := range half {
			if got, want := rowText(b, half+i), rowText(b, i); got != want || b.Time[i] != b.Time[half+i] {
				t.Fatalf("%q: got %s at first, then %s", payload, want, got)
			}
		}
	}
}

func fuzzConfig(format string) Config {
	c := Config{Format: format, Fields: append(append(fieldsOf(pipeline.Float, "a", "value"), fieldsOf(pipeline.Text, "b.c")...), fieldsOf(pipeline.Bool, "d")...)}
	return c
}

func FuzzCBOR(f *testing.F)    { fuzzBinary(f, "cbor") }
func FuzzMsgpack(f *testing.F) { fuzzBinary(f, "msgpack") }

func fuzzBinary(f *testing.F, format string) {
	encode := binaries(f)[format]
	for _, v := range []any{1, "x", map[string]any{"a": 1.5, "b": map[string]any{"c": "x"}, "d": true, "r": []any{1, map[string]any{"a": 2}}}, []any{1, 2}, map[int]any{1: nil}} {
		f.Add(encode(v))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := fuzzConfig(format)
		fuzzFormat(t, c, "x", payload)
		c.Explode = "r"
		fuzzFormat(t, c, "x", payload)
		c.Explode = "."
		fuzzFormat(t, c, "x", payload)
	})
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"a,b=c x=1,y=\"z\" 1\n#\nb x=t", `a\ b,c\,=d e="\""`, "a x=1i,y=2u"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) { fuzzFormat(t, fuzzConfig("line"), "x", payload) })
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a,\"b\nc\"\r\n\"1\"\"\",x", "a\n\"", ",,\n1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := fuzzConfig("csv")
		fuzzFormat(t, c, "x", payload)
		c.CSV.Columns = []string{"a", "", "d"}
		fuzzFormat(t, c, "x", payload)
	})
}

func FuzzBareValues(f *testing.F) {
	for _, s := range []string{"1", "on", "\"x\"", "-.5e3", "[1,[2],{\"a\":3}]", `{"r":[1,{"a":2}],"r":3}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		fuzzFormat(t, fuzzConfig("value"), "x", payload)
		c := fuzzConfig("json")
		for _, c.Explode = range []string{"", "r", "."} {
			fuzzFormat(t, c, "x", payload)
		}
		for _, c.Charset = range []string{"latin1", "utf-16"} {
			fuzzFormat(t, c, "x", payload)
		}
	})
}
