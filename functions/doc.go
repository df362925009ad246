// Package functions runs the steps of a pipeline that are written in
// WebAssembly. It is the only package that knows wazero.
//
//	             Load                Bind
//	.wasm bytes ──────▶ Module ───────────────▶ Stage ──▶ pipeline.Stage
//	    │ rewrite          │ compiled once         │ one instance: its memory,
//	    ▼ steps, globals   ▼ manifest              ▼ its slots, its limits
//	                                    rows ─▶ frame ─▶ guest ─▶ frame ─▶ rows
//
// A frame is one call into a guest: at most RowsMax rows as columns, written
// straight into the guest's memory, results read from there. Every key has a
// slot in guest memory, so the host knows what a call may have changed: before
// a frame it keeps a copy of the slots of its rows, and when the guest traps,
// runs out of steps or breaks the contract, it puts them back, halves the
// frame until the one bad row is found, and sets that row aside.
//
// Before it is compiled, a module is rewritten: it counts its steps and asks
// the host for more, so that an endless loop ends and the garbage collector
// never waits for one; and its mutable globals are exported, so that they can
// be put back.
//
// What happens to a row depends on the rows before it, never on how they were
// cut into batches or where the stage was stopped, snapshot and restored.
//
// Nothing a guest writes is believed: pointers are the host's own, lengths and
// codes are checked, time is the frame's, randomness is seeded, and there is
// neither file nor network. A guest that fails too often in a row is
// quarantined: its rows become dead letters, the rest of the node goes on.
package functions
