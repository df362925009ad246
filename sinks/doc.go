// Package sinks takes the rows of pipelines to where they are wanted: MQTT
// topics and Home Assistant, standard output, files, web servers, InfluxDB,
// PostgreSQL, Prometheus, NATS and Kafka, and their kin.
//
//	pipeline ──Push──▶ Delivery: queue ──Write──▶ Sink ──▶ the world
//	                      │        ▲                │
//	                      │        └─ wait, retry ──┤ any other error
//	                      └──▶ Dead ◀───────────────┘ Refused
//
// A Sink writes a batch or says why not, and nothing else. A Delivery stands
// before each sink and does the rest: it queues, batches, tries again, sets
// aside what is refused, counts, and logs when a sink goes and comes back.
// Push never waits, so no sink holds a pipeline or another sink.
package sinks
