// Package pipeline is the core: a pipeline is a pure function over a log of
// messages.
//
//	messages ─decode─▶ Batch ─Stage─▶ Batch ─Stage─▶ … ─▶ results
//	                     │              │
//	                     └── time: Marks.Observe, Chain.Advance
//
// Messages travel as batches, tables with a row a message and a column a
// field. The package opens nothing, starts nothing and asks no clock: data
// and time are arguments. The same input gives the same output, however it is
// cut into batches.
package pipeline
