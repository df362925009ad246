package config

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// HomeAssistantSink publishes rows as entities of Home Assistant.
type HomeAssistantSink struct {
	Device       string        `yaml:"device,required" doc:"what tells devices apart; columns in braces: motor_{device}"`
	Name         string        `yaml:"name" doc:"the device as people see it; columns in braces; as device unless said"`
	Manufacturer string        `yaml:"manufacturer" doc:"who made the device"`
	Model        string        `yaml:"model" doc:"what it is"`
	Area         string        `yaml:"area" doc:"where Home Assistant suggests it to be"`
	Entities     Entities      `yaml:"entities,required" doc:"what is shown of a row"`
	Prefix       string        `yaml:"prefix" doc:"what discovery topics begin with, as in Home Assistant's settings"`
	Base         string        `yaml:"base" doc:"what all other topics begin with"`
	ExpireAfter  time.Duration `yaml:"expire_after" doc:"without a value for so long an entity is unavailable; 0 for never"`
}

func homeAssistantDefaults() HomeAssistantSink {
	return HomeAssistantSink{Prefix: "homeassistant", Base: "millrace"}
}

// Entities are the entities of a device, in the order of the file.
type Entities []Entity

// Entity is a column as Home Assistant shows it.
type Entity struct {
	ID          string `yaml:"-"`
	Value       string `yaml:"value,required" doc:"the column"`
	Component   string `yaml:"component" enum:"sensor,binary_sensor" doc:"a value, or on and off"`
	Name        string `yaml:"name" doc:"as people see it; the entity's key unless said"`
	Unit        string `yaml:"unit_of_measurement" doc:"such as °C, kWh or mm/s"`
	DeviceClass string `yaml:"device_class" doc:"as Home Assistant knows it: temperature, energy, problem and many more"`
	StateClass  string `yaml:"state_class" enum:"measurement,total,total_increasing" doc:"what statistics make of a sensor"`
	Icon        string `yaml:"icon" doc:"such as mdi:fan"`
}

// entitiesMax is the most entities of a device.
const entitiesMax = 100

func (es *Entities) fromNode(d *decoder, n *yaml.Node, path string) {
	d.named(n, path, "entities by name", func(key, value *yaml.Node, path string) {
		if len(*es) == entitiesMax {
			d.fail(key, path, "", "more than %d entities", entitiesMax)
			return
		}
		e := Entity{ID: key.Value, Component: "sensor"}
		d.value(value, settable(&e), "", path)
		*es = append(*es, e)
	})
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.fail(n, path, "such as temperature: {value: mean}", "a device needs an entity")
	}
}

func (s *HomeAssistantSink) names() []string {
	names := namesOf(s.Device, s.Name)
	for _, e := range s.Entities {
		names = append(names, e.Value)
	}
	return names
}

func (s *HomeAssistantSink) takesAll() bool { return false }

func (s *HomeAssistantSink) label() string { return "homeassistant " + s.Device }

func (s *HomeAssistantSink) check(d *decoder, path string) {
	d.checkBraces(path+".device", s.Device, "such as motor_{device}")
	d.checkBraces(path+".name", s.Name, "such as Motor {device}")
	if s.Device == "" && d.there(path+".device") {
		d.problem(path+".device", "such as motor_{device}", "device is empty")
	}
	for key, text := range map[string]string{"prefix": s.Prefix, "base": s.Base} {
		if at := path + "." + key; d.there(at) && (text == "" || strings.ContainsAny(text, "+#{}") || strings.HasSuffix(text, "/") || strings.HasPrefix(text, "$")) {
			d.problem(at, "words with / between them, such as homeassistant", "%q is no beginning of a topic", text)
		}
	}
	if s.ExpireAfter%time.Second != 0 {
		d.problem(path+".expire_after", "Home Assistant counts it in seconds", "%s is too fine", s.ExpireAfter)
	}
	for _, e := range s.Entities {
		at := path + ".entities." + e.ID
		if e.Component != "binary_sensor" {
			continue
		}
		for _, key := range []string{"unit_of_measurement", "state_class"} {
			if d.there(at + "." + key) {
				d.problem(at+"."+key+"#key", "leave it out, or write component: sensor", "a binary sensor has no %s", key)
			}
		}
	}
}
