package functions

import "hash/fnv"

// A numbering gives rows that a stage makes by itself their ordinals, so that
// every result of a pipeline can be told from every other by its offset and
// ordinal, however often the journal is replayed.
type numbering struct {
	base   uint32 // of the ordinals
	offset uint64 // of the row that was numbered last
	next   uint32
	seen   uint64 // offset of the latest row, whether or not it made any
}

// Ordinals of rows that timers make have the highest bit set, so that they
// differ from those of the rows that pass, then 8 bits that differ from stage
// to stage.
const (
	timerOrdinals = 1 << 31
	ordinalBits   = 23
)

func timerBase(stage string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(stage))
	return timerOrdinals | h.Sum32()&0xff<<ordinalBits
}

// of returns the next ordinal for a row at offset.
func (n *numbering) of(offset uint64) uint32 {
	if offset != n.offset {
		n.offset, n.next = offset, 0
	}
	ordinal := n.base | n.next&(1<<ordinalBits-1)
	n.next++
	return ordinal
}
