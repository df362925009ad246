package functions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What the rewrite adds to a module. No module may use these names itself.
const (
	ownPrefix    = "__mr_"
	fuelExport   = "__mr_fuel"   // the steps that are left until the host is called
	globalExport = "__mr_global" // and a number, from 0: each mutable global
	hostModule   = "millrace"
	fuelImport   = "fuel"
)

// A shape is what the rewrite finds out about a module.
type shape struct {
	pages   uint32 // of memory at the start, 64 KiB each
	globals int    // exported as __mr_global0 and so on
}

// A rewriter adds a step counter to a module, and exports its mutable globals.
//
// Compiled WebAssembly cannot be interrupted, and Go's garbage collector stops
// the world: it would wait for as long as a guest loops. So every loop header
// and every function that calls others counts a step, and each stepsChunk
// steps the guest calls the host, where the collector can have its turn and
// an endless loop its end. The count follows from the code and its input
// alone, so that a limit in steps hits the same row on every machine.
type rewriter struct {
	in    [sectionsEnd][]byte
	shape shape

	types    uint32
	params   []uint32 // by type
	takes    []uint32 // parameters, by function that is not imported
	imported uint32   // functions; behind them comes fuel, so others move up by one
	globals  uint32   // the counter's place
	mutable  []uint32
	check    []byte // the code that counts a step
}

// rewrite returns the module with counters and exports.
func rewrite(wasm []byte) ([]byte, shape, error) {
	w := &rewriter{}
	var err error
	if w.in, err = sections(wasm); err != nil {
		return nil, shape{}, err
	}
	out := slices.Clone(coreHeader)
	// The counter's place must be known before code is rewritten, hence the order.
	steps := []struct {
		id    byte
		write func(r *reader) []byte
		grows bool // there will be one, even if there was none
	}{
		{sectionType, w.typeSection, true}, {sectionImport, w.importSection, true}, {sectionFunction, w.functionSection, false},
		{sectionTable, w.tableSection, false}, {sectionMemory, w.memorySection, false}, {sectionGlobal, w.globalSection, true},
		{sectionExport, w.exportSection, true}, {sectionStart, w.startSection, false}, {sectionElement, w.elementSection, false},
		{sectionDataCount, same, false}, {sectionCode, w.codeSection, false}, {sectionData, same, false},
	}
	for _, s := range steps {
		r := reader{b: w.in[s.id]}
		if r.b == nil {
			if !s.grows {
				continue
			}
			r.b = []byte{0}
		}
		body := s.write(&r)
		if r.err != nil {
			return nil, shape{}, fmt.Errorf("is not valid WebAssembly: %w", r.err)
		}
		out = appendUint(append(out, s.id), uint32(len(body)))
		out = append(out, body...)
	}
	return out, w.shape, nil
}

func same(r *reader) []byte { return r.b }

// oneMore returns the section with its count raised by n and what is appended then.
func oneMore(r *reader, n uint32) []byte {
	count := r.uint()
	return append(appendUint(nil, count+n), r.b[r.at:]...)
}

func (w *rewriter) typeSection(r *reader) []byte {
	out := oneMore(&reader{b: r.b}, 1)
	w.types = reader32(r.b)
	r.each(func() {
		if form := r.byte(); form != 0x60 {
			r.fail("a type is of unknown form 0x%02x", form)
		}
		w.params = append(w.params, uint32(len(r.bytes(r.uint()))))
		r.bytes(r.uint())
	})
	return append(out, 0x60, 0, 0) // () → ()
}

func (w *rewriter) functionSection(r *reader) []byte {
	r.each(func() {
		t := r.uint()
		if t >= uint32(len(w.params)) {
			r.fail("a function has a type that is not there")
			return
		}
		w.takes = append(w.takes, w.params[t])
	})
	return r.b
}

// tableEntriesMax bounds what tables take, which is not the guest's memory.
const tableEntriesMax = 1 << 17

func (w *rewriter) tableSection(r *reader) []byte {
	r.each(func() {
		r.byte()
		if n := r.limits(); n > tableEntriesMax {
			r.fail("a table has %d entries, the most is %d", n, tableEntriesMax)
		}
	})
	return r.b
}

func reader32(b []byte) uint32 {
	r := reader{b: b}
	return r.uint()
}

func (w *rewriter) importSection(r *reader) []byte {
	out := oneMore(&reader{b: r.b}, 1)
	r.each(func() {
		module, name := r.name(), r.name()
		if kind := r.byte(); kind != 0 && r.err == nil {
			r.fail("it imports %s.%s, which is no function", module, name)
		}
		if module == hostModule && name == fuelImport {
			r.fail("it imports %s.%s, which is the host's own", module, name)
		}
		r.uint()
		w.imported++
	})
	out = append(appendName(appendName(out, hostModule), fuelImport), 0)
	return appendUint(out, w.types)
}

func (w *rewriter) memorySection(r *reader) []byte {
	r.each(func() { w.shape.pages = r.limits() })
	return r.b
}

func (w *rewriter) globalSection(r *reader) []byte {
	out := oneMore(&reader{b: r.b}, 1)
	r.each(func() {
		kind, mutable := r.byte(), r.byte()
		if mutable == 1 {
			switch kind {
			case 0x7f, 0x7e, 0x7d, 0x7c: // i32, i64, f32, f64
				w.mutable = append(w.mutable, w.globals)
			default:
				r.fail("global %d is mutable and no number; its value could not be kept", w.globals)
			}
		}
		w.constant(r, nil)
		w.globals++
	})
	w.shape.globals = len(w.mutable)
	w.check = w.counter()
	return append(out, 0x7f, 1, 0x41, 0, 0x0b) // mutable i32, 0 at first
}

// counter is: fuel = fuel - 1; if fuel < 0, call the host.
func (w *rewriter) counter() []byte {
	fuel := appendUint(nil, w.globals)
	code := slices.Concat([]byte{0x23}, fuel, []byte{0x41, 1, 0x6b, 0x24}, fuel, []byte{0x23}, fuel, []byte{0x41, 0, 0x48, 0x04, 0x40, 0x10})
	return append(appendUint(code, w.imported), 0x0b)
}

// moved returns the number of a function once fuel has its place.
func (w *rewriter) moved(function uint32) uint32 {
	if function >= w.imported {
		function++
	}
	return function
}

func (w *rewriter) exportSection(r *reader) []byte {
	out := appendUint(nil, reader32(r.b)+1+uint32(len(w.mutable)))
	r.each(func() {
		name, kind, index := r.name(), r.byte(), r.uint()
		if strings.HasPrefix(name, ownPrefix) {
			r.fail("it exports %s; names that begin with %s are the host's own", name, ownPrefix)
		}
		if kind == 0 {
			index = w.moved(index)
		}
		if kind == 3 && index >= w.globals {
			r.fail("it exports a global that is not there")
		}
		out = appendUint(append(appendName(out, name), kind), index)
	})
	for i, g := range w.mutable {
		out = appendUint(append(appendName(out, globalExport+strconv.Itoa(i)), 3), g)
	}
	return appendUint(append(appendName(out, fuelExport), 3), w.globals)
}

func (w *rewriter) startSection(r *reader) []byte { return appendUint(nil, w.moved(r.uint())) }

// elementSection moves the functions in element segments
// (WebAssembly Core Specification 2.0, 5.5.12).
func (w *rewriter) elementSection(r *reader) []byte {
	out := appendUint(nil, reader32(r.b))
	r.each(func() {
		flags := r.uint()
		if flags > 7 {
			r.fail("an element segment is of unknown form %d", flags)
		}
		out = appendUint(out, flags)
		if flags&1 == 0 { // active: where to
			if flags&2 != 0 {
				out = appendUint(out, r.uint())
			}
			out = w.constant(r, out)
		}
		if flags&3 != 0 {
			out = append(out, r.byte()) // kind or type
		}
		out = appendUint(out, reader32(r.b[r.at:]))
		r.each(func() {
			if flags&4 != 0 {
				out = w.constant(r, out)
			} else {
				out = appendUint(out, w.moved(r.uint()))
			}
		})
	})
	return out
}

// constant copies a constant expression to out.
func (w *rewriter) constant(r *reader, out []byte) []byte {
	for r.err == nil {
		from := r.at
		switch op := r.byte(); op {
		case opEnd:
			return append(out, opEnd)
		case opRefFunc:
			out = appendUint(append(out, op), w.moved(r.uint()))
		case opI32Const, opI64Const, opF32Const, opF64Const, opGlobalGet, opRefNull, opSIMD:
			operands(r, op)
			out = append(out, r.b[from:r.at]...)
		default:
			r.fail("instruction 0x%02x in a constant", op)
		}
	}
	return out
}
