package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Aggregates by name, beside pNN.
var aggregateOps = [...]string{
	"count", "sum", "mean", "min", "max", "range", "stddev", "variance", "first", "last", "median",
	"rate", "integral", "time_mean", "distinct", "mode", "top",
}

// topMax is the most values of top.
const topMax = 10

// Seconds by unit of time, of rate and integral.
var unitSeconds = map[string]float64{"s": 1, "min": 60, "h": 3600, "d": 86400}

var (
	aggregateRule  = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z0-9_.]*)\s*\(\s*([^()\s,]*)\s*(?:,\s*([^()\s,]+)\s*)?\)\s*$`)
	percentileRule = regexp.MustCompile(`^p[0-9]{1,2}(\.[0-9]{1,6})?$`)
)

func (as *Aggregates) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "an aggregate for each result column", func(key, value *yaml.Node, path string) {
		a := Aggregate{Name: key.Value, Path: path}
		told := len(d.problems) + d.untold
		text := d.textAt(value, path)
		if len(d.problems)+d.untold == told {
			a.parse(d, value, text)
		}
		*as = append(*as, a)
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.fail(n, path, "such as mean: mean(temp)", "a window needs an aggregate")
	}
}

// parse reads mean(temp), p99.9(temp) or count().
func (a *Aggregate) parse(d *decoder, n *yaml.Node, text string) {
	m := aggregateRule.FindStringSubmatch(text)
	if m == nil || m[3] != "" && !takesTwo(m[1]) {
		d.fail(n, a.Path, "write it like mean(temp), p95(temp) or count()", "%s is no aggregate", show(n))
		return
	}
	a.Op, a.Column = m[1], m[2]
	switch {
	case slices.Contains(aggregateOps[:], a.Op):
	case percentileRule.MatchString(a.Op):
		a.Arg, _ = strconv.ParseFloat(a.Op[1:], 64) // the rule lets only numbers through
		if a.Arg /= 100; a.Arg == 0 {
			d.fail(n, a.Path, "min() is an aggregate of its own", "%s is no percentile", a.Op)
			return
		}
	default:
		known := append(aggregateOps[:], "p50", "p95", "p99", "p99.9")
		d.fail(n, a.Path, d.didYouMean(strings.ToLower(a.Op), "known aggregates", known), "unknown aggregate %q", a.Op)
		return
	}
	switch {
	case a.Op == "count" && a.Column != "":
		d.fail(n, a.Path, "write count()", "count counts messages and takes no column")
	case a.Op == "top":
		a.top(d, n, m[2], m[3])
	case a.Op != "count" && a.Column == "":
		d.fail(n, a.Path, fmt.Sprintf("such as %s(temp)", a.Op), "%s needs a column", a.Op)
	case takesTwo(a.Op):
		a.unit(d, n, m[3])
	case a.Arg != 0:
		a.Op = "quantile"
	case a.Op == "median":
		a.Op, a.Arg = "quantile", 0.5
	}
}

// takesTwo tells whether an aggregate may have two arguments.
func takesTwo(op string) bool { return op == "top" || op == "rate" || op == "integral" }

// top reads how many values of which column.
func (a *Aggregate) top(d *decoder, n *yaml.Node, many, column string) {
	k, err := strconv.Atoi(many)
	if err != nil || k < 1 || k > topMax || column == "" {
		d.fail(n, a.Path, "such as top(3, status)", "top takes a number from 1 to %d and a column", topMax)
		return
	}
	a.Column, a.Arg = column, float64(k)
}

// unit reads the unit of time, seconds unless said.
func (a *Aggregate) unit(d *decoder, n *yaml.Node, unit string) {
	if unit == "" {
		unit = "s"
	}
	seconds, ok := unitSeconds[unit]
	if !ok {
		d.fail(n, a.Path, fmt.Sprintf("such as %s(%s, h); there are s, min, h and d", a.Op, a.Column), "%q is no unit of time", unit)
		return
	}
	a.Arg = seconds
}
