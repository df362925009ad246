package functions

// Instructions that the rewrite must know by name
// (WebAssembly Core Specification 2.0, 5.4).
const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opBranch       = 0x0c
	opBranchIf     = 0x0d
	opBranchTable  = 0x0e
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableSet     = 0x26
	opLoadFirst    = 0x28
	opStoreLast    = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opPlainFirst   = 0x45
	opPlainLast    = 0xc4
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opBulk         = 0xfc
	opSIMD         = 0xfd
)

func (w *rewriter) codeSection(r *reader) []byte {
	out := appendUint(make([]byte, 0, len(r.b)+len(r.b)/4), reader32(r.b))
	var body []byte
	k := 0
	r.each(func() {
		if k == len(w.takes) {
			r.fail("it has more bodies than functions")
			return
		}
		f := reader{b: r.bytes(r.uint())}
		body = w.function(&f, w.takes[k], body[:0])
		k++
		if r.err == nil {
			r.err = f.err
		}
		out = append(appendUint(out, uint32(len(body))), body...)
	})
	return out
}

// function appends the body of a function that takes so many parameters, with
// its steps counted, to out.
func (w *rewriter) function(r *reader, takes uint32, out []byte) []byte {
	spare, out := w.locals(r, takes, out)
	if calls(reader{b: r.b, at: r.at}) {
		out = append(out, w.check...)
	}
	for r.more() {
		from := r.at
		op := r.byte()
		switch {
		case op == opCall || op == opRefFunc:
			out = appendUint(append(out, op), w.moved(r.uint()))
			continue
		case (op == opGlobalGet || op == opGlobalSet) && reader32(r.b[r.at:]) >= w.globals:
			r.fail("it uses a global that is not there")
		case op == opBulk && isLong(reader32(r.b[r.at:])):
			out = w.bulk(out, spare)
		}
		operands(r, op)
		out = append(out, r.b[from:r.at]...)
		if op == opLoop {
			out = append(out, w.check...)
		}
	}
	return out
}

// locals copies the list of a function's locals to out and adds one, spare.
func (w *rewriter) locals(r *reader, takes uint32, out []byte) (spare uint32, _ []byte) {
	groups := reader32(r.b)
	total := uint64(takes)
	start := r.at
	r.each(func() {
		total += uint64(r.uint())
		r.byte()
	})
	if total >= localsMax {
		r.fail("a function has %d locals, the most is %d", total, localsMax)
	}
	first := reader{b: r.b, at: start}
	first.uint()
	out = append(appendUint(out, groups+1), r.b[first.at:r.at]...)
	return uint32(total), append(out, 1, 0x7f)
}

// localsMax is wazero's own limit, too.
const localsMax = 50_000

// isLong tells whether an instruction of the 0xfc group works through as many
// bytes as the topmost value says: memory.init, memory.copy, memory.fill.
func isLong(sub uint32) bool { return sub == 8 || sub == 10 || sub == 11 }

// bulk counts a step for each 256 bytes that the next instruction moves.
func (w *rewriter) bulk(out []byte, spare uint32) []byte {
	fuel := appendUint(nil, w.globals)
	out = appendUint(append(out, 0x22), spare)                                      // local.tee
	out = appendUint(append(append(append(out, 0x23), fuel...), opLocalGet), spare) // global.get, local.get
	out = append(append(out, 0x41, 8, 0x76, 0x6b, 0x24), fuel...)                   // bytes >> 8, sub, global.set
	return append(out, w.check...)
}

func calls(r reader) bool {
	for r.more() {
		op := r.byte()
		if op == opCall || op == opCallIndirect {
			return true
		}
		operands(&r, op)
	}
	return false
}

// operands passes over what follows an instruction.
func operands(r *reader, op byte) {
	switch {
	case op <= 0x01 || op == 0x05 || op == opEnd || op == 0x0f || op == 0x1a || op == 0x1b || op == opRefIsNull:
	case op >= opPlainFirst && op <= opPlainLast:
	case op >= opBlock && op <= opIf || op == opI32Const || op == opI64Const || op == opRefNull:
		r.skipNumber()
	case op == opBranch || op == opBranchIf || op == opCall || op == opRefFunc || op >= opLocalGet && op <= opTableSet:
		r.uint()
	case op == opBranchTable:
		r.each(func() { r.uint() })
		r.uint()
	case op == opCallIndirect || op >= opLoadFirst && op <= opStoreLast:
		r.uint()
		r.skipNumber()
	case op == opSelectTyped:
		r.each(func() { r.byte() })
	case op == opMemorySize || op == opMemoryGrow:
		r.byte()
	case op == opF32Const:
		r.bytes(4)
	case op == opF64Const:
		r.bytes(8)
	case op == opBulk:
		bulkOperands(r)
	case op == opSIMD:
		simdOperands(r)
	default:
		r.fail("it has the instruction 0x%02x, which is none of WebAssembly 2.0", op)
	}
}

func bulkOperands(r *reader) {
	switch sub := r.uint(); {
	case sub <= 7: // saturating conversions
	case sub == 8 || sub == 10: // memory.init, memory.copy
		r.uint()
		r.uint()
	case sub == 9 || sub == 11 || sub == 13 || sub == 16: // data.drop, memory.fill, elem.drop, table.size
		r.uint()
	case sub == 12 || sub == 14 || sub == 15 || sub == 17:
		r.fail("it fills, copies or grows a table; functions may not")
	default:
		r.fail("it has the instruction 0xfc %d, which is none of WebAssembly 2.0", sub)
	}
}

func simdOperands(r *reader) {
	switch sub := r.uint(); {
	case sub <= 11 || sub == 92 || sub == 93: // loads and stores
		r.uint()
		r.skipNumber()
	case sub == 12 || sub == 13: // constant, shuffle
		r.bytes(16)
	case sub >= 21 && sub <= 34: // lanes
		r.byte()
	case sub >= 84 && sub <= 91: // loads and stores of a lane
		r.uint()
		r.skipNumber()
		r.byte()
	case sub > 255:
		r.fail("it has the instruction 0xfd %d, which is none of WebAssembly 2.0", sub)
	}
}
