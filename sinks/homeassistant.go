package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
)

// devicesMax is the most devices that a Home Assistant sink announces.
const devicesMax = 10_000

// HomeAssistantConfig is what a Home Assistant sink needs.
type HomeAssistantConfig struct {
	Device       string // what tells devices apart, columns in braces: motor_{device}
	Name         string // of the device as people see it, columns in braces; Device unless said
	Manufacturer string
	Model        string
	Area         string // where it is suggested to be
	Entities     []Entity
	Prefix       string        // of discovery topics; homeassistant unless said
	Base         string        // of all other topics; millrace unless said
	ExpireAfter  time.Duration // without a value for so long, an entity is unavailable; 0 for never
}

// An Entity is a column as Home Assistant shows it.
type Entity struct {
	ID          string // letters, digits, - and _
	Value       string // the column
	Component   string // sensor or binary_sensor
	Name        string // as people see it; the ID unless said
	Unit        string // unit_of_measurement
	DeviceClass string
	StateClass  string
	Icon        string
}

// HomeAssistant publishes rows as entities of Home Assistant, by MQTT
// discovery. The first row of a device announces its entities:
//
//	homeassistant/sensor/motor_m1/mean/config     what it is, retained
//	millrace/motor_m1/mean/availability           online, or offline after Close, retained
//	millrace/motor_m1/mean/state                  the value, retained
//
// An entity without a value in a row keeps the one that it has. A binary
// sensor is ON for true and for numbers but 0; texts are on, off, true or
// false, and any other refuses the row.
type HomeAssistant struct {
	c       HomeAssistantConfig
	to      Publisher
	device  *line
	name    *line
	written atomic.Uint64

	mu    sync.Mutex
	known map[string]string // what each device that was announced is called, by its id
}

// NewHomeAssistant returns a sink that publishes to p.
func NewHomeAssistant(c HomeAssistantConfig, p Publisher) (*HomeAssistant, error) {
	h := &HomeAssistant{c: c, to: p, known: map[string]string{}}
	if c.Name == "" {
		h.c.Name = c.Device
	}
	if c.Prefix == "" {
		h.c.Prefix = "homeassistant"
	}
	if c.Base == "" {
		h.c.Base = "millrace"
	}
	if len(c.Entities) == 0 || c.Device == "" {
		return nil, errors.New("device and entities: at least one is needed")
	}
	var err error
	if h.device, err = compileLine(c.Device); err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	h.name, err = compileLine(h.c.Name)
	return h, err
}

// Write implements Sink.
func (h *HomeAssistant) Write(ctx context.Context, b *pipeline.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var no []Refusal
	for i := range b.Rows() {
		if i%pipeline.RowsMax == 0 && ctx.Err() != nil {
			return partial(i, no, ctx.Err())
		}
		err := h.row(b, i)
		switch {
		case err == nil:
		case errors.Is(err, journal.ErrFull):
			return partial(i, no, err)
		default:
			no = append(no, Refusal{i, err.Error()})
		}
	}
	return refused(no)
}

// row announces the device of row i if it is new, and publishes its values.
func (h *HomeAssistant) row(b *pipeline.Batch, i int) error {
	for _, name := range h.device.names() {
		if name != timeName && b.Column(name, i) == nil {
			return fmt.Errorf("device: %s has no value", name)
		}
	}
	id := slug(h.device.plain(nil, b, i))
	name := string(h.name.append(nil, b, i))
	states := make([][]byte, len(h.c.Entities))
	for k := range h.c.Entities {
		var err error
		if states[k], err = h.c.Entities[k].state(b, i); err != nil {
			return err
		}
	}
	if before, ok := h.known[id]; !ok || before != name {
		if !ok && len(h.known) >= devicesMax {
			return fmt.Errorf("more than %d devices", devicesMax)
		}
		if err := h.announce(id, name, b.Hop[i]); err != nil {
			return err
		}
		h.known[id] = name
	}
	for k := range h.c.Entities {
		if states[k] == nil {
			continue
		}
		if err := h.publish(h.topic(id, &h.c.Entities[k], "state"), states[k], b.Hop[i]); err != nil {
			return err
		}
	}
	return nil
}

// state returns what an entity's value is in row i, nil for none.
func (e *Entity) state(b *pipeline.Batch, i int) ([]byte, error) {
	c := b.Column(e.Value, i)
	switch {
	case c == nil || c.Kind == pipeline.Float && !isFinite(c.Floats[i]):
		return nil, nil
	case e.Component != "binary_sensor":
		return appendValue(nil, c, e.Value, i)
	}
	on := false
	switch c.Kind {
	case pipeline.Float:
		on = c.Floats[i] != 0
	case pipeline.Int:
		on = c.Ints[i] != 0
	case pipeline.Bool:
		on = c.Bools[i] != 0
	default:
		switch text := strings.ToLower(string(c.Text(i))); text {
		case "on", "true", "off", "false":
			on = text == "on" || text == "true"
		default:
			return nil, fmt.Errorf("%s is %.80q, neither on nor off", e.Value, c.Text(i))
		}
	}
	if on {
		return []byte("ON"), nil
	}
	return []byte("OFF"), nil
}

// A discovery is the payload of a config topic, in the keys of Home Assistant.
type discovery struct {
	Name              string          `json:"name"`
	UniqueID          string          `json:"unique_id"`
	StateTopic        string          `json:"state_topic"`
	AvailabilityTopic string          `json:"availability_topic"`
	Unit              string          `json:"unit_of_measurement,omitempty"`
	DeviceClass       string          `json:"device_class,omitempty"`
	StateClass        string          `json:"state_class,omitempty"`
	Icon              string          `json:"icon,omitempty"`
	ExpireAfter       int64           `json:"expire_after,omitempty"`
	Device            discoveryDevice `json:"device"`
	Origin            struct {
		Name string `json:"name"`
	} `json:"origin"`
}

type discoveryDevice struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer,omitempty"`
	Model        string   `json:"model,omitempty"`
	Area         string   `json:"suggested_area,omitempty"`
}

// announce publishes what the entities of a device are, and that they are there.
func (h *HomeAssistant) announce(id, name string, hop uint8) error {
	for k := range h.c.Entities {
		e := &h.c.Entities[k]
		d := discovery{
			Name: e.Name, UniqueID: h.c.Base + "_" + id + "_" + e.ID,
			StateTopic: h.topic(id, e, "state"), AvailabilityTopic: h.topic(id, e, "availability"),
			Unit: e.Unit, DeviceClass: e.DeviceClass, StateClass: e.StateClass, Icon: e.Icon, ExpireAfter: int64(h.c.ExpireAfter / time.Second),
			Device: discoveryDevice{[]string{h.c.Base + "_" + id}, name, h.c.Manufacturer, h.c.Model, h.c.Area},
		}
		d.Origin.Name = "millrace"
		if d.Name == "" {
			d.Name = strings.ReplaceAll(e.ID, "_", " ")
		}
		payload, err := json.Marshal(d)
		if err != nil {
			return err
		}
		component := e.Component
		if component == "" {
			component = "sensor"
		}
		if err := h.publish(fmt.Sprintf("%s/%s/%s/%s/config", h.c.Prefix, component, id, e.ID), payload, hop); err != nil {
			return err
		}
		if err := h.publish(d.AvailabilityTopic, []byte("online"), hop); err != nil {
			return err
		}
	}
	return nil
}

func (h *HomeAssistant) topic(id string, e *Entity, what string) string {
	return h.c.Base + "/" + id + "/" + e.ID + "/" + what
}

// publish publishes a retained message.
func (h *HomeAssistant) publish(topic string, payload []byte, hop uint8) error {
	if hop < math.MaxUint8 {
		hop++
	}
	err := h.to.Publish([]byte(topic), payload, 1, true, hop)
	if err == nil {
		h.written.Add(uint64(len(payload)))
	}
	return err
}

// slug returns a text as the letters, digits, - and _ that Home Assistant takes
// in topics. Any other byte is _ and its number in hex, so that no two become one.
func slug(text []byte) string {
	var s strings.Builder
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_':
			s.WriteByte(c)
		default:
			fmt.Fprintf(&s, "_%02x", c)
		}
	}
	return s.String()
}

// Written implements Meter.
func (h *HomeAssistant) Written() uint64 { return h.written.Load() }

// Close implements Sink. It tells Home Assistant that the entities are
// offline, if the broker still takes that.
func (h *HomeAssistant) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.known {
		for k := range h.c.Entities {
			h.publish(h.topic(id, &h.c.Entities[k], "availability"), []byte("offline"), 0)
		}
	}
	clear(h.known)
	return nil
}
