package config

import (
	"testing"
	"time"
)

func TestPayloadsAreReadAsTheFileSays(t *testing.T) {
	f := mustParse(t, `
pipelines:
  a:
    from: a/{device}/{metric}
    decode: value
    to: [{topic: x/a}]
  b:
    from: b
    decode: {format: csv, charset: utf-16, columns: [at, "", temp], separator: "\t"}
    time: {field: at, unit: rfc3339, zone: Europe/Berlin}
    to: [{topic: x/b}]
  c:
    from: c
    decode: {format: protobuf, descriptor: plant.pb, message: plant.Block}
    explode: samples
    time: {field: start, step: 10ms}
    to: [{topic: x/c}]
  d:
    from: spBv1.0/#
    decode: sparkplug
    to: [{topic: x/d}]
`)
	p := f.Pipelines
	check(t, "a", p[0].Decode, Decode{Format: "value", Charset: "utf-8", Separator: ","})
	check(t, "b", p[1].Decode, Decode{Format: "csv", Charset: "utf-16", Separator: "\t", Columns: []string{"at", "", "temp"}})
	check(t, "b time", p[1].Time, TimeField{Field: "at", Unit: "rfc3339", Zone: "Europe/Berlin"})
	check(t, "c", p[2].Decode, Decode{Format: "protobuf", Charset: "utf-8", Separator: ",", Descriptor: "plant.pb", Message: "plant.Block"})
	check(t, "c explode", p[2].Explode, "samples")
	check(t, "c time", p[2].Time, TimeField{Field: "start", Unit: "ms", Step: 10 * time.Millisecond})
	check(t, "d", p[3].Decode.Format, "sparkplug")
	for i, want := range []bool{true, false, false, false} {
		check(t, p[i].Name+" pivots", p[i].Pivots(), want)
	}
}
