package decode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/millrace/pipeline"
)

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, typeName string, repeated bool) *descriptorpb.FieldDescriptorProto {
	label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	if repeated {
		label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	}
	f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: &label, Type: &kind, JsonName: &name}
	if typeName != "" {
		f.TypeName = &typeName
	}
	return f
}

// plantProto is what protoc would write for
//
//	syntax = "proto3"; package plant;
//	enum State { OFF = 0; RUNNING = 1; }
//	message Block { google.protobuf.Timestamp at = 1; string id = 2; repeated Part parts = 3; repeated double samples = 4; …
//	  message Part { float temp = 1; State state = 2; optional int32 maybe = 3; } }
func plantProto(t testing.TB) ([]byte, protoreflect.MessageDescriptor) {
	const (
		double, float, text, boolean = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_FLOAT, descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_BOOL
		message, enum                = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_ENUM
	)
	maybe := field("maybe", 3, descriptorpb.FieldDescriptorProto_TYPE_INT32, "", false)
	maybe.Proto3Optional, maybe.OneofIndex = proto.Bool(true), proto.Int32(0)
	part := &descriptorpb.DescriptorProto{
		Name:      proto.String("Part"),
		Field:     []*descriptorpb.FieldDescriptorProto{field("temp", 1, float, "", false), field("state", 2, enum, ".plant.State", false), maybe},
		OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: proto.String("_maybe")}},
	}
	block := &descriptorpb.DescriptorProto{
		Name: proto.String("Block"), NestedType: []*descriptorpb.DescriptorProto{part},
		Field: []*descriptorpb.FieldDescriptorProto{
			field("at", 1, message, ".google.protobuf.Timestamp", false), field("id", 2, text, "", false),
			field("parts", 3, message, ".plant.Block.Part", true), field("samples", 4, double, "", true),
			field("i32", 5, descriptorpb.FieldDescriptorProto_TYPE_INT32, "", false), field("s32", 6, descriptorpb.FieldDescriptorProto_TYPE_SINT32, "", false),
			field("s64", 7, descriptorpb.FieldDescriptorProto_TYPE_SINT64, "", false), field("f32", 8, descriptorpb.FieldDescriptorProto_TYPE_FIXED32, "", false),
			field("sf32", 9, descriptorpb.FieldDescriptorProto_TYPE_SFIXED32, "", false), field("sf64", 10, descriptorpb.FieldDescriptorProto_TYPE_SFIXED64, "", false),
			field("u64", 11, descriptorpb.FieldDescriptorProto_TYPE_UINT64, "", false), field("ok", 12, boolean, "", false),
			field("names", 13, text, "", true), field("one", 14, message, ".plant.Block.Part", false), field("counts", 15, descriptorpb.FieldDescriptorProto_TYPE_SINT32, "", true),
		},
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("plant.proto"), Package: proto.String("plant"), Syntax: proto.String("proto3"), Dependency: []string{"google/protobuf/timestamp.proto"},
		MessageType: []*descriptorpb.DescriptorProto{block},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: proto.String("State"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: proto.String("OFF"), Number: proto.Int32(0)}, {Name: proto.String("RUNNING"), Number: proto.Int32(1)}}}},
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto), file}}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName("plant.Block")
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return bytes, d.(protoreflect.MessageDescriptor)
}

// encodeProto returns the message that protojson reads from text.
func encodeProto(t testing.TB, d protoreflect.MessageDescriptor, text string) string {
	m := dynamicpb.NewMessage(d)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	p, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestProtobufIsReadByItsDescriptor(t *testing.T) {
	set, block := plantProto(t)
	pb := Protobuf{Descriptor: set, Message: "plant.Block"}
	c := Config{
		Format: "protobuf", Protobuf: pb, Time: TimeField{Name: "at"},
		Fields: append(append(append(fieldsOf(pipeline.Int, "i32", "s32", "s64", "f32", "sf32", "sf64"), fieldsOf(pipeline.Float, "u64", "samples[1]", "parts[1].temp", "one.temp", "one.maybe")...), fieldsOf(pipeline.Text, "id", "one.state", "names[0]")...), fieldsOf(pipeline.Bool, "ok")...),
	}
	d := newDecoder(t, c)
	at := time.UnixMicro(newYear).UTC().Add(2500 * time.Millisecond).Format(time.RFC3339Nano)
	checkRows(t, d, "x", encodeProto(t, block, `{"at":"`+at+`","id":"é","parts":[{"temp":1},{"temp":2.5}],"samples":[1,-2],"i32":-5,"s32":-6,"s64":"-7","f32":8,"sf32":-9,"sf64":"-10","u64":"18446744073709551615","ok":true,"names":["n"],"one":{"temp":3,"state":"RUNNING","maybe":0}}`),
		`2500 i32=-5 s32=-6 s64=-7 f32=8 sf32=-9 sf64=-10 u64=1.8446744073709552e+19 samples[1]=-2 parts[1].temp=2.5 one.temp=3 one.maybe=0 id="é" one.state="RUNNING" names[0]="n" ok=true`)
	checkRows(t, d, "x", encodeProto(t, block, `{"at":"`+at+`","one":{}}`),
		`2500 i32=0 s32=0 s64=0 f32=0 sf32=0 sf64=0 u64=0 one.temp=0 id="" one.state="OFF" ok=false`)
	checkRows(t, d, "x", "", `dead: payload: empty, want protobuf`)
	checkRows(t, d, "x", "\x28\x01", `dead: field at: missing, and it is the event time`)
	checkRows(t, d, "x", "\x2a\x01a", `dead: payload: field i32 has another type than its descriptor says`)
	checkRows(t, d, "x", "\x12\x02\xc3\x28", `dead: payload: field id: a text that is not UTF-8`)
	checkRows(t, d, "x", "\x12\x05ab", `dead: payload: not protobuf: it ends too early at byte 2`)
	checkRows(t, d, "x", "\x00", `dead: payload: not protobuf: a field without a number at byte 0`)
	checkRows(t, d, "x", "\x28", `dead: payload: not protobuf: want a varint at byte 1`)
	checkRows(t, d, "x", "\x2f", `dead: payload: not protobuf: unknown wire type at byte 0`)
	checkRows(t, d, "x", strings.Repeat("\xa3\x06", depthMax+1), `dead: payload: nested deeper than 32`)

	c = Config{Format: "protobuf", Protobuf: Protobuf{set, "Block"}, Fields: append(fieldsOf(pipeline.Float, "temp", "state"), fieldsOf(pipeline.Text, "id")...), Explode: "parts"}
	checkRows(t, newDecoder(t, c), "x", encodeProto(t, block, `{"parts":[{"temp":1},{"temp":2.5,"state":"RUNNING"}],"id":"m"}`), `0 temp=1 state=0 id="m"`, `0 temp=2.5 state=1 id="m"`)
	c = Config{Format: "protobuf", Protobuf: pb, Fields: fieldsOf(pipeline.Float, "value"), Explode: "samples", Time: TimeField{Name: "at", Step: 10e3}}
	checkRows(t, newDecoder(t, c), "x", encodeProto(t, block, `{"samples":[1,2],"at":"2026-01-01T00:00:00Z"}`), `0 value=1`, `10 value=2`)
	c.Explode, c.Time = "counts", TimeField{}
	d = newDecoder(t, c)
	checkRows(t, d, "x", encodeProto(t, block, `{"counts":[-1,300]}`), `0 value=-1`, `0 value=300`)
	checkRows(t, d, "x", "\x78\x01\x78\x02", `0 value=-1`, `0 value=1`) // not packed
	checkRows(t, d, "x", "\x7a\x02\x01\x80", `dead: payload: not protobuf: want a varint at byte 1`)
	c = Config{Format: "protobuf", Protobuf: pb, Open: true}
	checkRows(t, newDecoder(t, c), "x", encodeProto(t, block, `{"id":"a","u64":"3","one":{"temp":2}}`), `0 f32=0 i32=0 id="a" ok=false one.state="OFF" one.temp=2 s32=0 s64=0 sf32=0 sf64=0 u64=3`)
}

func TestWrongDescriptorsAreRefused(t *testing.T) {
	set, _ := plantProto(t)
	for want, c := range map[string]Protobuf{
		"no descriptor set": {[]byte("text"), "x"},
		`no one message is called "Blok"; there are google.protobuf.Timestamp, plant.Block, plant.Block.Part`: {set, "Blok"},
		"its type .plant.State is not in the descriptor set":                                                  {[]byte(strings.ReplaceAll(string(set), "\x05State\x12", "\x05Stuff\x12")), "plant.Block"},
	} {
		if _, err := New(Config{Format: "protobuf", Protobuf: c}, pipeline.NewKeys(1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzProtobuf(f *testing.F) {
	set, block := plantProto(f)
	f.Add([]byte(encodeProto(f, block, `{"id":"é","parts":[{"temp":1},{"temp":2.5}],"samples":[1,-2],"one":{"temp":3},"counts":[1]}`)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c := Config{Format: "protobuf", Protobuf: Protobuf{set, "plant.Block"}, Fields: fieldsOf(pipeline.Float, "temp", "value", "parts[0].temp", "one.temp")}
		fuzzFormat(t, c, "x", payload)
		c.Fields = fieldsOf(pipeline.Float, "temp", "value")
		for _, c.Explode = range []string{"parts", "samples", "counts", "names", "one"} {
			fuzzFormat(t, c, "x", payload)
		}
	})
}

func FuzzDescriptors(f *testing.F) {
	set, _ := plantProto(f)
	f.Add(set)
	f.Fuzz(func(t *testing.T, p []byte) {
		if d, err := parseDescriptors(p); err == nil {
			_ = fmt.Sprint(d.find("Block"))
		}
	})
}
