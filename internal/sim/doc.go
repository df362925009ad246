// Package sim runs the whole daemon in a world that is made up.
//
//	┌ world ─ seeded randomness, virtual clocks ─────────────┐
//	│  guest (wasip1): node, broker, pipelines, publishers   │
//	│     │ files                       │ over faulty conns  │
//	│  disk: torn, lying, full; power cuts                   │
//	└────────────────────────────────────────────────────────┘
//
// The daemon is built for wasip1 and knows nothing of it: time, randomness and
// the disk come from outside, and within it everything runs in one thread. So a
// seed stands for one execution, and a failure is found again by its number.
// Only tests use it.
package sim
