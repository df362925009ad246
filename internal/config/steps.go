package config

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// bandsMax is the most columns of a deadband.
const bandsMax = 64

// Expressions compute columns, in the order of the file.
type Expressions []Pair

// Renames are new names by column, in the order of the file.
type Renames []Pair

// Conversions are units by column, such as F to C, in the order of the file.
type Conversions []Pair

// Roundings are decimals by column, in the order of the file.
type Roundings []Rounding

// Rounding says how many decimals a column keeps.
type Rounding struct {
	Column   string
	Decimals int
}

// Hash replaces texts by what only those with the secret can tell.
type Hash struct {
	Fields     []string `yaml:"fields,required" min:"1" doc:"columns of texts"`
	Secret     Secret   `yaml:"secret" doc:"the secret; ${NAME} takes it from the environment"`
	SecretFile string   `yaml:"secret_file" reads:"" doc:"file that holds the secret"`
	Digits     int      `yaml:"digits" min:"8" max:"64" doc:"hexadecimal digits that are left"`
}

// Deadband lets rows pass that tell something new.
type Deadband struct {
	Fields Bands         `yaml:"fields,required" doc:"how far each column may stray from what was last reported: 0.5, 2% of it, or 0.5 + 2%"`
	Every  time.Duration `yaml:"every" doc:"a row passes when the last one is this old; 0 for never"`
}

// Bands are how far columns may stray, in the order of the file.
type Bands []Band

// Band is how far a column may stray: Absolute, plus Percent of its value.
type Band struct {
	Column            string
	Absolute, Percent float64
}

// Compress keeps what a straight line cannot tell.
type Compress struct {
	Field     string        `yaml:"field,required" doc:"column of numbers"`
	Deviation float64       `yaml:"deviation,required" doc:"how far a reading may be from the line through the rows that are left"`
	Every     time.Duration `yaml:"every" doc:"longest time between two rows; 0 for any"`
}

// Dedupe drops rows that were there already.
type Dedupe struct {
	By     []string      `yaml:"by" doc:"columns in which such rows are equal, time for the event time; all of them unless said"`
	Within time.Duration `yaml:"within,required" min:"1" doc:"how long a row is remembered, from its arrival on"`
	Most   int           `yaml:"most" min:"1" max:"10000000" doc:"rows remembered; then the oldest are forgotten"`
}

// Sample is one of so many rows, or one in a time. One of both is set.
type Sample struct {
	Rows  int
	Every time.Duration
}

// Throttle lets so many rows pass in a time.
type Throttle struct {
	Rows int           `yaml:"rows,required" min:"1" max:"1000" doc:"most rows of a key"`
	Per  time.Duration `yaml:"per,required" min:"1" doc:"in this time, by arrival"`
}

// Fill makes rows where there are none.
type Fill struct {
	Every  time.Duration `yaml:"every,required" min:"1" doc:"time between rows"`
	With   FillWith      `yaml:"with" doc:"what fields get in rows that are made: what they had last, what a line to the next row tells, or a number"`
	Fields []string      `yaml:"fields" doc:"columns of numbers that get it; all others keep what they had"`
	Most   int           `yaml:"most" min:"1" max:"100000" doc:"most rows made in one gap"`
}

// FillWith is last, linear, or value and the value.
type FillWith struct {
	How   string
	Value float64
}

// Lookup adds columns from a table. One of File and Topic is set.
type Lookup struct {
	File    string     `yaml:"file" reads:"" doc:"file of comma-separated values; its first line names the columns"`
	Topic   string     `yaml:"topic" doc:"filter of the messages that are the table, JSON objects; an empty one takes an entry away"`
	By      []string   `yaml:"by" doc:"columns by which an entry is found; for a topic its named levels"`
	Columns []string   `yaml:"columns" doc:"file: columns that are added; all unless said"`
	Fields  FieldKinds `yaml:"fields" doc:"topic: fields that are added, with their kinds (number, int, bool, text)"`
	Most    int        `yaml:"most" min:"1" max:"1000000" doc:"topic: most entries"`
}

// Geo tells where rows are.
type Geo struct {
	Lat    string `yaml:"lat" doc:"column of the latitude, in degrees"`
	Lon    string `yaml:"lon" doc:"column of the longitude, in degrees"`
	Cell   int    `yaml:"cell" max:"12" doc:"letters of the geohash in the column cell: 5 are 5 km, 6 are 1 km, 7 are 150 m; 0 for none"`
	Fences string `yaml:"fences" reads:"" doc:"GeoJSON file of areas, for the columns fence and fence_event"`
}

func hashDefaults() Hash     { return Hash{Digits: 32} }
func dedupeDefaults() Dedupe { return Dedupe{Most: 100_000} }
func fillDefaults() Fill     { return Fill{With: FillWith{How: "last"}, Most: 1000} }
func lookupDefaults() Lookup { return Lookup{Most: 100_000} }
func geoDefaults() Geo       { return Geo{Lat: "lat", Lon: "lon"} }

func (h *Hash) fromNode(d *decoder, n *yaml.Node, path string) {
	*h = hashDefaults()
	type long Hash
	d.fields(n, settable((*long)(h)), path)
}

func (x *Dedupe) fromNode(d *decoder, n *yaml.Node, path string) {
	*x = dedupeDefaults()
	type long Dedupe
	d.fields(n, settable((*long)(x)), path)
}

func (f *Fill) fromNode(d *decoder, n *yaml.Node, path string) {
	*f = fillDefaults()
	type long Fill
	d.fields(n, settable((*long)(f)), path)
}

func (l *Lookup) fromNode(d *decoder, n *yaml.Node, path string) {
	*l = lookupDefaults()
	type long Lookup
	d.fields(n, settable((*long)(l)), path)
}

func (g *Geo) fromNode(d *decoder, n *yaml.Node, path string) {
	*g = geoDefaults()
	type long Geo
	d.fields(n, settable((*long)(g)), path)
}

// pairs reads a text for each column.
func (d *decoder) pairs(n *yaml.Node, path, of string) []Pair {
	var all []Pair
	d.mapping(n, path, of, func(key, value *yaml.Node, path string) {
		all = append(all, Pair{key.Value, d.textAt(value, path)})
	})
	d.some(n, path)
	return all
}

// some refuses a mapping without anything in it.
func (d *decoder) some(n *yaml.Node, path string) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.fail(n, path, "", "at least one column is needed")
	}
}

func (e *Expressions) fromNode(d *decoder, n *yaml.Node, path string) {
	*e = d.pairs(n, path, "an expression for each column")
	for _, x := range *e {
		if x.Name == "time" {
			d.problem(path+".time#key", "give the column another name", "time is the event time, and a step cannot change it")
		}
	}
}

func (r *Renames) fromNode(d *decoder, n *yaml.Node, path string) {
	*r = d.pairs(n, path, "a new name for each column")
	seen := map[string]bool{}
	for _, x := range *r {
		switch at := path + "." + x.Name; {
		case !d.there(at) || d.hasProblem(at):
		case x.Value == "" || x.Value == "time" || len(x.Value) > keyBytesMax:
			d.problem(at, "", "%q is no name for a column", x.Value)
		case seen[x.Value]:
			d.problem(at, "", "%q is there twice", x.Value)
		}
		seen[x.Value] = true
	}
}

func (c *Conversions) fromNode(d *decoder, n *yaml.Node, path string) {
	*c = d.pairs(n, path, "units for each column, such as F to C")
}

func (r *Roundings) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "decimals for each column", func(key, value *yaml.Node, path string) {
		x := Rounding{Column: key.Value}
		d.value(value, settable(&x.Decimals), `max:"15"`, path)
		*r = append(*r, x)
	})
	d.some(n, path)
}

func (b *Bands) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "a number or a percentage for each column", func(key, value *yaml.Node, path string) {
		if len(*b) == bandsMax {
			d.fail(key, path, "", "more than %d columns", bandsMax)
			return
		}
		x := Band{Column: key.Value}
		told := len(d.problems) + d.untold
		text := d.textAt(value, path)
		if len(d.problems)+d.untold == told && !x.parse(text) {
			d.fail(value, path, "write 0.5, 2% or 0.5 + 2%", "%s is not how far a number may stray", show(value))
		}
		*b = append(*b, x)
	})
	d.some(n, path)
}

// parse reads 0.5, 2% or 0.5 + 2%.
func (b *Band) parse(text string) bool {
	for part := range strings.SplitSeq(text, "+") {
		into := &b.Absolute
		part = strings.TrimSpace(part)
		if number, ok := strings.CutSuffix(part, "%"); ok {
			into, part = &b.Percent, strings.TrimSpace(number)
		}
		v, err := strconv.ParseFloat(part, 64)
		if err != nil || strings.Trim(part, "0123456789.") != "" || *into != 0 {
			return false
		}
		*into = v
	}
	return true
}

func (s *Sample) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		d.integer(n, settable(&s.Rows), `min:"1" max:"1000000000"`, path)
		return
	}
	if _, err := time.ParseDuration(n.Value); n.Kind != yaml.ScalarNode || err != nil {
		d.fail(n, path, "write 10 for every tenth row, or 10s for one in ten seconds", "%s is neither a number of rows nor a duration", show(n))
		return
	}
	d.duration(n, settable(&s.Every), `min:"1"`, path)
}

func (f *FillWith) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && (n.Value == "last" || n.Value == "linear") {
		f.How, f.Value = n.Value, 0
		return
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" {
		d.fail(n, path, "write last, linear or a number", "%s is no way to fill", show(n))
		return
	}
	f.How = "value"
	d.scalar(n, settable(&f.Value), "", path)
}
