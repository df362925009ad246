package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A section is one table of the reference.
type section struct {
	title  string
	about  string
	values any // a struct with its defaults
}

func sections() []section {
	return []section{
		{"The file", "Relative paths, here and below, start in the folder of the file.", fileDefaults()},
		{"broker", "", fileDefaults().Broker},
		{"access", "What no rule allows is denied, and a denial wins over whatever allows; their order means nothing. See [security](security.md).", Access{}},
		{"rights", "", Rights{}},
		{"another broker", "Below `brokers:` stands a name, and below the name:", otherBrokerDefaults()},
		{"http", "", fileDefaults().HTTP},
		{"journal", "", fileDefaults().Journal},
		{"clock", "", fileDefaults().Clock},
		{"functions", "", fileDefaults().Functions},
		{"log", "", fileDefaults().Log},
		{"simulate", "", simulateDefaults()},
		{"a pipeline", "Below `pipelines:` stands a name, and below the name:", pipelineDefaults()},
		{"decode", "The long form; `decode: json` is the short one.", pipelineDefaults().Decode},
		{"from another broker", "`from: {mqtt: upstream, topic: plant/#}`.", fromBrokerDefaults()},
		{"time", "The long form; `time: ts` is the short one.", pipelineDefaults().Time},
		{"steps", "Each is one of `" + strings.Join(stepKinds(), "`, `") + "`.", Step{}},
		{"window", "", windowDefaults()},
		{"limits", "", Limits{}},
		{"hash", "", hashDefaults()},
		{"deadband", "", Deadband{}},
		{"compress", "", Compress{}},
		{"dedupe", "", dedupeDefaults()},
		{"throttle", "", Throttle{}},
		{"fill", "", fillDefaults()},
		{"lookup", "", lookupDefaults()},
		{"geo", "", geoDefaults()},
		{"align", "", alignDefaults()},
		{"join", "", joinDefaults()},
		{"a branch", "Below `switch:` stands a name, and below the name:", Branch{}},
		{"topic", "These keys stand side by side: `- topic: alerts/{device}`, and below it `qos: 1`.", topicSinkDefaults()},
		{"stdout", "`- stdout:` alone writes JSON.", StdoutSink{}},
		{"file", "`- file: {path: readings.ndjson}`, or `- file: NAME` for a sink of `sinks:`.", fileSinkDefaults()},
		{"rotate", "", fileSinkDefaults().Rotate},
		{"influx", "`- influx: {…}`, or `- influx: NAME` for a sink of `sinks:`.", influxDefaults()},
		{"http sink", "`- http: {…}`, or `- http: NAME`, as below.", httpSinkDefaults()},
		{"postgres", "", postgresDefaults()},
		{"prometheus", "", prometheusDefaults()},
		{"nats", "", natsDefaults()},
		{"kafka", "", kafkaDefaults()},
		{"homeassistant", "", homeAssistantDefaults()},
		{"an entity", "Below `entities:` stands a name, and below the name:", Entity{Component: "sensor"}},
	}
}

// Reference returns every key as Markdown tables, from the same tags and
// defaults that the decoder uses. docs/pipelines.md holds it.
func Reference() string {
	var b strings.Builder
	for i, s := range sections() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "### %s\n\n", s.title)
		if s.about != "" {
			fmt.Fprintf(&b, "%s\n\n", s.about)
		}
		b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
		v := reflect.ValueOf(s.values)
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if key := keyOf(f); key != "" {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, takes(f), defaultOf(f, v.Field(i)), f.Tag.Get("doc"))
			}
		}
	}
	return b.String()
}

// takes says what the value of a field is.
func takes(f reflect.StructField) string {
	if words := f.Tag.Get("enum"); words != "" {
		return "`" + strings.ReplaceAll(words, ",", "`, `") + "`"
	}
	if s := byName(f.Type); s != "" {
		return s
	}
	switch f.Type {
	case reflect.TypeFor[Rights](), reflect.TypeFor[*Rights]():
		return "[rights](#rights)"
	case reflect.TypeFor[[]Target]():
		return "list of [topic](#topic), [stdout](#stdout), [file](#file), [influx](#influx), [http](#http-sink), [postgres](#postgres), [prometheus](#prometheus), [nats](#nats), [kafka](#kafka), [homeassistant](#homeassistant)"
	case reflect.TypeFor[[]Step]():
		return "list of [steps](#steps)"
	case reflect.TypeFor[From]():
		return "text, list of texts, text by stream, [another broker](#from-another-broker), or `{pipeline: NAME}`"
	case reflect.TypeFor[Every]():
		return "duration, or whole number"
	case reflect.TypeFor[*Sample]():
		return "whole number, or duration"
	case reflect.TypeFor[FillWith]():
		return "`last`, `linear`, or number"
	case reflect.TypeFor[Body]():
		return "text, or mapping"
	case reflect.TypeFor[[]int]():
		return "list of whole numbers"
	case reflect.TypeFor[Decode]():
		return "format, or [decode](#decode)"
	case reflect.TypeFor[TimeField]():
		return "field, or [time](#time)"
	case reflect.TypeFor[Idle]():
		return "duration, or `never`"
	}
	switch kind := f.Type.Kind(); {
	case kind == reflect.Slice:
		return "text, or list of texts"
	case kind == reflect.Struct || kind == reflect.Pointer:
		key := keyOf(f)
		return fmt.Sprintf("[%s](#%s)", key, key)
	}
	return strings.TrimPrefix(wordOf(f.Type), "a ") + within(f)
}

// byName says what the value of a field is whose keys are names, or "".
func byName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Pipelines]():
		return "[pipelines](#a-pipeline) by name"
	case reflect.TypeFor[OtherBrokers]():
		return "[brokers](#another-broker) by name"
	case reflect.TypeFor[UserRights]():
		return "[rights](#rights) by user"
	case reflect.TypeFor[Sinks]():
		return "sinks by name, of every kind but topic"
	case reflect.TypeFor[Switch]():
		return "[branches](#a-branch) by name"
	case reflect.TypeFor[Expressions]():
		return "expression by column"
	case reflect.TypeFor[Renames]():
		return "name by column"
	case reflect.TypeFor[Conversions]():
		return "units by column"
	case reflect.TypeFor[Roundings]():
		return "whole number by column"
	case reflect.TypeFor[Bands]():
		return "number, percentage or both by column"
	case reflect.TypeFor[Texts]():
		return "text by name"
	case reflect.TypeFor[Entities]():
		return "[entities](#an-entity) by name"
	case reflect.TypeFor[FieldKinds]():
		return "kind by field"
	case reflect.TypeFor[Pairs]():
		return "column by input"
	case reflect.TypeFor[Params]():
		return "number by parameter"
	case reflect.TypeFor[Aggregates]():
		return "aggregate by result column"
	}
	return ""
}

// within tells the bounds of a field.
func within(f reflect.StructField) string {
	number := func(n int64) string {
		if f.Type == reflect.TypeFor[Size]() {
			return Size(n).String()
		}
		return strconv.FormatInt(n, 10)
	}
	least, most := bounds(f.Tag)
	switch {
	case f.Type == reflect.TypeFor[time.Duration]():
		if least > 0 {
			return ", not 0"
		}
		return ""
	case most != math.MaxInt64:
		return fmt.Sprintf(", %s to %s", number(least), number(most))
	case least > 0:
		return ", at least " + number(least)
	}
	return ""
}

// defaultOf shows what stands in a field before the file is read.
func defaultOf(f reflect.StructField, v reflect.Value) string {
	text := ""
	switch x := v.Interface().(type) {
	case Idle:
		text = brief(x.After)
	case Decode:
		text = x.Format
	case FillWith:
		text = x.How
	case time.Duration:
		text = brief(x)
	case Size:
		text = x.String()
	case []string:
		text = strings.Join(x, ", ")
	default:
		if v.Kind() == reflect.String || v.Kind() == reflect.Bool || v.CanInt() {
			text = fmt.Sprint(x)
		}
	}
	least, _ := bounds(f.Tag)
	switch {
	case strings.HasSuffix(f.Tag.Get("yaml"), ",required"):
		return "required"
	case text == "" || least > 0 && v.IsZero():
		return "–"
	}
	return "`" + text + "`"
}

// brief writes a duration without its zeros: 1m and not 1m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
