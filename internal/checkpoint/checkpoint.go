// Package checkpoint writes down what a tree of pipelines remembers, whole or
// as what has changed since the last time.
//
//	sections ──AppendWhole──▶ body            body ──Read──▶ State ──Apply──▶ sections
//	         ──AppendChanges─▶ (old, new)                      ▲ old
//
// A body is what stands in a checkpoint entry of the journal behind the
// results, numbers as unsigned LEB128:
//
//	u8 format, 1 · applied · u8 what follows: 0 nothing, 1 all, 2 changes
//	all:      count of sections × {length, name, length, content}
//	changes:  base, count of sections × {length, name, length of the content, pieces}
//	piece:    how many bytes are copied, from where in the old content,
//	          length, and as many new bytes
//
// Applied is the offset of the last message whose effects are in the entry,
// and those before it. Base is the offset that was applied in the state that
// the changes are against. A section whose pieces follow has those until its
// content is complete.
package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const format = 1

// What stands behind applied.
const (
	nothing = iota
	whole
	changes
)

// contentBytesMax bounds what is believed to be the length of a section.
const contentBytesMax = 256 << 20

var errDamaged = errors.New("checkpoint is damaged")

// A Section is a part of a state by itself, such as the memory of one stage.
type Section struct {
	Name    string
	Content []byte
}

// A State is what a body says.
type State struct {
	Applied uint64 // see the package
	kind    byte
	base    uint64
	rest    []byte
}

// Append appends a body without a state.
func Append(dst []byte, applied uint64) []byte {
	return append(binary.AppendUvarint(append(dst, format), applied), nothing)
}

// AppendWhole appends a body with all of a state.
func AppendWhole(dst []byte, applied uint64, all []Section) []byte {
	dst = append(binary.AppendUvarint(append(dst, format), applied), whole)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, s := range all {
		dst = appendText(dst, s.Name)
		dst = appendText(dst, s.Content)
	}
	return dst
}

// AppendChanges appends a body with what differs from old, the state at base.
func AppendChanges(dst []byte, applied uint64, all []Section, base uint64, old []Section) []byte {
	dst = append(binary.AppendUvarint(append(dst, format), applied), changes)
	dst = binary.AppendUvarint(dst, base)
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	var d differ
	for k, s := range all {
		dst = appendText(dst, s.Name)
		dst = binary.AppendUvarint(dst, uint64(len(s.Content)))
		dst = d.appendPieces(dst, find(old, s.Name, k), s.Content)
	}
	return dst
}

// Same reports whether nothing has changed from one state to another.
func Same(a, b []Section) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if a[k].Name != b[k].Name || string(a[k].Content) != string(b[k].Content) {
			return false
		}
	}
	return true
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// find returns the content of a section, which is likely to stand at k.
func find(all []Section, name string, k int) []byte {
	if k < len(all) && all[k].Name == name {
		return all[k].Content
	}
	for _, s := range all {
		if s.Name == name {
			return s.Content
		}
	}
	return nil
}

// Read reads the beginning of a body. It keeps a view of it.
func Read(body []byte) (State, error) {
	if len(body) == 0 || body[0] != format {
		return State{}, fmt.Errorf("checkpoint is not of format %d, which this program reads", format)
	}
	r := reader{b: body[1:]}
	s := State{Applied: r.uint()}
	s.kind = r.byte()
	if s.kind == changes {
		s.base = r.uint()
	}
	if s.rest = r.b; r.bad || s.kind > changes {
		return State{}, errDamaged
	}
	return s, nil
}

// Has reports whether there is a state, whole or not.
func (s *State) Has() bool { return s.kind != nothing }

// Whole reports whether Apply needs no older state.
func (s *State) Whole() bool { return s.kind == whole }

// Apply returns the state that s is, or makes of old, the state at base. The
// sections share no memory with the body.
func (s *State) Apply(old []Section, base uint64) ([]Section, error) {
	if s.kind == changes && s.base != base {
		return nil, fmt.Errorf("changes of the state at %d are missing, which is at %d", s.base, base)
	}
	r := reader{b: s.rest}
	var all []Section
	for k := range r.uint() {
		name := string(r.bytes())
		var content []byte
		if s.kind == whole {
			content = append(content, r.bytes()...)
		} else {
			content = r.pieces(find(old, name, int(min(k, uint64(len(old))))))
		}
		if r.bad {
			return nil, errDamaged
		}
		all = append(all, Section{name, content})
	}
	if r.bad || len(r.b) > 0 {
		return nil, errDamaged
	}
	return all, nil
}

// A reader reads numbers and bytes. Once something is not there it is bad,
// and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
