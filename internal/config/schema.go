package config

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"time"
)

// An object is a JSON object of a schema.
type object = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of a configuration, for
// editors: keys, kinds, words, bounds, defaults and meanings from the same
// tags as the reference. It lets through some of what only Parse can refuse,
// such as names of columns.
func Schema() []byte {
	s := schema{defs: object{}, defaults: map[reflect.Type]reflect.Value{}}
	for _, part := range sections() {
		v := reflect.ValueOf(part.values)
		s.defaults[v.Type()] = v
	}
	root := s.fields(reflect.TypeFor[File]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "millrace configuration"
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(text, '\n')
}

// A schema gathers the definitions of structs on the way through their fields.
type schema struct {
	defs     object
	defaults map[reflect.Type]reflect.Value // what stands in a struct before it is read
}

// fields returns the schema of a mapping that is read into a struct.
func (s *schema) fields(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		key := keyOf(f)
		if key == "" {
			continue
		}
		value := s.value(f.Type, f.Tag)
		value["description"] = f.Tag.Get("doc")
		if v, ok := s.defaults[t]; ok {
			setDefault(value, v.Field(i))
		}
		properties[key] = value
		if strings.HasSuffix(f.Tag.Get("yaml"), ",required") {
			required = append(required, key)
		}
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func setDefault(value object, v reflect.Value) {
	switch x := v.Interface().(type) {
	case time.Duration:
		if x != 0 {
			value["default"] = brief(x)
		}
	case Size:
		if x != 0 {
			value["default"] = x.String()
		}
	case string, bool, int, int64, float64:
		if !v.IsZero() {
			value["default"] = x
		}
	}
}

// def returns a reference to the definition of a struct.
func (s *schema) def(t reflect.Type) object {
	if _, ok := s.defs[t.Name()]; !ok {
		s.defs[t.Name()] = object{} // a struct may hold itself
		s.defs[t.Name()] = s.fields(t)
	}
	return object{"$ref": "#/$defs/" + t.Name()}
}

// value returns the schema of what is read into a t with these tags.
func (s *schema) value(t reflect.Type, tag reflect.StructTag) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if o := s.special(t); o != nil {
		return o
	}
	_, short := reflect.New(t).Interface().(fromNode)
	switch {
	case t.Kind() == reflect.Struct && short:
		return anyOf(s.def(t), scalar())
	case t.Kind() == reflect.Struct:
		return s.def(t)
	case t.Kind() == reflect.Slice && short: // by name
		return object{"type": "object", "additionalProperties": s.named(t.Elem())}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return anyOf(text(), object{"type": "array", "items": text()})
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": s.value(t.Elem(), "")}
	case t.Kind() == reflect.String:
		return words(tag)
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return object{"type": "number"}
	}
	least, most := bounds(tag)
	o := object{"type": "integer", "minimum": least}
	if most != math.MaxInt64 {
		o["maximum"] = most
	}
	return o
}

// special returns the schema of a type that is read in a way of its own, or nil.
func (s *schema) special(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[Size]():
		return anyOf(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": "^[0-9][0-9._]* ?(B|KB|kB|MB|GB|KiB|MiB|GiB)?$"})
	case reflect.TypeFor[Secret]():
		return text()
	case reflect.TypeFor[Body]():
		return object{"type": []string{"string", "object", "array"}}
	case reflect.TypeFor[Every]():
		return anyOf(s.value(reflect.TypeFor[time.Duration](), ""), object{"type": "integer", "minimum": 1})
	case reflect.TypeFor[Idle]():
		return text()
	case reflect.TypeFor[Version]():
		return object{"enum": []any{5, "5", Older}}
	case reflect.TypeFor[From]():
		return anyOf(text(), object{"type": "array", "items": text()}, s.def(reflect.TypeFor[FromBroker]()),
			object{"type": "object", "additionalProperties": text(), "not": object{"required": []string{"mqtt"}}})
	case reflect.TypeFor[Step]():
		return s.def(t)
	case reflect.TypeFor[Target]():
		return s.target(t)
	}
	return nil
}

// named returns the schema of what stands behind a name.
func (s *schema) named(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[Pipeline](), reflect.TypeFor[Branch](), reflect.TypeFor[OtherBroker](), reflect.TypeFor[Entity]():
		return s.def(t)
	case reflect.TypeFor[NamedSink]():
		return s.target(reflect.TypeFor[Target]())
	case reflect.TypeFor[UserRight]():
		return s.def(reflect.TypeFor[Rights]())
	case reflect.TypeFor[Text]():
		return text()
	case reflect.TypeFor[FieldKind]():
		return words(`enum:"number,int,bool,text"`)
	}
	return object{}
}

// target returns the schema of a sink: {KIND: {…}}, {KIND: name of a sink} or
// {topic: a/b, qos: 1}.
func (s *schema) target(t reflect.Type) object {
	if _, ok := s.defs[t.Name()]; !ok {
		var kinds []object
		for _, kind := range sinkKinds {
			f, ok := t.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, kind) })
			if !ok {
				panic("BUG: no field for the sink " + kind)
			}
			o := s.fields(f.Type.Elem())
			if kind != "topic" {
				o = object{
					"type": "object", "required": []string{kind}, "additionalProperties": false,
					"properties": object{kind: anyOf(o, text(), object{"type": "null"})},
				}
			}
			kinds = append(kinds, o)
		}
		s.defs[t.Name()] = anyOf(kinds...)
	}
	return object{"$ref": "#/$defs/" + t.Name()}
}

func words(tag reflect.StructTag) object {
	if enum := tag.Get("enum"); enum != "" {
		return object{"type": "string", "enum": strings.Split(enum, ",")}
	}
	return text()
}

func text() object { return object{"type": "string"} }

func scalar() object { return object{"type": []string{"string", "number", "boolean"}} }

func anyOf(all ...object) object { return object{"anyOf": all} }
