package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// A Job is a configuration whose results can be judged: three pipelines for
// each QoS, that write files.
type Job struct {
	Listen     string // host:port
	Durability string
	Influx     string // URL of an InfluxDB for the tumbling windows; "" for none
}

// The pipelines need dedupe: publishers send again what was taken and not
// acknowledged. With QoS 2, too, for the broker does not know packet
// identifiers any more after a crash.
const (
	head = `broker: {listen: ["mqtt://%s"], anonymous: always}
http: {listen: ""}
journal: {%s}
pipelines:
`
	pipeline = `  %[1]s%[2]d:
    from: q%[2]d/{device}
    time: ts
    key: device
    idle: never
    durability: %[3]s
    steps:
      - dedupe: {by: [seq], within: 10h}
%[4]s
    to:
      - file: {path: %[1]s%[2]d.ndjson}
`
	influx = "      - influx: {url: %q, database: oracle, measurement: q%d, tags: [device]}\n"
)

// jobs are the pipelines' names and what they do.
func jobs() [3][2]string {
	const fields = "fields: {n: count(), sum: sum(v), first: first(seq), last: last(seq)}"
	return [3][2]string{
		{"tumbling", "      - window: {tumbling: 1s, " + fields + "}"},
		{"sessions", "      - window: {session: 5s, " + fields + "}"},
		{"rates", "      - function: rate-of-change\n        input: {value: v}"},
	}
}

// YAML returns the configuration. Its paths are relative to the file.
func (j Job) YAML() string {
	var b strings.Builder
	where := "dir: journal, commit: 10ms, checkpoint: 200ms"
	if j.Durability == "memory" {
		where = "memory: 64MB"
	}
	fmt.Fprintf(&b, head, j.Listen, where)
	for _, one := range jobs() {
		for qos := 1; qos <= 2; qos++ {
			fmt.Fprintf(&b, pipeline, one[0], qos, j.Durability, one[1])
			if j.Influx != "" && one[0] == "tumbling" {
				fmt.Fprintf(&b, influx, j.Influx, qos)
			}
		}
	}
	return b.String()
}

// Judge compares the files of a job with what the publishers, each of which is
// done, have sent. tell gets what there is to say of each file.
func Judge(publishers []*Publisher, file func(name string) ([]byte, error), tell func(string)) (Verdict, error) {
	var sum Verdict
	for qos := byte(1); qos <= 2; qos++ {
		sent := Sent(publishers, qos)
		tumbling, session := map[string]map[int64]Count{}, map[string]map[int64]Count{}
		for name, n := range sent {
			tumbling[name], session[name] = Windows(n), Sessions(n)
		}
		for _, one := range jobs() {
			name := fmt.Sprintf("%s%d.ndjson", one[0], qos)
			b, err := file(name)
			if err != nil {
				return sum, err
			}
			var v Verdict
			var n, again int
			switch one[0] {
			case "tumbling":
				v, n, again = judgeWindows(b, tumbling)
			case "sessions":
				v, n, again = judgeWindows(b, session)
			case "rates":
				v, n, again = judgeRates(b, sent)
			}
			tell(fmt.Sprintf("%s: %d results, %d delivered again; %s", name, n, again, v))
			sum.Add(v)
		}
	}
	return sum, nil
}

// Sent returns how many messages of each device with a QoS count: all but the
// last, which only moves the watermark.
func Sent(publishers []*Publisher, qos byte) map[string]int {
	all := map[string]int{}
	for _, p := range publishers {
		if p.QoS == qos {
			all[p.Name] = p.State().Sent - 1
		}
	}
	return all
}

// Done reports whether all publishers have sent their last message, and all
// are acknowledged.
func Done(publishers []*Publisher) bool {
	return !slices.ContainsFunc(publishers, func(p *Publisher) bool { s := p.State(); return !s.Done() })
}
