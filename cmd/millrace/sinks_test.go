package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"millrace.dev/millrace/sinks/sinktest"
)

// subAs is sub with a format of mosquitto_sub for each message.
func (r *running) subAs(format string, filters ...string) *output {
	r.t.Helper()
	o := &output{}
	args := []string{"-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", r.broker, "-V", "5", "-q", "1", "-d", "-F", format}
	for _, f := range filters {
		args = append(args, "-t", f)
	}
	c := exec.Command("stdbuf", args...)
	c.Stdout, c.Stderr = o, o
	if err := c.Start(); err != nil {
		r.t.Fatalf("mosquitto_sub: %v\nhint: scripts/test-deps installs it", err)
	}
	r.t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	wait(r.t, o, "Subscribed (mid")
	return o
}

func TestASubscriberGetsFormatsAndProperties(t *testing.T) {
	r := start(t, `
pipelines:
  all:
    from: in/{device}
    fields: {temp: number}
    to:
      - topic: out/value/{device}
        format: value
        fields: [temp]
        qos: 1
        content_type: text/plain
        response_topic: answers/{device}
        expiry: 1h
        properties: {unit: "°C", device: "<{device}>"}
        id: true
      - topic: out/line/{device}
        format: line
        measurement: m
        tags: [device]
        fields: [temp]
`)
	o := r.subAs("[%t|%p|%C|%R|%E|%P]", "out/#")
	r.pub("5", "in/m1", `{"temp": 21.5}`)
	wait(t, o, "[out/line/m1|m,device=m1 temp=21.5 ")
	wait(t, o, "[out/value/m1|21.5|text/plain|answers/m1|3")
	got := find1(t, o.String(), `\[out/value/m1\|(.*)\]`)
	for _, want := range []string{"unit:°C", "device:<m1>", "id:"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	older := r.sub("mqttv311", "out/#") // knows no properties
	r.pub("5", "in/m2", `{"temp": 22}`)
	wait(t, older, "out/value/m2 22\n")
}

func TestHomeAssistantLearnsOfEntities(t *testing.T) {
	r := start(t, `
pipelines:
  motors:
    from: plant/{device}/reading
    fields: {temp: number}
    steps:
      - set: {hot: temp > 80}
    to:
      - homeassistant:
          device: motor_{device}
          name: Motor {device}
          entities:
            temperature: {value: temp, unit_of_measurement: °C, device_class: temperature}
            hot: {value: hot, component: binary_sensor, device_class: heat}
`)
	r.pub("5", "plant/m1/reading", `{"temp": 81.5}`)
	o := r.subAs("[%t|%r|%p]", "homeassistant/#", "millrace/#") // comes later: all is retained
	wait(t, o, "[millrace/motor_m1/hot/state|1|ON]")
	wait(t, o, "[millrace/motor_m1/temperature/state|1|81.5]")
	wait(t, o, "[millrace/motor_m1/temperature/availability|1|online]")
	var config struct {
		StateTopic string `json:"state_topic"`
		Device     struct{ Name string }
	}
	text := find1(t, o.String(), `\[homeassistant/sensor/motor_m1/temperature/config\|1\|(.*)\]`)
	if err := json.Unmarshal([]byte(text), &config); err != nil || config.StateTopic != "millrace/motor_m1/temperature/state" || config.Device.Name != "Motor m1" {
		t.Errorf("got %v, %s", err, text)
	}
	r.pub("5", "plant/m1/reading", `{"temp": 20}`)
	wait(t, o, "[millrace/motor_m1/hot/state|0|OFF]")
}

func TestAWebhookAndATableGetWhatTheyWereTold(t *testing.T) {
	const secret = "T000-hunter2-hunter2"
	heard := make(chan string, 10)
	var forgiven atomic.Bool
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/denied/"+secret && !forgiven.Load() {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "no %s here", r.URL.Path)
			return
		}
		heard <- fmt.Sprint(r.URL.Path, " ", r.Header.Get("Title"), " ", string(body))
	}))
	defer hook.Close()
	database := sinktest.StartPostgres(t)
	t.Setenv("WEBHOOK", hook.URL+"/services/"+secret)
	t.Setenv("DATABASE_URL", database.URL)
	denied := writeFile(t, "url", hook.URL+"/denied/"+secret+"\n")
	r := start(t, `
pipelines:
  hot:
    from: plant/{line}/{device}
    fields: {temp: number, status: text}
    steps:
      - where: temp > 80
    to:
      - http:
          url: ${WEBHOOK}
          headers: {Title: "Motor {device}"}
          body: {text: "{device} on {line}: {temp:.1f} °C", temp: "{temp}"}
      - http: {url_file: `+denied+`, fields: [temp]}
      - postgres:
          url: ${DATABASE_URL}
          table: alerts
          key: [time, device]
          fields: [line, temp, status]
          create: true
          linger: 10ms
`)
	r.pub("5", "plant/a/m1", `{"temp": 81.25, "status": "it's \"hot\""}`, `{"temp": 20}`)
	want := "/services/" + secret + ` Motor m1 {"text":"m1 on a: 81.2 °C","temp":81.25}`
	if got := <-heard; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.waitFor("403 Forbidden")
	out := &output{}
	sinktest.Eventually(t, func() bool {
		out = &output{}
		c := exec.Command("psql", "-At", "-c", "SELECT device, line, temp, status FROM alerts", database.URL)
		c.Stdout = out
		return c.Run() == nil && out.String() != ""
	}, r.err.String)
	if got, want := out.String(), "m1|a|81.25|it's \"hot\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	forgiven.Store(true) // a drain tries again at once
	if code := r.stop(); code != 0 {
		t.Errorf("got exit code %d", code)
	}
	if strings.Contains(r.err.String(), secret) {
		t.Errorf("the log shows a secret:\n%s", r.err)
	}
}
