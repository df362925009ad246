package main

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/millrace/sinks/sinktest"
)

// motorsTo returns the pipeline motors with that server among its sinks.
func motorsTo(s *sinktest.Server) string {
	sink := fmt.Sprintf("      - influx: {url: %q, database: plant, measurement: motors, tags: [line, device], linger: 10ms}\n", s.URL)
	return strings.Replace(motors, "    dead_letters:", sink+"    dead_letters:", 1)
}

func TestWindowsArriveInInfluxDB(t *testing.T) {
	t.Parallel()
	server := sinktest.StartInflux(t, "plant")
	r := start(t, motorsTo(server))
	r.pub("311", "plant/a/motor/m1/reading", reading(0, "20"), reading(0, "30"), reading(1, "40"), reading(2, "50"))
	sinktest.Eventually(t, func() bool { return len(server.Rows("plant", "motors")) == 2 }, func() string {
		return fmt.Sprint(server.Rows("plant", "motors")) + "\n" + r.err.String()
	})
	got := fmt.Sprint(server.Rows("plant", "motors"))
	for _, want := range []string{"mean:25", "mean:40", "device:m1", "line:a"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

func TestWindowsArriveInVictoriaMetrics(t *testing.T) {
	t.Parallel()
	server := sinktest.StartVictoria(t)
	r := start(t, motorsTo(server))
	r.pub("5", "plant/a/motor/m1/reading", reading(0, "20"), reading(0, "30"), reading(1, "40"))
	sinktest.Eventually(t, func() bool { return len(server.Export("motors")) > 0 }, func() string { return r.err.String() })
	if got := fmt.Sprint(server.Export("motors")); !strings.Contains(got, "25") {
		t.Errorf("got %s, want the mean 25", got)
	}
}
