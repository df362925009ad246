// Package broker is the MQTT broker: MQTT 3.1.1 and 5 on TCP. It is the only
// package that knows mochi-mqtt (the server inside) and paho.golang (the client).
//
//	socket ──▶ conn.Read ──▶ mochi ──▶ hook.OnPublish ──▶ journal ──▶ pipelines
//	  ▲          │  packet by packet, limits  │
//	  │          └── QoS 0, 1 for pipelines only ┘ (straight to the journal)
//	  │
//	  └── conn.Write ◀── mochi ◀── messages that MQTT clients subscribe to ◀── Publish ◀── pipelines
//	        never blocks: bounded, drops QoS 0, cuts who takes nothing
//
// mochi is used as it is, through what it exports. What it does wrong is put
// right around it: in the connection under it (conn.go, read.go, write.go),
// in one hook (hook.go, session.go, ids.go), and by a recover around every
// client (listen.go).
//
// Invariants. No packet of a client can end the process. No client makes
// another wait for its socket. A QoS 1 or 2 message is acknowledged after the
// journal has it, or never. What is dropped is counted in
// millrace_broker_dropped_total with the reason.
package broker
