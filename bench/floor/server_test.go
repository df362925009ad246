package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"millrace.dev/millrace/bench/load"
	"millrace.dev/millrace/bench/native"
)

func serve(t *testing.T, k native.Kind) (*server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, ended := newServer(k), make(chan error)
	go func() { ended <- s.serve(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// Whatever the job and the QoS, the subscriber gets what the job gives out
// when it is run alone, and each device's last message brings a result, so
// that having seen all results is having finished.
func TestEveryJobGivesWhatItGivesAlone(t *testing.T) {
	for _, k := range native.Kinds() {
		for qos := range byte(2) {
			t.Run(fmt.Sprintf("%v at QoS %d", k, qos), func(t *testing.T) {
				t.Parallel()
				results, last := 0, 0
				job := native.NewJob(k, func(*native.Result) { results++ })
				l, err := load.New(load.Config{
					Publishers: 5, Messages: 5 * 6000, QoS: qos, Batch: 16, Step: 10 * time.Millisecond, Start: time.Unix(1767225600, 0),
					Results: func(_ int, payload []byte) int {
						before := results
						if err := job.Message(payload); err != nil {
							t.Fatal(err)
						}
						last = results - before
						return last
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				if last == 0 {
					t.Error("the last message brings no result")
				}
				s, addr := serve(t, k)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				got, err := l.Run(ctx, load.Options{Addr: addr, Filter: native.TopicPrefix + "#"})
				if err != nil {
					t.Fatal(err)
				}
				if got.Messages != 30_000 || got.Results != results || results < 10 {
					t.Errorf("got %d messages, %d results, want 30000 and %d", got.Messages, got.Results, results)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.bad > 0 || s.job.Late > 0 {
					t.Errorf("got %d bad payloads, %d late readings, want none", s.bad, s.job.Late)
				}
			})
		}
	}
}

func TestAFixedRateArrivesWhole(t *testing.T) {
	_, addr := serve(t, native.Filter)
	l, err := load.New(load.Config{Publishers: 10, Messages: 1000, Batch: 1, Step: time.Millisecond, Start: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Run(context.Background(), load.Options{Addr: addr, Filter: "none", Rate: 5000})
	if err != nil || got.Messages != 1000 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestWhatIsNoMQTTEndsTheConnection(t *testing.T) {
	_, addr := serve(t, native.Main)
	for name, p := range map[string]string{
		"unknown type":          "\x00\x00",
		"endless length":        "\x30\xff\xff\xff\xff\x01",
		"publish without topic": "\x30\x01x",
		"topic cut":             "\x30\x03\x00\x09x",
		"no id at QoS 1":        "\x32\x03\x00\x01x",
		"subscribe cut":         "\x82\x03\x00\x01\x00",
		"too large":             "\x30\xff\xff\xff\x7f" + string(make([]byte, packetBytesMax)),
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, p)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: got %d bytes, %v, want the connection ended", name, n, err)
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%s: the connection is still open", name)
		}
		c.Close()
	}
}

func TestBadPayloadsAreCountedAndTheRestGoesOn(t *testing.T) {
	s, addr := serve(t, native.Filter)
	c, err := load.Dial(addr, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Subscribe("results/#", 0); err != nil {
		t.Fatal(err)
	}
	p := load.AppendPublish(nil, "x", []byte("no json"), 0, 0)
	p = load.AppendPublish(p, "x", []byte(`{"device":"a","ts":0,"temp":31}`), 0, 0)
	for i := range p { // however the bytes come
		if _, err := c.Write(p[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	want := string(load.AppendPublish(nil, "results/a", []byte(`{"time":"1970-01-01T00:00:00.000Z","device":"a","temp":31}`), 0, 0))
	got := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad != 1 {
		t.Errorf("got %d bad payloads, want 1", s.bad)
	}
}
