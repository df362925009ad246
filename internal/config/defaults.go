package config

import (
	"reflect"
	"time"
)

// Defaults stand in the structs before they are read, and in the reference.

func fileDefaults() File {
	return File{
		Broker: Broker{
			Listen: []string{"mqtt://:1883"}, Anonymous: "loopback",
			MaxPacket: 256 << 10, MaxClients: 1000, MaxConnectionsPerAddress: 1000,
		},
		HTTP:      HTTP{Listen: "127.0.0.1:8080"},
		Journal:   Journal{Commit: 50 * time.Millisecond, Space: 1 << 30, Checkpoint: 10 * time.Second, OnFull: "wait", Memory: 64 << 20},
		Functions: Functions{Memory: 16 << 20, Steps: 50_000_000},
		Log:       Log{Level: "info", Format: "text"},
	}
}

func simulateDefaults() Simulate {
	return Simulate{Machines: 4, Topic: "plant/{line}/motor/{device}/reading", Every: 200 * time.Millisecond, Fault: 20 * time.Second}
}

func pipelineDefaults() Pipeline {
	return Pipeline{
		Decode: decodeDefaults(), Time: TimeField{Unit: "ms"}, KeysMax: 100_000,
		Idle: Idle{After: time.Minute}, Emit: "committed",
	}
}

func fileSinkDefaults() FileSink { return FileSink{Format: "ndjson", Rotate: Rotate{Keep: 5}} }

func influxDefaults() InfluxSink {
	return InfluxSink{Version: 1, Gzip: true, Timeout: 10 * time.Second, Batch: 5000, Linger: time.Second, Queue: 64 << 20}
}

// settable returns what p points to, for the decoder to fill.
func settable(p any) reflect.Value { return reflect.ValueOf(p).Elem() }
