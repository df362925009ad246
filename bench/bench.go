// Package bench has the configurations that are measured: for each job of
// bench/native, the pipeline that gives the same results.
package bench

import (
	"fmt"
	"strings"

	"millrace.dev/millrace/bench/native"
)

// An Address is where a measured node listens and what it keeps.
type Address struct {
	MQTT, HTTP string // host:port
	Cache      string // folder of compiled functions
	QoS        byte   // of the results
}

// YAML returns the configuration of a node that does job k.
func YAML(k native.Kind, a Address) string {
	var b strings.Builder
	fmt.Fprintf(&b, "broker: {listen: [\"mqtt://%s\"]}\nhttp: {listen: %q}\nlog: {level: warn}\n", a.MQTT, a.HTTP)
	if a.Cache != "" {
		fmt.Fprintf(&b, "functions: {cache: %q}\n", a.Cache)
	}
	fmt.Fprintf(&b, `pipelines:
  %v:
    from: plant/+/reading
    time: ts
    key: device
    lateness: 1s
    steps:
%s    to:
      - topic: %s{device}
        qos: %d
        fields: [%s]
`, k, steps(k), native.TopicPrefix, a.QoS, strings.Join(Fields(k), ", "))
	return b.String()
}

func steps(k native.Kind) string {
	const (
		window = "      - window: {tumbling: 1s, fields: {mean: mean(temp), low: min(temp), high: max(temp), n: count()}}\n"
		score  = "      - function: zscore\n        input: {value: %s}\n      - where: anomaly\n"
	)
	switch k {
	case native.Filter:
		return "      - where: temp > 30\n"
	case native.Window:
		return window
	case native.ZScore:
		return fmt.Sprintf(score, "temp")
	}
	return "      - where: temp > -40 and temp < 150\n" + window + fmt.Sprintf(score, "mean")
}

// Fields returns the columns of a result of job k.
func Fields(k native.Kind) []string {
	switch k {
	case native.Filter:
		return []string{"time", "device", "temp"}
	case native.Window:
		return []string{"time", "device", "mean", "low", "high", "n"}
	case native.ZScore:
		return []string{"time", "device", "temp", "score", "expected"}
	}
	return []string{"time", "device", "mean", "low", "high", "n", "score", "expected"}
}
