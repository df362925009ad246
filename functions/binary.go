package functions

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A reader walks through the bytes of a module and never leaves them: after
// the first mistake it gives zeros, and err says what it was.
type reader struct {
	b   []byte
	at  int
	err error
}

var errCutShort = errors.New("it ends in the middle")

func (r *reader) more() bool { return r.err == nil && r.at < len(r.b) }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) byte() byte {
	if !r.more() {
		r.fail("%w", errCutShort)
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) bytes(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)-r.at) {
		r.fail("%w", errCutShort)
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}

// uint reads an unsigned number of up to 32 bits (LEB128).
func (r *reader) uint() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > 1<<32-1 {
				r.fail("a number is too large")
			}
			return uint32(v)
		}
	}
	r.fail("a number is too long")
	return 0
}

// skipNumber passes over a number of up to 64 bits, whatever its sign.
func (r *reader) skipNumber() {
	for range 10 {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail("a number is too long")
}

func (r *reader) name() string { return string(r.bytes(r.uint())) }

// limits reads the size limits of a memory or table.
func (r *reader) limits() (least uint32) {
	flags := r.byte()
	least = r.uint()
	if flags&1 != 0 {
		r.uint()
	}
	if flags > 1 {
		r.fail("shared and 64-bit memories are not supported")
	}
	return least
}

// each calls f for each of the things that r counts first.
func (r *reader) each(f func()) {
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		f()
	}
}

// Sections of a module by their number in the binary format
// (WebAssembly Core Specification 2.0, 5.5.2).
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionsEnd
)

var (
	coreHeader = []byte("\x00asm\x01\x00\x00\x00")
	magic      = coreHeader[:4]
)

// sections cuts a module into the contents of its sections; custom ones are
// left out, as they say nothing about what the module does.
func sections(wasm []byte) (all [sectionsEnd][]byte, err error) {
	switch {
	case !bytes.HasPrefix(wasm, magic):
		return all, errors.New("is not WebAssembly\n\thint: give the .wasm file that the compiler wrote, not its source or text form")
	case len(wasm) >= 8 && binary.LittleEndian.Uint16(wasm[6:]) == 1:
		return all, errors.New("is a component, and a function is a core WebAssembly module\n\thint: build for wasm32-unknown-unknown or wasm32-wasip1, not for wasip2")
	case !bytes.HasPrefix(wasm, coreHeader):
		return all, errors.New("is WebAssembly of an unknown version")
	}
	r := reader{b: wasm, at: len(coreHeader)}
	for r.more() {
		id := r.byte()
		body := r.bytes(r.uint())
		switch {
		case r.err != nil || id == sectionCustom:
		case id >= sectionsEnd:
			r.fail("section %d is unknown", id)
		case all[id] != nil:
			r.fail("section %d is there twice", id)
		default:
			all[id] = body[:len(body):len(body)]
		}
	}
	if r.err != nil {
		return all, fmt.Errorf("is not valid WebAssembly: %w", r.err)
	}
	return all, nil
}

func appendUint(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendName(b []byte, name string) []byte {
	return append(appendUint(b, uint32(len(name))), name...)
}
