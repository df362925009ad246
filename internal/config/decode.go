package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// A decoder fills structs from nodes and collects every problem.
type decoder struct {
	src      *source
	problems Problems
	untold   int // problems beyond problemsMax
	spent    int // values read
}

// full reports whether no more problems will be told.
func (d *decoder) full() bool { return len(d.problems) >= problemsMax }

func (d *decoder) fail(n *yaml.Node, path, hint, format string, args ...any) {
	if d.full() {
		d.untold++
		return
	}
	if d.spent > valuesMax && len(d.problems) > 0 {
		return // what is wrong beyond is not known
	}
	d.problems = append(d.problems, d.src.at(n, path, fmt.Sprintf(format, args...), hint))
}

// hasProblem reports whether there is a problem at path or below.
func (d *decoder) hasProblem(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Path == path || strings.HasPrefix(p.Path, path+".") })
}

// told returns the problems in order; one that several aliases lead to, once.
func (d *decoder) told() Problems {
	d.problems.Sort()
	ps := slices.CompactFunc(d.problems, func(a, b Problem) bool { return a.Line == b.Line && a.Col == b.Col && a.Msg == b.Msg })
	if d.untold > 0 {
		ps = append(ps, Problem{File: d.src.file, Msg: fmt.Sprintf("%d more problems", d.untold)})
	}
	return ps
}

// didYouMean returns a hint for a word that is none of known.
func (d *decoder) didYouMean(word, what string, known []string) string {
	const most = 24
	if d.full() {
		return ""
	}
	if near := Closest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) > most {
		return fmt.Sprintf("%s: %s and %d more", what, strings.Join(known[:most], ", "), len(known)-most)
	}
	return what + ": " + strings.Join(known, ", ")
}

// A fromNode reads itself from a node, because it has a short form or its keys are names.
type fromNode interface {
	fromNode(d *decoder, n *yaml.Node, path string)
}

// spend counts a value; false says that there are too many.
func (d *decoder) spend(n *yaml.Node, path string) bool {
	if d.spent > valuesMax {
		return false
	}
	if d.spent++; d.spent > valuesMax {
		d.problems, d.untold = nil, 0
		d.fail(n, path, "an alias counts as often as it is used", "more than %d values", valuesMax)
		return false
	}
	return true
}

// value reads n into v; rules are the tags of the field that v is.
func (d *decoder) value(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.src.values[path] = n
	if !d.spend(n, path) || !d.present(n, path) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if special, ok := v.Addr().Interface().(fromNode); ok {
		special.fromNode(d, n, path)
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(n, v, rules, path)
	case v.Kind() == reflect.Struct:
		d.fields(n, v, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		d.texts(n, v, rules, path)
	case v.Kind() == reflect.Slice:
		d.list(n, v, rules, path)
	default:
		d.scalar(n, v, rules, path)
	}
}

// present reports whether n is a value without a tag of its own.
func (d *decoder) present(n *yaml.Node, path string) bool {
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n, path, "leave the tag out", "tags (words that begin with !) have no meaning here")
	case isNull(n):
		d.fail(n, path, "give it a value, or leave it out", "no value")
	default:
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// fields reads a mapping into a struct.
func (d *decoder) fields(n *yaml.Node, v reflect.Value, path string) {
	known := keysOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "known keys: "+strings.Join(known, ", "), "want a mapping, have %s", kindOf(n))
		return
	}
	seen := map[string]bool{}
	d.each(n, path, func(key, value *yaml.Node) {
		seen[key.Value] = true
		i := fieldOf(v.Type(), key.Value)
		if i < 0 {
			d.fail(key, path, d.didYouMean(key.Value, "known keys", known), "unknown key %q", key.Value)
			seen[Closest(key.Value, known)] = true // a slip is one mistake, not also a missing key
			return
		}
		d.value(value, v.Field(i), v.Type().Field(i).Tag, join(path, key.Value))
	})
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if option == "required" && !seen[name] {
			d.fail(d.owner(n, path), path, name+": "+v.Type().Field(i).Tag.Get("doc"), "missing key %q", name)
		}
	}
}

// owner returns the key that the mapping n belongs to, or n.
func (d *decoder) owner(n *yaml.Node, path string) *yaml.Node {
	if key := d.src.keys[path]; key != nil {
		return key
	}
	return n
}

// each calls do for every key of a mapping, once.
func (d *decoder) each(n *yaml.Node, path string, do func(key, value *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && d.spend(n, path); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0:
			d.fail(key, path, "", "a key is a plain word")
		case key.Tag == "!!merge":
			d.fail(key, path, "mark a value with &name and repeat it with *name", "merging with << is not supported")
		case key.Value == "" || len(key.Value) > keyBytesMax:
			d.fail(key, path, "", "a key has 1 to %d bytes", keyBytesMax)
		case seen[key.Value]:
			d.fail(key, path, "", "key %q is there twice", key.Value)
		default:
			seen[key.Value] = true
			d.src.keys[join(path, key.Value)] = key
			do(key, n.Content[i+1])
		}
	}
}

// texts reads a list of texts, or one text.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	if n.Kind == yaml.ScalarNode {
		n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}, Line: n.Line, Column: n.Column}
	}
	d.list(n, v, rules, path)
}

// list reads a list; it takes the place of the default.
func (d *decoder) list(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "begin each item with '- '", "want a list, have %s", kindOf(n))
		return
	}
	if len(n.Content) == 0 && rules.Get("min") != "" {
		d.fail(n, path, "", "at least one is needed")
	}
	v.SetZero()
	for i, item := range n.Content {
		if d.spent > valuesMax {
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(item, e, "", fmt.Sprintf("%s[%d]", path, i))
		v.Set(reflect.Append(v, e))
	}
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	x, err := time.ParseDuration(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.fail(n, path, "write a number and a unit, such as 500ms, 10s, 5m or 24h", "%s is not a duration", show(n))
	case x < 0 || x == 0 && rules.Get("min") != "":
		d.fail(n, path, "a duration here is longer than 0", "%s is too short", n.Value)
	case x%time.Microsecond != 0:
		d.fail(n, path, "time is counted in microseconds (us)", "%s is too fine", n.Value)
	default:
		v.SetInt(int64(x))
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "", "want %s, have %s", wordOf(v.Type()), kindOf(n))
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[Size]():
		d.size(n, v, rules, path)
	case v.Kind() == reflect.String:
		d.text(n, v, rules, path)
	case v.Kind() == reflect.Bool:
		if n.Tag != "!!bool" {
			d.fail(n, path, "write true or false, without quotes", "want true or false, have %s", show(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case v.CanInt():
		d.integer(n, v, rules, path)
	case v.CanFloat():
		x, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
		if n.Tag != "!!int" && n.Tag != "!!float" || err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			d.fail(n, path, "write it like 3 or -0.5, without quotes", "want a number, have %s", show(n))
			return
		}
		v.SetFloat(x)
	default:
		panic("BUG: no way to read a " + v.Type().String())
	}
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	v.SetString(n.Value)
	if envRule.MatchString(n.Value) {
		d.fail(n, path, "token and password can be taken from the environment", "%s means nothing here", n.Value)
		return
	}
	allowed := rules.Get("enum")
	if words := strings.Split(allowed, ","); allowed != "" && !slices.Contains(words, n.Value) {
		d.fail(n, path, d.didYouMean(n.Value, "one of", words), "unknown %s %s", path[strings.LastIndexByte(path, '.')+1:], show(n))
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	x, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 10, v.Type().Bits())
	if n.Tag != "!!int" || err != nil {
		d.fail(n, path, "write it like 3, without quotes", "want a whole number, have %s", show(n))
		return
	}
	least, most := bounds(rules)
	switch {
	case x < least:
		d.fail(n, path, fmt.Sprintf("the least is %d", least), "%s is too little", n.Value)
	case x > most:
		d.fail(n, path, fmt.Sprintf("the most is %d", most), "%s is too much", n.Value)
	default:
		v.SetInt(x)
	}
}

func (d *decoder) size(n *yaml.Node, v reflect.Value, rules reflect.StructTag, path string) {
	x, ok := parseSize(n.Value)
	if !ok {
		d.fail(n, path, "write bytes, or a size such as 64MiB, 10MB or 256KiB", "%s is not a size", show(n))
		return
	}
	least, most := bounds(rules)
	most = min(most, math.MaxInt) // sizes become int; it is small on small machines
	switch {
	case int64(x) < least:
		d.fail(n, path, fmt.Sprintf("the least is %s", Size(least)), "%s is too little", n.Value)
	case int64(x) > most:
		d.fail(n, path, fmt.Sprintf("the most is %s", Size(most)), "%s is too much", n.Value)
	default:
		v.SetInt(int64(x))
	}
}

// bounds returns the least and the most that the tags allow.
func bounds(rules reflect.StructTag) (least, most int64) {
	most = math.MaxInt64
	for name, bound := range map[string]*int64{"min": &least, "max": &most} {
		if s := rules.Get(name); s != "" {
			x, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				panic("BUG: " + err.Error())
			}
			*bound = x
		}
	}
	return least, most
}

func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// keyOf returns the key of a field, or "" when it has none.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return strings.TrimPrefix(name, "-")
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := keyOf(t.Field(i)); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldOf(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if keyOf(t.Field(i)) == key {
			return i
		}
	}
	return -1
}

// wordOf says in a user's words what a scalar of type t takes.
func wordOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Size]():
		return "a size"
	case t == reflect.TypeFor[time.Duration]():
		return "a duration"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return show(n)
}

// show quotes a scalar, shortened.
func show(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return kindOf(n)
	}
	const most = 60 // bytes
	if len(n.Value) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(n.Value[:most], ""))
	}
	return fmt.Sprintf("%q", n.Value)
}
