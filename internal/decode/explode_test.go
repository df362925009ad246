package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

func TestElementsOfAnArrayBecomeRows(t *testing.T) {
	c := Config{
		Fields:  append(fieldsOf(pipeline.Float, "temp", "n"), fieldsOf(pipeline.Text, "site", "id")...),
		Explode: "data.readings", Time: TimeField{Name: "ts", Unit: "s"}, Key: []string{"id"},
	}
	d := newDecoder(t, c)
	checkRows(t, d, "x", `{"site":"a","data":{"readings":[{"ts":1767225601,"temp":1,"id":"p"},{"temp":2,"ts":1767225602,"id":"q","site":"b"},{"ts":1767225603,"id":"r","temp":null}]},"temp":9,"n":7}`,
		`1000 temp=1 n=7 site="a" id="p"`, `2000 temp=2 n=7 site="b" id="q"`, `3000 n=7 site="a" id="r"`)
	checkRows(t, d, "x", `{"data":{"readings":[]}}`)
	checkRows(t, d, "x", `{"ts":1767225601,"data":{"readings":[{"id":"\u0070\n"},{"id":"\u0071"}]},"site":"\u00e9"}`, `1000 site="é" id="p\n"`, `1000 site="é" id="q"`)
	for payload, want := range map[string]string{
		`{"data":{}}`:                              `dead: field data.readings: missing, and its elements are the rows`,
		`{"data":{"readings":null}}`:               `dead: field data.readings: missing, and its elements are the rows`,
		`{"data":{"readings":[1],"readings":"x"}}`: `dead: field data.readings: want an array, have text "x"`,
		`{"data":{"readings":[{"ts":1767225601,"id":"p"},{"ts":1,"id":"q","temp":"hot"}]}}`: `dead: data.readings[1]: field temp: want number, have text "hot"`,
		`{"data":{"readings":[{"ts":1767225601,"id":"p"},{"ts":1}]}}`:                       `dead: data.readings[1]: id: missing, and it is the key`,
		`{"data":{"readings":[{"ts":1767225601,"id":"p"},5]}}`:                              `dead: data.readings[1]: not an object`,
		`{"data":{"readings":[{"ts":1767225601,"id":"p"},{]}}`:                              `dead: payload: not JSON: want a name in quotes at byte 49`,
	} {
		checkRows(t, d, "x", payload, want)
	}
}

func TestElementsAreEvenlySpaced(t *testing.T) {
	c := Config{Fields: fieldsOf(pipeline.Float, "value", "gain"), Explode: "samples", Time: TimeField{Name: "start", Step: 10e3}}
	checkRows(t, newDecoder(t, c), "x", `{"start":1767225600000,"samples":[0.5, -1,2e1],"gain":2}`, `0 value=0.5 gain=2`, `10 value=-1 gain=2`, `20 value=20 gain=2`)
	c.Explode, c.Time = ".", TimeField{}
	d := newDecoder(t, c)
	checkRows(t, d, "x", `[1,{"value":2,"gain":3}]`, `0 value=1`, `0 value=2 gain=3`)
	checkRows(t, d, "x", `{"value":2}`, `dead: field .: want an array, have an object`)
	checkRows(t, d, "x", `7`, `dead: field .: want an array, have text "7"`)
}

func TestOpenDecodersTakeWhatIsInAndAroundElements(t *testing.T) {
	d := newDecoder(t, Config{Open: true, Explode: "r"})
	for range 2 {
		checkRows(t, d, "x", `{"a":1,"r":[{"a":2,"b":"x","deep":{"c":true}},{"b":"y"},3],"deep":{"c":false,"d":4}}`,
			`0 a=2 b="x" deep.c=true deep.d=4`, `0 a=1 b="y" deep.c=false deep.d=4`, `0 a=1 deep.c=false deep.d=4 value=3`)
		checkRows(t, d, "x", `{"a":{},"r":[{"a":{"z":1}}]}`, `0 a.z=1`)
		checkRows(t, d, "x", `{"r":[{"a":"t"}]}`, `0 a="t"`)
	}
	if got := len(d.open.columns); got != 7 {
		t.Errorf("got %d columns, want 7", got)
	}
}

func TestRowsOfAMessageAreLimited(t *testing.T) {
	d := newDecoder(t, Config{Fields: fieldsOf(pipeline.Float, "value"), Explode: "."})
	block := func(n int) string { return "[" + strings.Repeat("1,", n-1) + "1]" }
	if got := len(rowsOf(d, "x", block(MessageRowsMax))); got != MessageRowsMax {
		t.Errorf("got %d rows, want %d", got, MessageRowsMax)
	}
	checkRows(t, d, "x", block(MessageRowsMax+1), "dead: payload: more than 32768 rows")
}

func TestABatchIsFullAfterAMessageAndNotWithinOne(t *testing.T) {
	d := newDecoder(t, Config{Fields: fieldsOf(pipeline.Float, "value"), Explode: "."})
	recs := []journal.Record{record("[1,2]"), record("[" + strings.Repeat("1,", 299) + "1]"), record("[3]"), record("x")}
	b := d.NewBatch()
	var dead []pipeline.DeadLetter
	if n := d.Decode(recs, b, &dead); n != 2 || b.Rows() != 302 {
		t.Fatalf("got %d records and %d rows, want 2 and 302", n, b.Rows())
	}
	b.Reset()
	if n := d.Decode(recs[2:], b, &dead); n != 2 || b.Rows() != 1 || len(dead) != 1 {
		t.Errorf("got %d records, %d rows and %d dead, want 2, 1 and 1", n, b.Rows(), len(dead))
	}
}

func TestAWrongElementLeavesNoRow(t *testing.T) {
	d := newDecoder(t, Config{Open: true, Explode: "r"})
	b := d.NewBatch()
	var dead []pipeline.DeadLetter
	good := record(`{"r":[{"a":1}]}`)
	bad := record(`{"r":[{"a":1,"new":"x"},{"a":1e999}]}`)
	d.Decode([]journal.Record{good, bad, good}, b, &dead)
	if b.Rows() != 2 || len(dead) != 1 {
		t.Fatalf("got %d rows and %v", b.Rows(), dead)
	}
	for k := range b.Columns {
		if c := &b.Columns[k]; c.Rows() != 2 {
			t.Errorf("column %s has %d rows, want 2", c.Name, c.Rows())
		}
	}
}

func TestWrongExplosionsAreRefused(t *testing.T) {
	for want, c := range map[string]Config{
		"explode: line has no arrays":                                      {Format: "line", Explode: "r"},
		"explode: value has no arrays":                                     {Format: "value", Explode: "r"},
		"explode: r is wanted as a column, too":                            {Explode: "r", Fields: fieldsOf(pipeline.Text, "r")},
		`explode: field "r[": want a number from 0 to 1023 in brackets`:    {Explode: "r["},
		"time has a step from element to element, but nothing is exploded": {Time: TimeField{Name: "t", Step: 1}},
	} {
		if _, err := New(c, pipeline.NewKeys(1)); fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
