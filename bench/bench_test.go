package bench

import (
	"errors"
	"testing"

	"millrace.dev/millrace/bench/native"
	"millrace.dev/millrace/internal/config"
)

func TestEveryJobIsAConfiguration(t *testing.T) {
	for _, k := range native.Kinds() {
		yaml := YAML(k, Address{MQTT: "127.0.0.1:1883", HTTP: "127.0.0.1:8080", Cache: "cache", QoS: 1})
		_, err := config.Parse(k.String(), []byte(yaml))
		var ps config.Problems
		if errors.As(err, &ps) {
			t.Errorf("%s\n%s", yaml, ps.Report())
		} else if err != nil {
			t.Error(err)
		}
	}
}
