package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

func newHome(t *testing.T, c HomeAssistantConfig, w Publisher) *HomeAssistant {
	t.Helper()
	h, err := NewHomeAssistant(c, w)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// motor is a device with a value and an alarm.
func motor() HomeAssistantConfig {
	return HomeAssistantConfig{
		Device: "motor_{device}", Name: "Motor {device}", Manufacturer: "Acme", Model: "M 5", Area: "Hall", ExpireAfter: time.Minute,
		Entities: []Entity{
			{ID: "mean_temp", Value: "temp", Unit: "°C", DeviceClass: "temperature", StateClass: "measurement", Icon: "mdi:thermometer"},
			{ID: "alarm", Value: "on", Component: "binary_sensor", Name: "Overheated", DeviceClass: "problem"},
		},
	}
}

func TestADeviceIsAnnouncedBeforeItsFirstState(t *testing.T) {
	w := &wall{}
	h := newHome(t, motor(), w)
	b := batch(columns(device, temp, on), []any{"m 1", 25.5, true}, []any{"m 1", 26.0, false}, []any{"m 1", math.NaN(), nil})
	write(t, h, b)
	var topics []string
	for _, said := range w.said {
		topic, _, _ := strings.Cut(said, " ")
		topics = append(topics, topic)
	}
	const at = "motor_m_201"
	want := []string{
		"homeassistant/sensor/" + at + "/mean_temp/config", "millrace/" + at + "/mean_temp/availability",
		"homeassistant/binary_sensor/" + at + "/alarm/config", "millrace/" + at + "/alarm/availability",
		"millrace/" + at + "/mean_temp/state", "millrace/" + at + "/alarm/state", "millrace/" + at + "/mean_temp/state", "millrace/" + at + "/alarm/state",
	}
	if !slices.Equal(topics, want) {
		t.Errorf("got %q, want %q", topics, want)
	}
	text := strings.TrimPrefix(w.said[0], topics[0]+" ")
	var got map[string]any
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	full := map[string]any{
		"name": "mean temp", "unique_id": "millrace_" + at + "_mean_temp", "state_topic": want[4], "availability_topic": want[1],
		"unit_of_measurement": "°C", "device_class": "temperature", "state_class": "measurement", "icon": "mdi:thermometer", "expire_after": 60.0,
		"device": map[string]any{"identifiers": []any{"millrace_" + at}, "name": "Motor m 1", "manufacturer": "Acme", "model": "M 5", "suggested_area": "Hall"},
		"origin": map[string]any{"name": "millrace"},
	}
	if !reflect.DeepEqual(got, full) {
		t.Errorf("got %v, want %v", got, full)
	}
	for i, state := range map[int]string{1: "online", 3: "online", 4: "25.5", 5: "ON", 6: "26", 7: "OFF"} {
		if !strings.HasPrefix(w.said[i], topics[i]+" "+state) || !strings.Contains(w.said[i], "true") {
			t.Errorf("got %q, want %s, kept", w.said[i], state)
		}
	}
}

func TestADeviceIsAnnouncedAgainWhenItsNameChanges(t *testing.T) {
	w := &wall{}
	c := motor()
	c.Device, c.Name = "m", "{device}"
	h := newHome(t, c, w)
	write(t, h, batch(columns(device, temp), []any{"a", 1.0}, []any{"a", 1.0}, []any{"b", 1.0}))
	n := 0
	for _, said := range w.said {
		if strings.Contains(said, "/config ") {
			n++
		}
	}
	if n != 4 {
		t.Errorf("got %d configurations, want two for each name", n)
	}
	w.said = nil
	h.Close()
	h.Close()
	if len(w.said) != 2 || !strings.Contains(w.said[0], "availability offline") {
		t.Errorf("got %q, want both entities offline once", w.said)
	}
}

func TestABinarySensorIsOnOrOff(t *testing.T) {
	w := &wall{}
	c := motor()
	c.Entities = c.Entities[1:]
	h := newHome(t, c, w)
	states := pipeline.Field{Name: "on", Kind: pipeline.Text}
	for _, b := range []*pipeline.Batch{
		batch(columns(device, states), []any{"a", "ON"}, []any{"a", "off"}, []any{"a", "True"}, []any{"a", "false"}),
		batch(columns(device, pipeline.Field{Name: "on", Kind: pipeline.Float}), []any{"a", 0.5}, []any{"a", 0.0}),
		batch(columns(device, pipeline.Field{Name: "on", Kind: pipeline.Int}), []any{"a", -1}, []any{"a", 0}),
	} {
		write(t, h, b)
	}
	var got []string
	for _, said := range w.said[2:] {
		got = append(got, strings.Fields(said)[1][:2])
	}
	if want := []string{"ON", "OF", "ON", "OF", "ON", "OF", "ON", "OF"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var no *Refused
	if err := h.Write(t.Context(), batch(columns(device, states), []any{"a", "maybe"}, []any{nil, "on"})); !errors.As(err, &no) || len(no.Rows) != 2 {
		t.Errorf("got %v, want both refused", err)
	}
}

func TestDevicesHaveALimitAndAFullJournalIsWaitedFor(t *testing.T) {
	full := false
	w := &wall{err: func(string) error {
		if full {
			return fmt.Errorf("x: %w", journal.ErrFull)
		}
		return nil
	}}
	h := newHome(t, motor(), w)
	for i := range devicesMax {
		h.known[fmt.Sprint(i)] = ""
	}
	b := batch(columns(device, temp), []any{"a", 1.0})
	var no *Refused
	if err := h.Write(t.Context(), b); !errors.As(err, &no) || !strings.Contains(err.Error(), "more than 10000 devices") {
		t.Errorf("got %v", err)
	}
	delete(h.known, "0")
	full = true
	if err := h.Write(t.Context(), b); !errors.Is(err, journal.ErrFull) {
		t.Errorf("got %v", err)
	}
	full = false
	write(t, h, b)
	if len(w.said) != 5 {
		t.Errorf("got %q, want it announced", w.said)
	}
	for _, c := range []HomeAssistantConfig{{}, {Device: "a"}, {Device: "{", Entities: make([]Entity, 1)}, {Device: "a", Name: "{", Entities: make([]Entity, 1)}} {
		if _, err := NewHomeAssistant(c, w); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

func TestNoTwoNamesBecomeTheSameSlug(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{"a b", "a_b", "a-b", "a/b", "a.b", "ab", "A b", "ä", "", "a_20b"} {
		g := slug([]byte(s))
		if before, ok := seen[g]; ok && s != "a_20b" {
			t.Errorf("%q and %q are both %q", s, before, g)
		}
		seen[g] = s
	}
}
