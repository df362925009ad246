package decode

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// seeded returns a random source and prints the seed that makes it again.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

var motors = Config{
	Levels: []topics.Level{{Name: "line", Index: 1}, {Name: "device", Index: 3}},
	Fields: pipeline.Schema{{Name: "temp", Kind: pipeline.Float}, {Name: "n", Kind: pipeline.Int}, {Name: "ok", Kind: pipeline.Bool}, {Name: "id", Kind: pipeline.Text}},
	Time:   TimeField{Name: "ts"},
	Key:    []string{"device"},
}

func newDecoder(t testing.TB, c Config) *Decoder {
	t.Helper()
	d, err := New(c, pipeline.NewKeys(100))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func record(payload string) journal.Record {
	return journal.Record{Offset: 7, Arrived: 5e6, Hop: 2, Topic: []byte("plant/a/motor/m1/reading"), Payload: []byte(payload)}
}

// decodeOne returns the row that payload becomes, as text, or why it becomes none.
func decodeOne(d *Decoder, payload string) string {
	b := d.NewBatch()
	var dead []pipeline.DeadLetter
	d.Decode([]journal.Record{record(payload)}, b, &dead)
	if len(dead) > 0 {
		return "dead: " + dead[0].Reason
	}
	return rowText(b, 0)
}

// rowText writes the values of a row; those it does not have are left out.
func rowText(b *pipeline.Batch, i int) string {
	var s []string
	for k := range b.Columns {
		c := &b.Columns[k]
		switch {
		case !c.Has(i):
			continue
		case c.Kind == pipeline.Float:
			s = append(s, fmt.Sprint(c.Name, "=", c.Floats[i]))
		case c.Kind == pipeline.Int:
			s = append(s, fmt.Sprint(c.Name, "=", c.Ints[i]))
		case c.Kind == pipeline.Bool:
			s = append(s, fmt.Sprint(c.Name, "=", c.Bools[i] != 0))
		default:
			s = append(s, fmt.Sprintf("%s=%q", c.Name, c.Text(i)))
		}
	}
	return strings.Join(s, " ")
}

func check(t *testing.T, c Config, cases [][2]string) {
	t.Helper()
	d := newDecoder(t, c)
	for _, x := range cases {
		if got := decodeOne(d, x[0]); got != x[1] {
			t.Errorf("%s:\ngot  %s\nwant %s", clip(x[0]), got, x[1])
		}
	}
}

func TestFieldsBecomeColumnsOrTheMessageIsSetAside(t *testing.T) {
	const levels = `line="a" device="m1"`
	check(t, motors, [][2]string{
		{`{"ts":1,"temp":21.5,"n":3,"ok":true,"id":"x"}`, levels + ` temp=21.5 n=3 ok=true id="x"`},
		{"\n{ \"ts\" : 1 , \"id\" : 17.0,\r\"ok\":false,\t\"temp\":-0 } ", levels + ` temp=-0 ok=false id="17.0"`},
		{`{"ts":1,"temp":null}`, levels},
		{`{"ts":1}`, levels},
		{`{"ts":1,"temp":1,"temp":2}`, levels + ` temp=2`},
		{`{"ts":1,"temp":"n/a","temp":2}`, levels + ` temp=2`},
		{`{"ts":1,"\u0074emp":2,"id":"\u00e9\ud83d\ude00\n\/é"}`, levels + ` temp=2 id="é😀\n/é"`},
		{`{"ts":1,"n":3.0,"other":{"temp":[1,{"temp":"x"}]}}`, levels + ` n=3`},
		{`{"ts":1,"temp":"n/a"}`, `dead: field temp: want number, have text "n/a"`},
		{`{"ts":1,"temp":"21.5"}`, `dead: field temp: want number, have text "21.5"`},
		{`{"ts":1,"temp":true}`, `dead: field temp: want number, have bool true`},
		{`{"ts":1,"temp":{}}`, `dead: field temp: want number, have an object`},
		{`{"ts":1,"temp":1e999}`, `dead: field temp: number 1e999 is out of range`},
		{`{"ts":1,"n":1.5}`, `dead: field n: want int, have number 1.5`},
		{`{"ts":1,"n":9223372036854775808}`, `dead: field n: want int, have number 9223372036854775808`},
		{`{"ts":1,"ok":1}`, `dead: field ok: want bool, have number 1`},
		{`{"ts":1,"ok":"OFF"}`, levels + ` ok=false`},
		{`{"ts":1,"ok":"maybe"}`, `dead: field ok: want bool, have text "maybe"`},
		{`{"ts":1,"id":[]}`, `dead: field id: want text, have an array`},
		{`{"temp":1}`, `dead: field ts: missing, and it is the event time`},
		{`{"ts":null}`, `dead: field ts: missing, and it is the event time`},
		{`{"ts":"1"}`, `dead: field ts: want a time in ms since 1970, have text "1"`},
		{`{"ts":1e30}`, `dead: field ts: want a time in ms since 1970, have number 1e30`},
		{``, `dead: payload: empty, want a JSON object`},
		{`21.5`, `dead: payload: not an object`},
		{`[{"ts":1}]`, `dead: payload: not an object`},
		{`{"ts":1`, `dead: payload: not JSON: want , or } at byte 7`},
		{`{"ts":1}x`, `dead: payload: not JSON: more after the end at byte 8`},
		{`{"ts":1,}`, `dead: payload: not JSON: want a name in quotes at byte 8`},
		{`{"ts":01}`, `dead: payload: not JSON: a number may not begin with 0 at byte 6`},
		{`{"ts":NaN}`, `dead: payload: not JSON: want a value at byte 6`},
		{"{\"id\":\"\xff\"}", `dead: payload: not JSON: not UTF-8 at byte 7`},
		{`{"id":"\ud83d"}`, `dead: payload: not JSON: half of a surrogate pair at byte 7`},
		{`{"id":"\ude00\ud83d"}`, `dead: payload: not JSON: half of a surrogate pair at byte 7`},
		{`{"id":"\u12x4"}`, `dead: payload: not JSON: want four hexadecimal digits after \u at byte 7`},
		{"{\"id\":\"a\tb\"}", `dead: payload: not JSON: control character in a text at byte 8`},
	})
}

func TestPathsLeadIntoObjectsAndArrays(t *testing.T) {
	c := Config{Fields: pipeline.Schema{{Name: "a.b", Kind: pipeline.Float}, {Name: "r[1].t", Kind: pipeline.Float}, {Name: "m[0][2]", Kind: pipeline.Text}}}
	check(t, c, [][2]string{
		{`{"a":{"b":1},"r":[{"t":5},{"t":6}],"m":[[1,2,"x"]]}`, `a.b=1 r[1].t=6 m[0][2]="x"`},
		{`{"a.b":1,"r":[1,2],"m":{"0":1}}`, `a.b=1`},
		{`{"a":{"b":1},"a":{}}`, ``},
		{`{"a":{"b":1},"a":2}`, ``},
		{`{"a":{"b":"x"}}`, `dead: field a.b: want number, have text "x"`},
	})
	for _, path := range []string{"", "a.", ".a", "a[", "a[x]", "a[-1]", "a[1024]", "a[0]b", "[0]"} {
		if _, err := New(Config{Fields: pipeline.Schema{{Name: path, Kind: pipeline.Float}}}, pipeline.NewKeys(1)); err == nil {
			t.Errorf("path %q: want an error", path)
		}
	}
}

func TestOpenDecodersTakeEveryScalar(t *testing.T) {
	c := motors
	c.Open, c.Topic = true, true
	c.Fields = pipeline.Schema{{Name: "temp", Kind: pipeline.Float}, {Name: "m.rpm", Kind: pipeline.Int}}
	d := newDecoder(t, c)
	b := d.NewBatch()
	var dead []pipeline.DeadLetter
	var recs []journal.Record
	for _, p := range []string{
		`{"ts":1,"z":1,"temp":2,"device":"liar","m":{"rpm":5,"v":true}}`,
		`{"ts":2,"b":"text","n":null,"l":[1,2]}`,
		`{"ts":3,"bad":1,"temp":"x"}`,
		`{"ts":4,"z":"on","l":7,"m":3,"m.v":false}`,
		`{"ts":5,"a":1e999}`,
	} {
		recs = append(recs, record(p))
	}
	d.Decode(recs, b, &dead)
	var names []string
	for _, f := range b.Schema() {
		names = append(names, f.Name+":"+f.Kind.String())
	}
	const want = "line:text device:text topic:text temp:number m.rpm:int b:text l:number m:number m.v:bool z:number z:text"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for i, want := range []string{`temp=2 m.rpm=5 m.v=true z=1`, `b="text"`, `l=7 m=3 m.v=false z="on"`} {
		if got := strings.TrimPrefix(rowText(b, i), `line="a" device="m1" topic="plant/a/motor/m1/reading"`); strings.TrimSpace(got) != want {
			t.Errorf("row %d: got %s, want %s", i, got, want)
		}
	}
	if len(dead) != 2 || dead[1].Reason != "field a: number 1e999 is out of range" {
		t.Errorf("got %v, want two dead letters", dead)
	}
	other := d.NewBatch()
	d.Decode(recs[:1], other, &dead)
	if got := len(other.Columns); got != len(b.Columns) {
		t.Errorf("a second batch: got %d columns, want %d", got, len(b.Columns))
	}
}

func TestRawPayloadsAreOneColumn(t *testing.T) {
	check(t, Config{Format: "raw", Levels: motors.Levels, Key: []string{"line", "device"}}, [][2]string{
		{"\x00\xff", `line="a" device="m1" payload="\x00\xff"`},
		{"", `line="a" device="m1" payload=""`},
	})
}

func TestARowKnowsWhereItComesFrom(t *testing.T) {
	c := motors
	c.Key = []string{"line", "id", "n"}
	d := newDecoder(t, c)
	b := d.NewBatch()
	var dead []pipeline.DeadLetter
	d.Decode([]journal.Record{record(`{"ts":1500,"id":"x","n":4}`)}, b, &dead)
	if got, want := b.Row(0), (pipeline.Row{Time: 1500e3, Arrived: 5e6, Key: 1, Offset: 7, Hop: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := b.Keys.Name(1), "a\x00x\x004"; got != want {
		t.Errorf("got key %q, want %q", got, want)
	}
}

func TestADeadLetterIsTheWholeMessage(t *testing.T) {
	d := newDecoder(t, motors)
	r := record("oh")
	var dead []pipeline.DeadLetter
	d.Decode([]journal.Record{r}, d.NewBatch(), &dead)
	r.Payload[0] = '?'
	got := dead[0]
	if got.Time != 5e6 || got.Offset != 7 || got.Stage != "decode" || got.Topic != string(r.Topic) || string(got.Payload) != "oh" {
		t.Errorf("got %+v", got)
	}
}

func TestTimesInTheFarFutureAreNotBelieved(t *testing.T) {
	c := motors
	c.FutureMax = 3600e6
	for _, x := range []struct {
		arrived int64
		payload string
		want    string
	}{
		{newYear, `{"ts":1767229200000}`, ""},
		{newYear, `{"ts":1767229200000.001}`, "event time 2026-01-01T01:00:00.000001Z is 1h0m0.000001s in the future"},
		{newYear, `{"ts":253402300799999}`, "event time 9999-12-31T23:59:59.999Z is 2562047h47m16.854774s in the future"},
		{5e6, `{"ts":1767229200000}`, ""}, // our own clock is not set
	} {
		d := newDecoder(t, c)
		var dead []pipeline.DeadLetter
		r := record(x.payload)
		r.Arrived = x.arrived
		d.Decode([]journal.Record{r}, d.NewBatch(), &dead)
		if len(dead) > 1 || x.want == "" && len(dead) > 0 || x.want != "" && (len(dead) == 0 || dead[0].Reason != x.want) {
			t.Errorf("%s: got %v, want %q", x.payload, dead, x.want)
		}
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	temp := pipeline.Schema{{Name: "temp", Kind: pipeline.Float}}
	for want, c := range map[string]Config{
		`unknown format "yaml"; there are json, value, raw, line, csv, cbor, msgpack, protobuf, sparkplug`: {Format: "yaml"},
		`unknown unit of time "h"; there are s, ms, us, ns and rfc3339`:                                    {Time: TimeField{Name: "ts", Unit: "h"}},
		`column temp is wanted twice`:                                                         {Fields: append(temp, temp...)},
		`key: serial is not a level of the topic or a field of the payload`:                   {Key: []string{"serial"}},
		`raw payloads have no fields, but temp is wanted; decode: json reads fields`:          {Format: "raw", Fields: temp},
		`raw payloads have no fields, but time is wanted from ts; decode: json reads fields`:  {Format: "raw", Time: TimeField{Name: "ts"}},
		`time is wanted from the payload field line, but a column of the topic has this name`: {Levels: motors.Levels, Time: TimeField{Name: "line"}},
	} {
		if _, err := New(c, pipeline.NewKeys(1)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
