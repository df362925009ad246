package decode

import (
	"fmt"
	"slices"
	"strings"
)

// A pbMessage is what a descriptor says of a message type.
type pbMessage struct {
	name     string
	fields   map[int]*pbField
	implicit []*pbField // fields whose zero is not sent
}

// A pbField is what a descriptor says of a field.
type pbField struct {
	name     string
	label    []byte // the name, as bytes
	number   int
	kind     int // a type of FieldDescriptorProto
	repeated bool
	typeName string     // of messages and enums
	message  *pbMessage // of a message
	enum     *pbEnum    // of an enum
}

// A pbEnum has the names of an enum's numbers.
type pbEnum struct{ names map[int32][]byte }

// Types of FieldDescriptorProto.
const (
	pbDouble = iota + 1
	pbFloat
	pbInt64
	pbUint64
	pbInt32
	pbFixed64
	pbFixed32
	pbBool
	pbString
	pbGroup
	pbSubmessage
	pbBytes
	pbUint32
	pbEnumeration
	pbSfixed32
	pbSfixed64
	pbSint32
	pbSint64
)

// pbTimestamp is a message that means a time.
const pbTimestamp = ".google.protobuf.Timestamp"

// A descriptorSet is what a FileDescriptorSet (descriptor.proto) says that is
// needed to read messages.
type descriptorSet struct {
	messages map[string]*pbMessage // by full name, with a dot before it
	enums    map[string]*pbEnum
}

// parseDescriptors reads what protoc --descriptor_set_out writes.
func parseDescriptors(p []byte) (*descriptorSet, error) {
	set := &descriptorSet{messages: map[string]*pbMessage{}, enums: map[string]*pbEnum{}}
	err := eachField(p, func(f wireField) error {
		if f.number == 1 {
			return set.file(f.data)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("no descriptor set, as protoc --include_imports --descriptor_set_out writes it: %w", err)
	}
	return set, set.link()
}

// eachField calls do for every field of a protobuf message.
func eachField(p []byte, do func(f wireField) error) error {
	s := scanner{language: "protobuf"}
	for i := 0; i < len(p); {
		f, next := s.wireField(p, i, 0)
		if next < 0 {
			return fmt.Errorf("%s", s.wrong)
		}
		if err := do(f); err != nil {
			return err
		}
		i = next
	}
	return nil
}

func (set *descriptorSet) file(p []byte) error {
	pkg, syntax := "", ""
	err := eachField(p, func(f wireField) error {
		switch f.number {
		case 2:
			pkg = "." + string(f.data)
		case 12:
			syntax = string(f.data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eachField(p, func(f wireField) error {
		switch f.number {
		case 4:
			return set.message(pkg, f.data, syntax == "proto3", 0)
		case 5:
			return set.enum(pkg, f.data)
		}
		return nil
	})
}

func nameOf(p []byte) (name string) {
	_ = eachField(p, func(f wireField) error {
		if f.number == 1 {
			name = string(f.data)
		}
		return nil
	})
	return name
}

func (set *descriptorSet) message(within string, p []byte, proto3 bool, depth int) error {
	if depth == depthMax {
		return fmt.Errorf("messages nested deeper than %d", depthMax)
	}
	m := &pbMessage{name: within + "." + nameOf(p), fields: map[int]*pbField{}}
	set.messages[m.name] = m
	return eachField(p, func(f wireField) error {
		switch f.number {
		case 2:
			return m.field(f.data, proto3)
		case 3:
			return set.message(m.name, f.data, proto3, depth+1)
		case 4:
			return set.enum(m.name, f.data)
		}
		return nil
	})
}

func (m *pbMessage) field(p []byte, proto3 bool) error {
	const labelRepeated = 3
	v, explicit := &pbField{}, !proto3
	err := eachField(p, func(f wireField) error {
		switch f.number {
		case 1:
			v.name = string(f.data)
		case 3:
			v.number = int(f.bits)
		case 4:
			v.repeated = f.bits == labelRepeated
		case 5:
			v.kind = int(f.bits)
		case 6:
			v.typeName = string(f.data)
		case 9, 17: // one of several, or optional
			explicit = true
		}
		return nil
	})
	v.label = []byte(v.name)
	m.fields[v.number] = v
	if !explicit && !v.repeated && v.kind != pbSubmessage && v.kind != pbGroup {
		m.implicit = append(m.implicit, v)
	}
	return err
}

func (set *descriptorSet) enum(within string, p []byte) error {
	e := &pbEnum{names: map[int32][]byte{}}
	set.enums[within+"."+nameOf(p)] = e
	return eachField(p, func(f wireField) error {
		if f.number != 2 {
			return nil
		}
		number, name := int32(0), ""
		err := eachField(f.data, func(f wireField) error {
			switch f.number {
			case 1:
				name = string(f.data)
			case 2:
				number = int32(f.bits)
			}
			return nil
		})
		e.names[number] = []byte(name)
		return err
	})
}

// link leads fields to the types that they name.
func (set *descriptorSet) link() error {
	for _, m := range set.messages {
		for _, f := range m.fields {
			switch f.kind {
			case pbSubmessage:
				f.message = set.messages[f.typeName]
			case pbEnumeration:
				f.enum = set.enums[f.typeName]
			}
			if f.kind == pbSubmessage && f.message == nil || f.kind == pbEnumeration && f.enum == nil {
				return fmt.Errorf("field %s.%s: its type %s is not in the descriptor set; protoc --include_imports puts it in", m.name[1:], f.name, f.typeName)
			}
		}
	}
	return nil
}

// find returns the message called name, with or without its package.
func (set *descriptorSet) find(name string) (*pbMessage, error) {
	if m := set.messages["."+strings.TrimPrefix(name, ".")]; m != nil {
		return m, nil
	}
	var all []string
	var found []*pbMessage
	for full, m := range set.messages {
		all = append(all, full[1:])
		if strings.HasSuffix(full, "."+name) {
			found = append(found, m)
		}
	}
	slices.Sort(all)
	if len(found) == 1 {
		return found[0], nil
	}
	const most = 12
	names := strings.Join(all[:min(len(all), most)], ", ")
	if len(all) > most {
		names += fmt.Sprintf(" and %d more", len(all)-most)
	}
	return nil, fmt.Errorf("protobuf: no one message is called %q; there are %s", name, names)
}
