package decode

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// KeyBytesMax is the most bytes of a key.
const KeyBytesMax = 1024

// topicsMax is how many topics are remembered, with their levels and keys.
const topicsMax = 8192

// A topicCache remembers topics taken apart. When it is full it begins anew.
type topicCache struct {
	levels []topics.Level
	known  map[string]*topic
	last   *topic // the one asked for last
}

// A topic is a topic taken apart.
type topic struct {
	name   []byte
	levels [][2]int // from, to, of each named level; to < 0: the topic is too short
	key    uint32   // if keyed
	keyed  bool     // key is known, and depends on the topic alone
	next   *topic   // the one that followed it last time: sources take turns
}

func newTopicCache(levels []topics.Level) topicCache {
	return topicCache{levels: levels, known: map[string]*topic{}, last: &topic{}}
}

func (c *topicCache) get(name []byte) *topic {
	t := c.last.next
	if t == nil || !bytes.Equal(t.name, name) {
		if t = c.find(name); len(name) > topics.BytesMax {
			return t
		}
		c.last.next = t
	}
	c.last = t
	return t
}

func (c *topicCache) find(name []byte) *topic {
	t, ok := c.known[string(name)]
	if !ok {
		t = &topic{name: bytes.Clone(name)}
		for _, l := range c.levels {
			t.levels = append(t.levels, cut(name, l.Index))
		}
		c.remember(t)
	}
	return t
}

func (c *topicCache) remember(t *topic) {
	if len(t.name) > topics.BytesMax {
		return
	}
	if len(c.known) >= topicsMax {
		for _, old := range c.known {
			old.next = nil // or each would keep the next alive for ever
		}
		clear(c.known)
	}
	c.known[string(t.name)] = t
}

// cut returns where level n of a topic is.
func cut(name []byte, n int) [2]int {
	from := 0
	for ; n > 0; n-- {
		i := bytes.IndexByte(name[from:], '/')
		if i < 0 {
			return [2]int{0, -1}
		}
		from += i + 1
	}
	if i := bytes.IndexByte(name[from:], '/'); i >= 0 {
		return [2]int{from, from + i}
	}
	return [2]int{from, len(name)}
}

func (t *topic) level(i int) (level []byte, ok bool) {
	at := t.levels[i]
	if at[1] < 0 {
		return nil, false
	}
	return t.name[at[0]:at[1]], true
}

// A keyMaker makes the key of a row.
type keyMaker struct {
	parts   []keyPart
	byTopic bool // no part comes from the payload
	short   bool // a topic may lack levels of the key
	buf     []byte
	last    uint32   // the code made last
	follows []uint32 // by code: the one that came after it last time, as sources take turns
}

// A keyPart is a column of the key: a topic level, a field, or the topic.
type keyPart struct {
	name  string
	level int // -1: none
	field *slot
	kind  pipeline.Kind
}

func (k *keyMaker) from(d *Decoder, byName map[string]*slot) error {
	k.byTopic, k.follows, k.short = true, []uint32{0}, d.config.Format == "sparkplug"
	for _, name := range d.config.Key {
		i := d.schema.Index(name)
		if i < 0 || name == "payload" && d.config.Payload {
			return fmt.Errorf("key: %s is not a level of the topic or a field of the payload", name)
		}
		part := keyPart{name: name, level: -1, field: byName[name], kind: d.schema[i].Kind}
		if part.field == nil {
			part.level = slices.IndexFunc(d.config.Levels, func(l topics.Level) bool { return l.Name == name })
		}
		k.byTopic = k.byTopic && part.field == nil
		k.parts = append(k.parts, part)
	}
	return nil
}

// code returns the code of the present message's key, or why it has none.
func (k *keyMaker) code(d *Decoder, t *topic) (code uint32, wrong string) {
	if len(k.parts) == 0 {
		return 0, ""
	}
	if t.keyed {
		return t.key, ""
	}
	if next, ok := k.guess(d); ok {
		return next, ""
	}
	k.buf = k.buf[:0]
	for i := range k.parts {
		if i > 0 {
			k.buf = append(k.buf, 0)
		}
		if !k.add(d, t, &k.parts[i]) {
			return 0, fmt.Sprintf("%s: missing, and it is the key", k.parts[i].name)
		}
	}
	if code, wrong = k.known(d.keys); wrong == "" {
		t.key, t.keyed = code, k.byTopic
	}
	return code, wrong
}

func (k *keyMaker) names() []string {
	var all []string
	for _, p := range k.parts {
		all = append(all, p.name)
	}
	return all
}

// guess returns the code of a key that is one text of the payload, if it is
// the one that came after the last key last time.
func (k *keyMaker) guess(d *Decoder) (code uint32, ok bool) {
	v := k.parts[0].field
	if len(k.parts) > 1 || v == nil || v.seen != d.scanner.message || v.shape != text {
		return 0, false
	}
	next := k.follows[k.last]
	if d.keys.Name(next) != string(v.raw) {
		return 0, false
	}
	k.last = next
	return next, true
}

// known returns the code of the key in buf.
func (k *keyMaker) known(keys *pipeline.Keys) (code uint32, wrong string) {
	if next := k.follows[k.last]; keys.Name(next) == string(k.buf) {
		k.last = next
		return next, ""
	}
	if len(k.buf) > KeyBytesMax {
		return 0, fmt.Sprintf("key is %d bytes, the most is %d", len(k.buf), KeyBytesMax)
	}
	if bytes.Count(k.buf, []byte{0}) != len(k.parts)-1 {
		return 0, fmt.Sprintf("%s: a key may not contain a NUL byte", strings.Join(k.names(), ", "))
	}
	code, ok := keys.Code(k.buf)
	if !ok {
		return 0, fmt.Sprintf("more than %d keys (keys_max)", keys.Max)
	}
	k.follows[k.last] = code
	k.last = code
	for int(code) >= len(k.follows) {
		k.follows = append(k.follows, 0)
	}
	return code, ""
}

// add appends a part of the key to buf; it returns false where there is no value.
func (k *keyMaker) add(d *Decoder, t *topic, part *keyPart) bool {
	v := part.field
	if v == nil {
		text, ok := t.name, true
		if part.level >= 0 {
			text, ok = t.level(part.level)
		}
		k.buf = append(k.buf, text...)
		return ok || k.short
	}
	if v = d.scanner.now(v); v == nil {
		return false
	}
	switch part.kind {
	case pipeline.Float:
		k.buf = strconv.AppendFloat(k.buf, v.float, 'g', -1, 64)
	case pipeline.Int:
		k.buf = strconv.AppendInt(k.buf, v.int, 10)
	case pipeline.Bool:
		k.buf = strconv.AppendBool(k.buf, v.truth)
	default:
		k.buf = append(k.buf, v.raw...)
	}
	return true
}
