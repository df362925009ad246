package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// outboxFormat is the version of what AppendOutbox writes:
//
//	u8       version, 1
//	uvarint  bytes of the parcels, and these; each is
//	         uvarint  length of the pipeline's name, and the name
//	         uvarint  length of the port, and the port
//	         uvarint  length of the batch, and the batch as AppendBatch writes it
const outboxFormat = 1

var errOutbox = errors.New("outbox is damaged")

// The ports of a pipeline: where its rows come out. Those of the branches of a
// switch are BranchPort and the path of the branch.
const (
	MainPort   = "main"
	LatePort   = "late"
	DeadPort   = "dead"
	BranchPort = "branch:"
)

// A Parcel is rows that came out of one port of a pipeline, on their way to sinks.
type Parcel struct {
	Pipeline, Port string
	Batch          *Batch
}

// A Packed is a parcel as it is stored; all are views. Batch.Decode reads Batch.
type Packed struct{ Pipeline, Port, Batch []byte }

// AppendOutbox appends parcels so that they can be found at the beginning of
// whatever is behind them; see Outbox.
func AppendOutbox(dst []byte, parcels []Parcel) []byte {
	var packed []byte
	for _, p := range parcels {
		packed = AppendParcel(packed, p)
	}
	return AppendPacked(dst, packed)
}

// AppendParcel appends a parcel alone, as it stands in an outbox.
func AppendParcel(dst []byte, p Parcel) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(p.Pipeline))), p.Pipeline...)
	dst = append(binary.AppendUvarint(dst, uint64(len(p.Port))), p.Port...)
	return appendSized(dst, func(dst []byte) []byte { return AppendBatch(dst, p.Batch) })
}

// AppendPacked is AppendOutbox for parcels that AppendParcel has appended to
// each other.
func AppendPacked(dst, parcels []byte) []byte {
	return append(binary.AppendUvarint(append(dst, outboxFormat), uint64(len(parcels))), parcels...)
}

// appendSized appends the size of what add appends, and that.
func appendSized(dst []byte, add func([]byte) []byte) []byte {
	from := len(dst)
	dst = add(dst)
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(dst)-from))
	end := len(dst)
	dst = append(dst, head[:n]...)
	copy(dst[from+n:], dst[from:end])
	copy(dst[from:], head[:n])
	return dst
}

// Outbox returns the parcels at the beginning of src, for WalkParcels, and
// what is behind them.
func Outbox(src []byte) (parcels, rest []byte, err error) {
	d := unpacker{src: src}
	if v := d.byte(); d.bad || v != outboxFormat {
		return nil, nil, fmt.Errorf("outbox is of format %d, this program reads %d", v, outboxFormat)
	}
	parcels = d.bytes(d.count())
	if d.bad {
		return nil, nil, errOutbox
	}
	return parcels, d.src, nil
}

// WalkParcels calls f with each parcel and its number; they count from 0. An
// error of f ends it and is returned.
func WalkParcels(parcels []byte, f func(index int, p Packed) error) error {
	d := unpacker{src: parcels}
	for k := 0; len(d.src) > 0; k++ {
		p := Packed{Pipeline: d.bytes(d.count()), Port: d.bytes(d.count()), Batch: d.bytes(d.count())}
		if d.bad {
			return errOutbox
		}
		if err := f(k, p); err != nil {
			return err
		}
	}
	return nil
}
