package decode

import (
	"strings"
	"testing"

	"millrace.dev/millrace/pipeline"
)

func TestLinesOfLineProtocolAreRows(t *testing.T) {
	d := newDecoder(t, Config{Format: "line", Open: true})
	checkRows(t, d, "x", "motors,line=a,device=m1 temp=21.5,n=3i,u=7u,ok=t,note=\"say \\\"hi\\\", = 1\" 1767225601000000000\n\n# a comment \" here\nmotors,line=b temp=-1e3,ok=FALSE 1767225602000000000\r\n",
		`1000 device="m1" line="a" measurement="motors" n=3 note="say \"hi\", = 1" ok=true temp=21.5 u=7`,
		`2000 line="b" measurement="motors" ok=false temp=-1000`)
	checkRows(t, d, "x", `my\ m\,x,t\ a\=g=v\,al\ ue f\,d=1`, `0 f,d=1 measurement="my m,x" t a=g="v,al ue"`)
	checkRows(t, d, "x", "a x=\"two\nlines\" 1767225601000000000\nb y=1", "1000 measurement=\"a\" x=\"two\\nlines\"", `0 measurement="b" y=1`)
	for payload, want := range map[string]string{
		"a":               "want a field, such as temp=21.5 at byte 1",
		",t=1 x=1":        "want a measurement at byte 0",
		"a,t x=1":         "want a tag, such as room=kitchen at byte 3",
		"a,t= x=1":        "want the value of a tag at byte 4",
		"a x":             "want a field, such as temp=21.5 at byte 3",
		"a x=":            "want the value of a field at byte 4",
		"a x=1.5i":        "want a number, a bool or a text in quotes at byte 4",
		"a x=i":           "want a number, a bool or a text in quotes at byte 4",
		"a x=nan":         "want a number, a bool or a text in quotes at byte 4",
		"a x=1 yesterday": "want a time in digits at byte 6",
		"a x=1 1.5":       "want a time in digits at byte 6",
		"a x=\"open":      "it ends inside a text at byte 9",
		"a x=\"b\"c":      "want , or a space behind a text at byte 7",
		"a x=1,":          "want a field, such as temp=21.5 at byte 6",
	} {
		checkRows(t, d, "x", payload, "dead: line 1: not line protocol: "+want)
	}
	checkRows(t, d, "x", "a x=1\n\nb x=", "dead: line 3: not line protocol: want the value of a field at byte 11")
	checkRows(t, d, "x", "\xff", "dead: payload: not UTF-8")
	checkRows(t, d, "x", "")

	d = newDecoder(t, Config{Format: "line", Fields: append(fieldsOf(pipeline.Int, "n"), fieldsOf(pipeline.Text, "room")...), Time: TimeField{Name: LineTime, Unit: "s"}, Key: []string{"room"}})
	checkRows(t, d, "x", "a,room=1 n=3i,other=\"x\" 1767225605", `5000 n=3 room="1"`)
	checkRows(t, d, "x", "a,room=1 n=3i", "dead: line 1: field time: missing, and it is the event time")
}

func TestLinesOfCSVAreRows(t *testing.T) {
	c := Config{Format: "csv", Fields: append(fieldsOf(pipeline.Float, "temp"), append(fieldsOf(pipeline.Text, "id"), fieldsOf(pipeline.Bool, "on")...)...), Time: TimeField{Name: "at", Unit: "rfc3339"}}
	d := newDecoder(t, c)
	checkRows(t, d, "x", "at,temp,id,on\r\n2026-01-01T00:00:01Z,21.5,\"a \"\"b\"\", c\",1\r\n2026-01-01 00:00:02,,007\r\n", `1000 temp=21.5 id="a \"b\", c" on=true`, `2000 id="007"`)
	checkRows(t, d, "x", "id, at\nx,2026-01-01T00:00:01Z\n\ny,2026-01-01T00:00:02Z", `1000 id="x"`, `2000 id="y"`)
	checkRows(t, d, "x", "id,at\n\"x\ny\",2026-01-01T00:00:01Z", `1000 id="x\ny"`)
	for payload, want := range map[string]string{
		"id,at\nx,2026-01-01T00:00:01Z,more":                        "line 2: 2 columns are named, and here are more",
		"at,temp\n2026-01-01T00:00:01Z,1\n2026-01-01T00:00:02Z,hot": `line 3: field temp: want number, have text "hot"`,
		"at,temp\nnow,1":  `line 2: field at: want a time such as 2026-01-31T15:04:05Z, have text "now"`,
		"at,id\n1,\"open": "line 2: not CSV: it ends inside quotes at byte 13",
		"at,id\n1,\"a\"b": "line 2: not CSV: want the separator behind a quote at byte 11",
		"\"at":            "payload: not CSV: it ends inside quotes at byte 3",
		"a\xff":           "payload: not UTF-8",
		strings.Repeat(",", CSVColumnsMax) + "\n1": "payload: more than 1024 columns",
	} {
		checkRows(t, d, "x", payload, "dead: "+want)
	}
	checkRows(t, d, "x", "at,id")
	d = newDecoder(t, Config{Format: "csv", Open: true, CSV: CSV{Columns: []string{"a", "", "c"}, Separator: ';'}})
	checkRows(t, d, "x", "1;2;on\n;;x\n5", `0 a=1 c=true`, `0 c="x"`, `0 a=5`)
	for _, c := range []CSV{{Separator: '"'}, {Separator: 0x80}, {Columns: make([]string, CSVColumnsMax+1)}} {
		if _, err := New(Config{Format: "csv", CSV: c}, pipeline.NewKeys(1)); err == nil {
			t.Errorf("%v: got no error", c.Separator)
		}
	}
}
