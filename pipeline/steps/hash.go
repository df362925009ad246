package steps

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"millrace.dev/millrace/pipeline"
)

// The hexadecimal digits that a Hash writes.
const (
	HashDigitsMin = 8
	HashDigitsMax = 2 * sha256.Size
)

// A Hash is a stage that puts HMAC-SHA-256 (RFC 2104) under a secret key in
// the place of texts, as hexadecimal digits: what was equal stays equal, and
// without the key nobody finds out by trying what it was. Null stays null.
type Hash struct {
	columns []column
	own     []pipeline.Column
	mac     hash.Hash
	digits  int
	sum     [sha256.Size]byte
	hex     [HashDigitsMax]byte
	schema  pipeline.Schema
	out     pipeline.Batch
}

// A HashConfig says what is hashed.
type HashConfig struct {
	Fields []string
	Key    []byte // not empty
	Digits int    // HashDigitsMin to HashDigitsMax
}

// NewHash returns the stage.
func NewHash(c HashConfig, s pipeline.Schema) (*Hash, error) {
	h := &Hash{mac: hmac.New(sha256.New, c.Key), digits: c.Digits, schema: s}
	if len(c.Key) == 0 {
		return nil, fail("key", "anyone could find out what was hashed", "the key is empty")
	}
	if c.Digits < HashDigitsMin || c.Digits > HashDigitsMax {
		return nil, fail("digits", "", "%d digits; there can be %d to %d", c.Digits, HashDigitsMin, HashDigitsMax)
	}
	for _, name := range c.Fields {
		x, err := find(s, "fields", name, pipeline.Text, pipeline.Bytes)
		if err != nil {
			return nil, err
		}
		f := pipeline.Field{Name: name, Kind: pipeline.Text}
		h.columns, h.own, h.schema = append(h.columns, x), append(h.own, pipeline.NewColumn(f)), h.schema.With(f)
	}
	return h, nil
}

// Schema implements Step.
func (h *Hash) Schema() pipeline.Schema { return h.schema }

// Process implements pipeline.Stage.
func (h *Hash) Process(in *pipeline.Batch, out *pipeline.Outputs) error {
	h.out.Borrow(in)
	for k, c := range h.columns {
		x, own := c.of(in), &h.own[k]
		own.Reset()
		for i := range in.Rows() {
			if x.Has(i) {
				own.AppendText(h.digest(x.Text(i)))
			} else {
				own.AppendNull()
			}
		}
		h.out.Put(*own)
	}
	out.Main = &h.out
	return nil
}

// digest returns the digits for text, until the next call.
func (h *Hash) digest(text []byte) []byte {
	h.mac.Reset()
	h.mac.Write(text)
	hex.Encode(h.hex[:], h.mac.Sum(h.sum[:0]))
	return h.hex[:h.digits]
}
