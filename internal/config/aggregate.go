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
var aggregateOps = [...]string{"count", "sum", "mean", "min", "max", "range", "stddev", "first", "last", "median"}

var (
	aggregateRule  = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z0-9_.]*)\s*\(\s*([^()\s,]*)\s*\)\s*$`)
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
	if m == nil {
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
	case a.Op != "count" && a.Column == "":
		d.fail(n, a.Path, fmt.Sprintf("such as %s(temp)", a.Op), "%s needs a column", a.Op)
	case a.Arg != 0:
		a.Op = "quantile"
	case a.Op == "median":
		a.Op, a.Arg = "quantile", 0.5
	}
}
