// Package torture kills a real node again and again while MQTT clients publish
// to it, and then counts what came out.
//
//	oracle.Publisher ──QoS 1, QoS 2──▶ millrace ──▶ files, InfluxDB
//	     ▲                                │ kill -9, or power cut
//	     └── acknowledged: all of it must be counted once ──▶ oracle.Verdict
package torture
