package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

func wantDead(t *testing.T, d *Decoder, payload, want string) {
	t.Helper()
	if got := decodeOne(d, payload); !strings.HasPrefix(got, "dead: "+want) {
		t.Errorf("%s: got %s, want dead: %s", clip(payload), clip(got), want)
	}
}

func wantAlive(t *testing.T, d *Decoder, payload string) {
	t.Helper()
	if got := decodeOne(d, payload); strings.HasPrefix(got, "dead: ") {
		t.Errorf("%s: got %s, want a row", clip(payload), got)
	}
}

func TestPayloadsHaveALargestSize(t *testing.T) {
	d := newDecoder(t, Config{})
	wantAlive(t, d, `{}`+strings.Repeat(" ", PayloadBytesMax-2))
	wantDead(t, d, `{}`+strings.Repeat(" ", PayloadBytesMax-1), "payload is 262145 bytes, the most is 262144")
}

func TestPayloadsAreNestedOnlySoDeep(t *testing.T) {
	d := newDecoder(t, Config{Open: true})
	nest := func(n int) string {
		return strings.Repeat(`{"a":`, n/2) + strings.Repeat(`[`, n-n/2) + strings.Repeat(`]`, n-n/2) + strings.Repeat(`}`, n/2)
	}
	wantAlive(t, d, nest(depthMax))
	wantDead(t, d, nest(depthMax+1), "payload: nested deeper than 32")
	wantDead(t, d, `{"a":`+strings.Repeat("[", PayloadBytesMax-5), "payload: nested deeper than 32")
}

func TestOpenColumnsAreLimited(t *testing.T) {
	d := newDecoder(t, Config{Open: true})
	for i := range OpenColumnsMax - 1 {
		wantAlive(t, d, fmt.Sprintf(`{"f%d":1}`, i))
	}
	wantDead(t, d, `{"x":1,"y":2}`, "field y: more than 256 fields that no step names")
	wantAlive(t, d, `{"x":1}`)
	wantDead(t, d, `{"y":2}`, "field y: more than 256 fields")
	wantDead(t, d, `{"x":"text"}`, "field x: more than 256 fields")
	wantAlive(t, d, `{"f0":1,"f254":2,"x":5,"y":null,"z":{}}`)
}

func TestNamesThatNeverBecomeColumnsAreForgotten(t *testing.T) {
	d := newDecoder(t, Config{Open: true, Fields: pipeline.Schema{{Name: "temp", Kind: pipeline.Float}}})
	for i := range 1000 {
		wantAlive(t, d, fmt.Sprintf(`{"a%d":null,"b%d":[1],"c%d":{"d":{}}}`, i, i, i))
		wantDead(t, d, fmt.Sprintf(`{"a%d":1,"temp":"x"}`, i), "field temp")
	}
	if n, slots := len(d.root.names), len(d.open.slots); n != 2 || slots != 2 {
		t.Errorf("got %d nodes and %d slots, want 2: temp and value", n, slots)
	}
}

func TestNamesOfOpenFieldsAreLimited(t *testing.T) {
	d := newDecoder(t, Config{Open: true})
	wantAlive(t, d, `{"`+strings.Repeat("n", NameBytesMax)+`":1}`)
	wantDead(t, d, `{"a":{"`+strings.Repeat("n", NameBytesMax-1)+`":1}}`, "payload: a field's name is longer than 256 bytes")
}

func TestKeysAreLimitedInSizeAndNumber(t *testing.T) {
	d := newDecoder(t, Config{Fields: pipeline.Schema{{Name: "id", Kind: pipeline.Text}}, Key: []string{"id"}})
	d.keys.Max = 3
	wantAlive(t, d, `{"id":"`+strings.Repeat("k", KeyBytesMax)+`"}`)
	wantDead(t, d, `{"id":"`+strings.Repeat("k", KeyBytesMax+1)+`"}`, "key is 1025 bytes, the most is 1024")
	wantDead(t, d, `{"id":"\u0000"}`, "id: a key may not contain a NUL byte")
	wantDead(t, d, `{"no":1}`, "id: missing, and it is the key")
	wantAlive(t, d, `{"id":"b"}`)
	wantDead(t, d, `{"id":"c"}`, "more than 3 keys (keys_max)")
	wantAlive(t, d, `{"id":"b"}`)
}

func TestAWrongPayloadTakesNoKey(t *testing.T) {
	d := newDecoder(t, motors)
	wantDead(t, d, `{"ts":1,"temp":"x"}`, "field temp")
	if got := d.keys.Len(); got != 1 {
		t.Errorf("got %d keys, want 1", got)
	}
}

func TestTheTopicCacheForgetsInsteadOfGrowing(t *testing.T) {
	c := newTopicCache([]topics.Level{{Name: "a", Index: 1}, {Name: "b", Index: 9}})
	for i := range 3 * topicsMax {
		got := c.get(fmt.Appendf(nil, "x/%d", i))
		if level, ok := got.level(0); !ok || string(level) != fmt.Sprint(i) {
			t.Fatalf("got level %q %v, want %d", level, ok, i)
		}
		if _, ok := got.level(1); ok {
			t.Fatal("got a level that the topic does not have")
		}
	}
	c.get(make([]byte, topics.BytesMax+1))
	if len(c.known) > topicsMax || len(c.known) == 0 || c.known[string(make([]byte, topics.BytesMax+1))] != nil {
		t.Errorf("got %d topics, want at most %d, none too long", len(c.known), topicsMax)
	}
}

func TestLongObjectsAndNamesAreReadWithoutGuesses(t *testing.T) {
	name := strings.Repeat("n", guessBytesMax)
	d := newDecoder(t, Config{Fields: pipeline.Schema{{Name: name, Kind: pipeline.Float}, {Name: "f99", Kind: pipeline.Float}}})
	payload := `{"` + name + `":1`
	for i := range 100 {
		payload += fmt.Sprintf(`,"f%d":%d`, i, i)
	}
	for range 3 {
		if got, want := decodeOne(d, payload+"}"), name+"=1 f99=99"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := len(d.root.guesses); got != guessesMax {
		t.Errorf("got %d guesses, want %d", got, guessesMax)
	}
}

func TestAFailingPayloadLeavesEveryColumnAsItWas(t *testing.T) {
	for _, open := range []bool{false, true} {
		c := motors
		c.Open, c.Payload = open, true
		d := newDecoder(t, c)
		b, want := d.NewBatch(), &pipeline.Batch{}
		good := `{"ts":1,"temp":2,"n":3,"ok":true,"id":"x","more":{"z":1,"y":"t"}}`
		var dead []pipeline.DeadLetter
		d.Decode([]journal.Record{record(good)}, b, &dead)
		want.CopyFrom(b)
		for i := range good {
			for _, bad := range []string{good[:i], good[:i] + "\x01" + good[i:], strings.Replace(good[:i], ":", ":[],", 1), `{"new":1,"new2":{"deep":"` + good[:i]} {
				d.Decode([]journal.Record{record(bad)}, b, &dead)
			}
		}
		if got := fmt.Sprint(b); got != fmt.Sprint(want) {
			t.Errorf("got  %s\nwant %v", got, want)
		}
		if len(dead) != 4*len(good) {
			t.Errorf("got %d dead letters, want %d", len(dead), 4*len(good))
		}
	}
}
