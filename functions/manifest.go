package functions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"unicode/utf8"

	"millrace.dev/millrace/pipeline"
)

// Limits of a manifest.
const (
	manifestBytesMax = 64 << 10
	inputsMax        = 256
	outputsMax       = 64
	paramsMax        = 256
	docBytesMax      = 1000
)

// A Manifest is what a module says of itself.
type Manifest struct {
	Name, Version, Doc string
	In, Out            []Field
	Params             []Param
	State              string // slots, or memory: all of its memory and globals
	StateVersion       int
	Heap               bool // it has an allocator or collector that a trap may leave in the middle
	Raw                bool // it wants topic and payload
	Timers             bool // it sets timers
	Variadic           bool // columns and outputs follow from parameters
}

// A Field is a column that a function reads or writes.
type Field struct {
	Name string
	Kind pipeline.Kind
	Doc  string
}

// A Param is a number that a pipeline may set. Min and Max are nil where
// there is no such limit; both are inclusive.
type Param struct {
	Name     string
	Default  float64
	Min, Max *float64
	Doc      string
}

// The manifest as it is written.
type (
	manifestJSON struct {
		Name         string      `json:"name"`
		Version      string      `json:"version"`
		Doc          string      `json:"doc"`
		In           []fieldJSON `json:"in"`
		Out          []fieldJSON `json:"out"`
		Params       []paramJSON `json:"params"`
		State        string      `json:"state"`
		StateVersion int         `json:"state_version"`
		Heap         bool        `json:"heap"`
		Raw          bool        `json:"raw"`
		Timers       bool        `json:"timers"`
		Variadic     bool        `json:"variadic"`
	}
	fieldJSON struct {
		Name string `json:"name"`
		Type string `json:"type"`
		Doc  string `json:"doc"`
	}
	paramJSON struct {
		Name    string   `json:"name"`
		Default float64  `json:"default"`
		Min     *float64 `json:"min"`
		Max     *float64 `json:"max"`
		Doc     string   `json:"doc"`
	}
)

var nameRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

// parseManifest reads a manifest strictly: what it does not know is a mistake.
func parseManifest(text []byte) (Manifest, error) {
	m, err := decodeManifest(text)
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

func decodeManifest(text []byte) (Manifest, error) {
	if len(text) > manifestBytesMax {
		return Manifest{}, fmt.Errorf("%d bytes, the most is %d", len(text), manifestBytesMax)
	}
	if !utf8.Valid(text) {
		return Manifest{}, errors.New("is not UTF-8")
	}
	var j manifestJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return Manifest{}, errors.New(trimJSON(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return Manifest{}, errors.New("something follows the JSON object")
	}
	return j.check()
}

func trimJSON(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the JSON ends in the middle"
	}
	return string(bytes.TrimPrefix([]byte(err.Error()), []byte("json: ")))
}

func (j *manifestJSON) check() (Manifest, error) {
	m := Manifest{
		Name: j.Name, Version: j.Version, Doc: j.Doc, State: j.State, StateVersion: j.StateVersion,
		Heap: j.Heap, Raw: j.Raw, Timers: j.Timers, Variadic: j.Variadic,
	}
	if m.State == "" {
		m.State = stateSlots
	}
	switch {
	case !nameRule.MatchString(m.Name):
		return m, fmt.Errorf("name %.70q: want a letter, then letters, digits, _ . or -, 64 at most", m.Name)
	case len(m.Version) > 64 || len(m.Doc) > docBytesMax:
		return m, fmt.Errorf("version or doc is too long: the most are 64 and %d bytes", docBytesMax)
	case m.State != stateSlots && m.State != stateMemory:
		return m, fmt.Errorf("state %.70q: want slots or memory", m.State)
	case m.StateVersion < 0 || m.StateVersion > math.MaxInt32:
		return m, fmt.Errorf("state_version %d: want 0 to %d", m.StateVersion, math.MaxInt32)
	case len(j.In) > inputsMax || len(j.Out) > outputsMax || len(j.Params) > paramsMax:
		return m, fmt.Errorf("%d inputs, %d outputs, %d params: the most are %d, %d, %d", len(j.In), len(j.Out), len(j.Params), inputsMax, outputsMax, paramsMax)
	}
	var err error
	if m.In, err = fields("in", j.In, "f64", "i64", "bool", "text", "bytes"); err != nil {
		return m, err
	}
	if m.Out, err = fields("out", j.Out, "f64", "i64", "bool"); err != nil {
		return m, err
	}
	m.Params, err = params(j.Params)
	return m, err
}

const (
	stateSlots  = "slots"
	stateMemory = "memory"
)

// fields checks the columns of a list; a column's kind is the place of its
// type among those that exist, from 1.
func fields(list string, all []fieldJSON, types ...string) ([]Field, error) {
	var out []Field
	seen := map[string]bool{}
	for i, f := range all {
		kind := 0
		for k, t := range types {
			if f.Type == t {
				kind = k + 1
			}
		}
		switch {
		case !nameRule.MatchString(f.Name):
			return nil, fmt.Errorf("%s[%d]: name %.70q: want a letter, then letters, digits, _ . or -, 64 at most", list, i, f.Name)
		case seen[f.Name]:
			return nil, fmt.Errorf("%s[%d]: %s is there twice", list, i, f.Name)
		case kind == 0:
			return nil, fmt.Errorf("%s[%d] %s: type %.70q: want one of %v", list, i, f.Name, f.Type, types)
		case len(f.Doc) > docBytesMax:
			return nil, fmt.Errorf("%s[%d] %s: doc is too long: the most is %d bytes", list, i, f.Name, docBytesMax)
		}
		seen[f.Name] = true
		out = append(out, Field{f.Name, pipeline.Kind(kind), f.Doc})
	}
	return out, nil
}

func params(all []paramJSON) ([]Param, error) {
	var out []Param
	seen := map[string]bool{}
	for i, j := range all {
		p := Param(j)
		switch {
		case !nameRule.MatchString(p.Name):
			return nil, fmt.Errorf("params[%d]: name %.70q: want a letter, then letters, digits, _ . or -, 64 at most", i, p.Name)
		case seen[p.Name]:
			return nil, fmt.Errorf("params[%d]: %s is there twice", i, p.Name)
		case p.Min != nil && p.Max != nil && *p.Min > *p.Max:
			return nil, fmt.Errorf("params[%d] %s: min %v is above max %v", i, p.Name, *p.Min, *p.Max)
		case len(p.Doc) > docBytesMax:
			return nil, fmt.Errorf("params[%d] %s: doc is too long: the most is %d bytes", i, p.Name, docBytesMax)
		}
		if why := p.refuses(p.Default); why != "" {
			return nil, fmt.Errorf("params[%d] %s: default %s", i, p.Name, why)
		}
		seen[p.Name] = true
		out = append(out, p)
	}
	return out, nil
}

// refuses says why v is no value for p, or "".
func (p *Param) refuses(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Sprintf("%v is not a finite number", v)
	case p.Min != nil && v < *p.Min:
		return fmt.Sprintf("%v is below the least, %v", v, *p.Min)
	case p.Max != nil && v > *p.Max:
		return fmt.Sprintf("%v is above the most, %v", v, *p.Max)
	}
	return ""
}
