// Package load drives an MQTT broker as fast as it goes, or at a fixed rate,
// and counts what comes out. It speaks MQTT 3.1.1 over TCP by itself.
//
//	New ─▶ packets, ready to send ──Run──▶ publishers ──▶ broker ──▶ observer
//	                                          ▲ PUBACK, PINGRESP        │ results seen
//	                                          └───── credit ◀───────────┘
//
// Everything that is sent is built before the clock starts, so that the
// sender costs little more than its system calls; Report says how much.
package load
