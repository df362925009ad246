package load

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestRemainingLengthsAreThoseOfTheSpecification(t *testing.T) {
	for n, want := range map[int]string{
		0: "\x00", 127: "\x7f", 128: "\x80\x01", 16383: "\xff\x7f", 16384: "\x80\x80\x01",
		2097151: "\xff\xff\x7f", 2097152: "\x80\x80\x80\x01", RemainingMax: "\xff\xff\xff\x7f",
	} {
		got := AppendLength(nil, n)
		if string(got) != want {
			t.Errorf("%d: got %x, want %x", n, got, want)
		}
		if back, size := Length(got); back != n || size != len(got) {
			t.Errorf("%x: got %d of %d bytes, want %d", got, back, size, n)
		}
		if _, size := Length(got[:len(got)-1]); size != 0 {
			t.Errorf("%x cut: got size %d, want 0", got, size)
		}
	}
	if _, size := Length([]byte{128, 128, 128, 128}); size != -1 {
		t.Errorf("got size %d of a length of more than 4 bytes, want -1", size)
	}
}

func TestReadingsAreAsPromised(t *testing.T) {
	const messages = 8000
	s := newSource(17, start.UnixMilli(), 10, messages)
	var last int64
	hot, bytes := 0, 0
	for n := range messages {
		p := s.next(nil)
		bytes += len(p)
		var r struct {
			Device         string
			TS             int64
			Temp, Hum, Vib *float64
			RPM            *int
			OK             bool
		}
		if err := json.Unmarshal(p, &r); err != nil || r.Hum == nil || r.Vib == nil || r.RPM == nil || !r.OK || r.Device != "d17" {
			t.Fatalf("%s: %v", p, err)
		}
		if want := start.UnixMilli() + int64(n)*10; n < messages-1 && r.TS != want || n == messages-1 && r.TS != last+flushMS {
			t.Fatalf("%d: got time %d after %d", n, r.TS, last)
		}
		last = r.TS
		window := n / 100
		if faulty := window == 35+17 || window == 79; n < messages-1 && faulty != (*r.Temp >= 38) {
			t.Fatalf("window %d: got %s", window, p)
		}
		if *r.Temp > 30 {
			hot++
		}
	}
	if mean := bytes / messages; mean < 88 || mean > 96 {
		t.Errorf("got %d bytes a payload, want about 90", mean)
	}
	if hot < messages*8/100 || hot > messages*16/100 {
		t.Errorf("got %d hot ones of %d, want about one in ten", hot, messages)
	}
}

func TestALoadIsPacketsInWrites(t *testing.T) {
	for qos := range byte(2) {
		seen := 0
		l, err := New(Config{Publishers: 3, Messages: 100, QoS: qos, Batch: 4, Step: 10 * time.Millisecond, Start: start,
			Results: func(device int, payload []byte) int {
				if !bytes.Contains(payload, []byte(`"device":"d`+string(rune('0'+device))+`"`)) {
					t.Errorf("device %d: got %s", device, payload)
				}
				seen++
				return seen % 2
			}})
		if err != nil {
			t.Fatal(err)
		}
		if l.Messages != 99 || l.Results != 50 || seen != 99 {
			t.Errorf("got %d messages, %d results, want 99 and 50", l.Messages, l.Results)
		}
		for _, s := range l.scripts {
			messages, pings := parts(t, s.data)
			if last := s.writes[len(s.writes)-1]; messages != 33 || last.end != len(s.data) || last.messages != 1 || len(s.writes) != 9 {
				t.Errorf("got %d messages, writes %+v", messages, s.writes)
			}
			if want := (1 - int(qos)) * 2; pings != want {
				t.Errorf("QoS %d: got %d pings, want %d", qos, pings, want)
			}
		}
	}
}

// parts counts the packets in p.
func parts(t *testing.T, p []byte) (messages, pings int) {
	for len(p) > 0 {
		n, size := Length(p[1:])
		if size < 1 {
			t.Fatalf("got a remaining length of %x", p[1:5])
		}
		switch p[0] {
		case TypePingreq:
			pings++
		case TypePublish, TypePublish | 2:
			messages++
		default:
			t.Fatalf("got a packet of type %#x", p[0])
		}
		p = p[1+size+n:]
	}
	return messages, pings
}

func TestALoadHasLimits(t *testing.T) {
	good := Config{Publishers: 2, Messages: 4, Batch: 1, Step: time.Millisecond, Start: start}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"publishers": func(c *Config) { c.Publishers = 0 },
		"messages":   func(c *Config) { c.Messages = 3 },
		"batch":      func(c *Config) { c.Batch = BatchMax + 1 },
		"qos":        func(c *Config) { c.QoS = 2 },
		"step":       func(c *Config) { c.Step = time.Microsecond },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
	for name, change := range map[string]func(*Config){
		"publishers": func(c *Config) { c.Publishers, c.Messages = PublishersMax+1, 4*PublishersMax },
		"messages":   func(c *Config) { c.Messages = MessagesMax + 1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
}

func TestPayloadsTakeTurns(t *testing.T) {
	all := Payloads(3, 5, start, 10*time.Millisecond)
	if len(all) != 15 {
		t.Fatalf("got %d, want 15", len(all))
	}
	for i, p := range all {
		if want := `{"device":"d` + string(rune('0'+i%3)) + `"`; !strings.HasPrefix(string(p), want) {
			t.Errorf("%d: got %s, want %s", i, p, want)
		}
	}
}
