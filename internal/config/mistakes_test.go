package config

import (
	"errors"
	"strings"
	"testing"
)

// mistakes are files with one mistake each. A file that does not begin with a
// top-level key is the body of pipelines.p, two spaces to the right; "want" is
// the place and the beginning of the message.
var mistakes = []struct{ src, want string }{
	// the file
	{"pipelines: {}", "1:12: there is no pipeline"},
	{"pipelines:", "1:11: no value"},
	{"pipelines: [a]", "1:12: want pipelines by name, have a list"},
	{"broker: {}", `1:1: missing key "pipelines"`},
	{"just words", `1:1: want a mapping, have "just words"`},
	{"[]", "1:1: want a mapping, have a list"},
	{"pipelins: {}\npipelines: {p: {from: a, to: [{topic: b}]}}", `1:1: unknown key "pipelins"`},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nlog: {}\nlog: {}", `3:1: key "log" is there twice`},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\n? [x]\n: y", "2:3: a key is a plain word"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\n'': y", "2:1: a key has 1 to 128 bytes"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}, -x: {from: a, to: [{topic: c}]}}", `1:45: "-x" is no name`},

	// values by their kind
	{"from: a\n  to: [{topic: b}]\n  lateness: ten", `5:13: "ten" is not a duration`},
	{"from: a\n  to: [{topic: b}]\n  lateness: 10", `5:13: "10" is not a duration`},
	{"from: a\n  to: [{topic: b}]\n  lateness: -5s", "5:13: -5s is too short"},
	{"from: a\n  to: [{topic: b}]\n  lateness: 1500ns", "5:13: 1500ns is too fine"},
	{"from: a\n  to: [{topic: b}]\n  lateness: [5s]", "5:13: a list is not a duration"},
	{"from: a\n  to: [{topic: b}]\n  idle: 0s", "5:9: 0s is too short"},
	{"from: a\n  to: [{topic: b}]\n  idle: nevr", `5:9: "nevr" is not a duration`},
	{"from: a\n  to: [{topic: b}]\n  keys_max: many", `5:13: want a whole number, have "many"`},
	{"from: a\n  to: [{topic: b}]\n  keys_max: 1.5", `5:13: want a whole number, have "1.5"`},
	{"from: a\n  to: [{topic: b}]\n  keys_max: \"5\"", `5:13: want a whole number, have "5"`},
	{"from: a\n  to: [{topic: b}]\n  keys_max: 0", "5:13: 0 is too little"},
	{"from: a\n  to: [{topic: b}]\n  keys_max: 10000001", "5:13: 10000001 is too much"},
	{"from: a\n  to: [{topic: b}]\n  keys_max: 99999999999999999999", `5:13: want a whole number, have "99999999999999999999"`},
	{"from: a\n  to: [{topic: b}]\n  allow_loop: yes", `5:15: want true or false, have "yes"`},
	{"from: a\n  to: [{topic: b}]\n  allow_loop: {}", "5:15: want true or false, have a mapping"},
	{"from: a\n  to: [{topic: b}]\n  decode: jsn", `5:11: unknown decode "jsn"`},
	{"from: a\n  to: [{topic: b}]\n  steps: {where: a}", "5:10: want a list, have a mapping"},
	{"from: a\n  to: [{topic: b}]\n  fields: [temp]", "5:11: want kinds by field, have a list"},
	{"from: a\n  to: [{topic: b}]\n  fields: {temp: float}", `5:18: unknown temp "float"`},
	{"from: a\n  to: [{topic: b}]\n  key: [a, a]", `5:12: "a" is there twice`},
	{"from: a\n  to: [{topic: b}]\n  key: ['']", "5:9: an empty name"},
	{"from: a\n  to: [{topic: b}]\n  key: [a, ~]", "5:12: no value"},
	{"from: a\n  to: [{topic: b}]\n  key: !!str a", "5:8: tags (words that begin with !) have no meaning here"},

	// pipelines
	{"to: [{topic: b}]", `2:2: missing key "from"`},
	{"from: a", `2:2: missing key "to"`},
	{"from: a\n  to: []", "4:7: at least one is needed"},
	{"from: []\n  to: [{topic: b}]", "3:9: at least one is needed"},
	{"from: ''\n  to: [{topic: b}]", "3:9: filter is empty"},
	{"from: a/b+\n  to: [{topic: b}]", "3:9: filter "},
	{"from: [a, 'x/{A}']\n  to: [{topic: b}]", "3:13: filter "},
	{"from: [a, ~]\n  to: [{topic: b}]", "3:13: no value"},
	{"from: ['x/{a}', 'x/{b}']\n  to: [{topic: b}]", `3:19: "x/{b}" is there twice`},
	{"from: [a, a]\n  to: [{topic: b}]", `3:13: "a" is there twice`},
	{"from: {pipeline: p}\n  to: [{topic: b}]", "3:20: a circle of pipelines that read each other: p ← p"},
	{"from: a\n  to: [{topic: b}]\n  durability: relaxed", "5:15: durability relaxed: the journal has no folder"},
	{"from: a\n  to: [{topic: b}]\n  time: {unit: s}", `5:3: missing key "field"`},
	{"from: a\n  to: [{topic: b}]\n  time: {field: ts, unit: minutes}", `5:27: unknown unit "minutes"`},
	{"from: a\n  to: [{topic: b}]\n  time: [ts]", "5:9: want a mapping, have a list"},
	{"from: a\n  to: [{topic: b}]\n  decode: raw\n  time: ts", "6:3: a raw payload has no fields"},

	{"from: a\n  too: [{topic: b}]", `4:3: unknown key "too"`},

	// steps
	{"from: a\n  to: [{topic: b}]\n  steps: [{}]", "5:11: a step is one of where, set"},
	{"from: a\n  to: [{topic: b}]\n  steps: [x > 3]", `5:11: want a mapping, have "x > 3"`},
	{"from: a\n  to: [{topic: b}]\n  steps: [{wehre: x > 3}]", `5:12: unknown key "wehre"`},
	{"from: a\n  to: [{topic: b}]\n  steps: [{where: ''}]", "5:19: where is empty"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{where: a, function: f}]", "5:22: where and function in one step"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{where: a, with: {x: 1}}]", "5:22: with belongs to a function, not to where"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{function: f, with: {x: .inf}}]", `5:35: want a number, have ".inf"`},
	{"from: a\n  to: [{topic: b}]\n  steps: [{function: f, with: {x: '3'}}]", `5:35: want a number, have "3"`},
	{"from: a\n  to: [{topic: b}]\n  steps: [{function: f, input: {x: [a]}}]", "5:36: want a text, have a list"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{function: f, limits: {memory: 1KiB}}]", "5:42: 1KiB is too little"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{function: f, limits: {memory: 4GiB}}]", "5:42: 4GiB is too much"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{window: {fields: {n: count()}}}]", "5:12: a window is one of tumbling, hopping, sliding, session and count"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{window: {tumbling: 0s, fields: {n: count()}}}]", "5:31: 0s is too short"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{window: {tumbling: 1s, fields: {}}}]", "5:43: a window needs an aggregate"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{window: {tumbling: 1s, fields: {n: count(*)}}}]", "5:47: count counts messages and takes no column"},
	{"from: a\n  to: [{topic: b}]\n  steps: [{window: {hoping: 1s, fields: {n: count()}, tumbling: 1s}}]", `5:21: unknown key "hoping"`},

	// sinks
	{"from: a\n  to: [{topic: ''}]", "4:16: topic is empty"},
	{"from: a\n  to: [{topic: 'b/{'}]", "4:16: topic "},
	{"from: a\n  to: [{topic: b, qos: -1}]", "4:24: -1 is too little"},
	{"from: a\n  to: [{topic: b, qso: 1}]", `4:19: unknown key "qso"`},
	{"from: a\n  to: {topic: b}", "4:7: want a list, have a mapping"},
	{"from: a\n  to: [b]", "4:8: want a sink"},
	{"from: a\n  to: [{stdout: {line: 'x }'}}]", "4:24: } without {"},
	{"from: a\n  to: [{stdout: {line: '{x'}}]", "4:24: { is not closed"},
	{"from: a\n  to: [{stdout: {line: '{:.2f}'}}]", "4:24: no name in braces"},
	{"from: a\n  to: [{stdout: {line: x, fields: [a]}}]", "4:27: line says what is written"},
	{"from: a\n  to: [{file: }]", "4:15: no value"},
	{"from: a\n  to: [{file: {format: csv}}]", `4:9: missing key "path"`},
	{"from: a\n  to: [{file: {path: ''}}]", "4:22: a file needs a name"},
	{"from: a\n  to: [{file: {path: x, format: xml}}]", `4:33: unknown format "xml"`},
	{"from: a\n  to: [{file: {path: x, rotate: {bytes: 10 M}}}]", `4:41: "10 M" is not a size`},
	{"from: a\n  to: [{influx: db}]", `4:17: there is no sink "db"`},
	{"from: a\n  to: [{influx: {url: 'http://h', measurement: m}}]", `4:9: missing key "database" for version 1`},
	{"from: a\n  to: [{influx: {url: 'http://h', database: d, measurement: ''}}]", "4:61: the measurement needs a name"},
	{"from: a\n  to: [{influx: {url: 'http://h', database: d, measurement: m, version: 4}}]", "4:73: 4 is too much"},
	{"from: a\n  to: [{influx: {url: 'http://h', database: d, measurement: m, token: x}}]", "4:64: token does not belong to version 1"},
	{"from: a\n  to: [{influx: {url: '://', database: d, measurement: m}}]", "4:23: this is no URL of a server"},
	{"from: a\n  to: [{topic: a}]", "4:16: a loop: p → a → p"},

	// the rest
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nbroker: {listen: []}", "2:18: at least one is needed"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nbroker: {listen: 'mqtts://:8883'}", "2:18: mqtts:// is not built yet"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nbroker: {listen: 'mqtt://:99999'}", "2:18: \"mqtt://:99999\" is no address"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nbroker: {listen: ['mqtt://:1', 'mqtt://:1']}", "2:32: mqtt://:1 is there twice"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nbroker: {anonymous: never}", "2:21: nobody can connect"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nbroker: {max_packet: 1GB}", "2:22: 1GB is too much"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\njournal: {memory: 1MiB}\nbroker: {max_packet: 1MiB}", "2:19: broker.max_packet is 1MiB, too large"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nhttp: {listen: 8080}", `2:16: "8080" is no address`},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nlog: {level: verbose}", `2:14: unknown level "verbose"`},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nsimulate: {topic: 'x/{machine}'}", "2:19: unknown name {machine}"},
	{"pipelines: {p: {from: a, to: [{topic: b}]}}\nsimulate: {every: 0s}", "2:19: 0s is too short"},
}

func TestEachMistakeIsFoundWhereItIs(t *testing.T) {
	for _, m := range mistakes {
		src := m.src
		if first, _, _ := strings.Cut(src, ":"); first == "from" || first == "to" {
			src = "pipelines:\n p:\n  " + src
		}
		_, err := Parse("f", []byte(src))
		var ps Problems
		if !errors.As(err, &ps) {
			t.Errorf("%s\ngot %v, want %s", src, err, m.want)
			continue
		}
		if len(ps) != 1 || !strings.HasPrefix(ps[0].Error(), "f:"+m.want) {
			t.Errorf("%s\ngot %v\nwant f:%s", src, ps, m.want)
		}
	}
}
