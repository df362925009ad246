package decode

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/pipeline"
	"millrace.dev/millrace/pipeline/topics"
)

// newYear is when the messages of these tests arrive.
var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// rowsOf returns the rows that a message becomes, as ms since the new year and
// values, or why it becomes none.
func rowsOf(d *Decoder, topic, payload string) (rows []string) {
	b := d.NewBatch()
	var dead []pipeline.DeadLetter
	d.Decode([]journal.Record{{Offset: 1, Arrived: newYear, Topic: []byte(topic), Payload: []byte(payload)}}, b, &dead)
	for i := range b.Rows() {
		rows = append(rows, strings.TrimSpace(fmt.Sprint((b.Time[i]-newYear)/1000, " ", rowText(b, i))))
		if b.Ordinal[i] != uint32(i) {
			rows = append(rows, fmt.Sprint("ordinal ", b.Ordinal[i]))
		}
	}
	for _, l := range dead {
		rows = append(rows, "dead: "+l.Reason)
	}
	return rows
}

func checkRows(t *testing.T, d *Decoder, topic, payload string, want ...string) {
	t.Helper()
	for range 2 { // the second time guesses are used
		if got := rowsOf(d, topic, payload); !slices.Equal(got, want) {
			t.Errorf("%s %s:\ngot  %q\nwant %q", topic, clip(payload), got, want)
		}
	}
}

func fieldsOf(kind pipeline.Kind, names ...string) (s pipeline.Schema) {
	for _, name := range names {
		s = append(s, pipeline.Field{Name: name, Kind: kind})
	}
	return s
}

func TestDevicesAreReadAsTheyPublish(t *testing.T) {
	device := []topics.Level{{Name: "device", Index: 1}}
	numbers := func(names ...string) Config {
		return Config{Levels: device, Fields: fieldsOf(pipeline.Float, names...)}
	}
	timed := func(c Config, t TimeField) Config { c.Time = t; return c }
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config               Config
		topic, payload, want string
	}{
		"Zigbee2MQTT": {
			numbers("temperature", "humidity", "linkquality"), "zigbee2mqtt/bath",
			`{"battery":100,"humidity":52.4,"linkquality":131,"pressure":1012.3,"temperature":21.63,"voltage":3015,"update":{"installed_version":8,"latest_version":8,"state":"idle"}}`,
			`0 device="bath" temperature=21.63 humidity=52.4 linkquality=131`,
		},
		"Zigbee2MQTT plug": {
			Config{Levels: device, Fields: pipeline.Schema{{Name: "state", Kind: pipeline.Bool}, {Name: "power", Kind: pipeline.Float}}}, "zigbee2mqtt/plug",
			`{"current":0.21,"energy":12.7,"linkquality":98,"power":46,"power_on_behavior":null,"state":"ON","voltage":231}`,
			`0 device="plug" state=true power=46`,
		},
		"Tasmota": {
			timed(numbers("ENERGY.Power", "AM2301.Temperature"), TimeField{Name: "Time", Unit: "rfc3339"}), "tele/plug/SENSOR",
			`{"Time":"2026-01-01T00:00:10","ENERGY":{"TotalStartTime":"2023-01-01T00:00:00","Total":4.025,"Power":46,"ApparentPower":58},"AM2301":{"Temperature":21.5,"Humidity":48.1},"TempUnit":"C"}`,
			`10000 device="plug" ENERGY.Power=46 AM2301.Temperature=21.5`,
		},
		"Tasmota in Berlin": {
			timed(numbers("ENERGY.Power"), TimeField{Name: "Time", Unit: "rfc3339", Zone: berlin}), "tele/plug/SENSOR",
			`{"Time":"2026-01-01T01:00:10","ENERGY":{"Power":46}}`, `10000 device="plug" ENERGY.Power=46`,
		},
		"Shelly Gen2": {
			timed(Config{Fields: append(fieldsOf(pipeline.Float, "params.switch:0.apower"), pipeline.Field{Name: "src", Kind: pipeline.Text})}, TimeField{Name: "params.ts", Unit: "s"}), "shellyplus1pm-a8032ab12345/events/rpc",
			`{"src":"shellyplus1pm-a8032ab12345","dst":"shellyplus1pm-a8032ab12345/events","method":"NotifyStatus","params":{"ts":1767225605.25,"switch:0":{"id":0,"apower":8.9,"output":true}}}`,
			`5250 params.switch:0.apower=8.9 src="shellyplus1pm-a8032ab12345"`,
		},
		"ESPHome": {
			Config{Format: "value", Levels: []topics.Level{{Name: "node", Index: 0}, {Name: "sensor", Index: 2}}, Open: true}, "livingroom/sensor/temperature/state", "21.63", `0 node="livingroom" sensor="temperature" value=21.63`,
		},
		"ESPHome without a reading": {Config{Format: "value", Open: true}, "livingroom/sensor/temperature/state", "nan", `0`},
		"ESPHome binary sensor":     {Config{Fields: fieldsOf(pipeline.Bool, "value")}, "hall/binary_sensor/motion/state", "ON", `0 value=true`},
		"Home Assistant discovery": {
			Config{Topic: true, Fields: append(fieldsOf(pipeline.Text, "unique_id"), fieldsOf(pipeline.Float, "temperature")...)}, "homeassistant/sensor/bath_temperature/config",
			`{"availability":[{"topic":"zigbee2mqtt/bridge/state"}],"device":{"identifiers":["zigbee2mqtt_0x00158d"],"name":"bath"},"device_class":"temperature","state_topic":"zigbee2mqtt/bath","unique_id":"0x00158d_temperature","value_template":"{{ value_json.temperature }}"}`,
			`0 topic="homeassistant/sensor/bath_temperature/config" unique_id="0x00158d_temperature"`,
		},
		"The Things Stack": {
			timed(Config{Fields: append(fieldsOf(pipeline.Float, "uplink_message.decoded_payload.temperature", "uplink_message.rx_metadata[0].rssi"), pipeline.Field{Name: "end_device_ids.device_id", Kind: pipeline.Text})}, TimeField{Name: "received_at", Unit: "rfc3339"}), "v3/app@tenant/devices/eui-1/up",
			`{"end_device_ids":{"device_id":"eui-1","application_ids":{"application_id":"app"},"dev_eui":"0004A30B001C0530"},"correlation_ids":["as:up:01"],"received_at":"2026-01-01T00:00:03.123456789Z","uplink_message":{"f_port":2,"frm_payload":"AQIDBA==","decoded_payload":{"temperature":21.5},"rx_metadata":[{"gateway_ids":{"gateway_id":"gw"},"rssi":-45,"snr":9.5}],"settings":{"data_rate":{"lora":{"bandwidth":125000,"spreading_factor":7}}}}}`,
			`3123 uplink_message.decoded_payload.temperature=21.5 uplink_message.rx_metadata[0].rssi=-45 end_device_ids.device_id="eui-1"`,
		},
	} {
		t.Run(name, func(t *testing.T) { checkRows(t, newDecoder(t, c.config), c.topic, c.payload, c.want) })
	}
}

func TestALevelCalledMetricNamesTheColumn(t *testing.T) {
	c := Config{Levels: []topics.Level{{Name: "device", Index: 1}}, Pivot: &topics.Level{Name: "metric", Index: 3}, Key: []string{"device"}}
	open := c
	open.Open = true
	c.Fields = append(fieldsOf(pipeline.Float, "temperature", "switch:0.apower"), fieldsOf(pipeline.Bool, "flood")...)
	d := newDecoder(t, c)
	checkRows(t, d, "shellies/a/sensor/temperature", "21.5", `0 device="a" temperature=21.5`)
	checkRows(t, d, "shellies/a/sensor/flood", "true", `0 device="a" flood=true`)
	checkRows(t, d, "shellies/a/sensor/flood", "0", `0 device="a" flood=false`)
	checkRows(t, d, "shellies/a/sensor/switch:0", `{"id":0,"apower":8.9}`, `0 device="a" switch:0.apower=8.9`)
	checkRows(t, d, "shellies/a/sensor/temperature", "hot", `dead: payload: not JSON: want a value at byte 0`)
	checkRows(t, d, "shellies/a/sensor/temperature", "on", `dead: field temperature: want number, have text "on"`)
	checkRows(t, d, "shellies/a/sensor/act_reasons", `["button"]`)
	checkRows(t, d, "shellies/a/sensor", "1")
	checkRows(t, d, "shellies/a/sensor/device", "1")

	d = newDecoder(t, open)
	checkRows(t, d, "shellies/a/sensor/temperature", "21.5", `0 device="a" temperature=21.5`)
	checkRows(t, d, "shellies/a/relay/0", "on", `0 device="a" 0=true`)
	checkRows(t, d, "shellies/b/sensor/state", `"open"`, `0 device="b" state="open"`)
	checkRows(t, d, "shellies/b/sensor/device", `1`)
	checkRows(t, d, "shellies/b/status/pm", `{"v":1,"w":{"x":"y"}}`, `0 device="b" pm.v=1 pm.w.x="y"`)
	c.Format, c.Fields = "value", fieldsOf(pipeline.Text, "status")
	checkRows(t, newDecoder(t, c), "shellies/a/roller/status", " going up\n", `0 device="a" status="going up"`)
}

func TestBareValuesAreAField(t *testing.T) {
	for kind, cases := range map[pipeline.Kind][][2]string{
		pipeline.Float: {{"21.5", "value=21.5"}, {"+3", "value=3"}, {".5", "value=0.5"}, {" 1e3 ", "value=1000"}, {"-007", "value=-7"}, {"12345678901234567890123", "value=1.2345678901234568e+22"}, {"null", ""}, {"NaN", ""}, {"1e999", "dead: field value: want number, have text \"1e999\""}, {`"7"`, `dead: field value: want number, have text "7"`}, {"1.2.3", "dead: payload: not JSON: want a value at byte 0"}, {"[1]", "dead: payload: not an object"}},
		pipeline.Int:   {{"21", "value=21"}, {"3.0", "value=3"}, {"3.5", `dead: field value: want int, have text "3.5"`}},
		pipeline.Bool:  {{"ON", "value=true"}, {"off", "value=false"}, {"1", "value=true"}, {"0", "value=false"}, {"Open", "value=true"}, {`"CLOSED"`, "value=false"}, {"offline", "value=false"}, {"2", `dead: field value: want bool, have text "2"`}},
		pipeline.Text:  {{"ON", `value="ON"`}, {"21.50", `value="21.50"`}, {`"a\u00e9"`, `value="aé"`}},
	} {
		check(t, Config{Fields: fieldsOf(kind, "value")}, cases)
	}
	check(t, Config{Format: "value", Open: true}, [][2]string{{"21.5", "value=21.5"}, {"on", "value=true"}, {"open", `value="open"`}, {"\xff", "dead: payload: not UTF-8"}, {"", "dead: payload: empty, want a value"}})
	check(t, Config{Open: true}, [][2]string{{"21.5", "value=21.5"}, {"OFF", "value=false"}, {`{"value":3,"unit":"C"}`, `unit="C" value=3`}, {`"x"`, `value="x"`}})
	check(t, Config{Fields: fieldsOf(pipeline.Float, "temp")}, [][2]string{{"21.5", "dead: payload: not an object"}})
}

func TestCharsetsBecomeUTF8(t *testing.T) {
	text := fieldsOf(pipeline.Text, "t")
	check(t, Config{Charset: "latin1", Fields: text}, [][2]string{{"{\"t\":\"gr\xfcn\"}", `t="grün"`}})
	check(t, Config{Charset: "utf-16", Fields: text}, [][2]string{
		{"{\x00\"\x00t\x00\"\x00:\x00\"\x00\xfc\x00\x3d\xd8\x00\xde\"\x00}\x00", `t="ü😀"`},
		{"\xfe\xff\x00{\x00\"\x00t\x00\"\x00:\x00\"\x00\xfc\x00\"\x00}", `t="ü"`},
		{"{\x00\"", "dead: payload: not UTF-16: an odd number of bytes"},
		{"{\x00\x3d\xd8}\x00", "dead: payload: not UTF-16: half of a surrogate pair at byte 2"},
		{"{\x00\x3d\xd8", "dead: payload: not UTF-16: half of a surrogate pair at byte 2"},
	})
	for _, c := range []Config{{Charset: "koi8-r"}, {Format: "cbor", Charset: "latin1"}} {
		if _, err := New(c, pipeline.NewKeys(1)); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}
