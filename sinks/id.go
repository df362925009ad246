package sinks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"millrace.dev/millrace/pipeline"
)

// An identity names results, so that who gets one twice can tell. The id is a
// UUID (RFC 9562, version 8) of the rows' places in the journal, their times,
// where they go and what is sent: the same result has the same id whenever it
// is sent again, after a restart too, and no other has.
type identity struct{ buf []byte }

// append appends the id of the rows from..to of b as text.
func (d *identity) append(dst []byte, b *pipeline.Batch, from, to int, where, payload []byte) []byte {
	p := d.buf[:0]
	for i := from; i < to; i++ {
		p = binary.BigEndian.AppendUint64(p, b.Offset[i])
		p = binary.BigEndian.AppendUint32(p, b.Ordinal[i])
		p = binary.BigEndian.AppendUint64(p, uint64(b.Time[i]))
	}
	p = binary.BigEndian.AppendUint32(p, uint32(len(where)))
	p = append(append(p, where...), payload...)
	d.buf = p
	h := sha256.Sum256(p)
	h[6] = h[6]&0x0f | 0x80 // version 8
	h[8] = h[8]&0x3f | 0x80 // the variant of RFC 9562
	for k, cut := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if k > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, h[cut[0]:cut[1]])
	}
	return dst
}
