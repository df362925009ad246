package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"millrace.dev/millrace/bench"
	"millrace.dev/millrace/bench/load"
	"millrace.dev/millrace/bench/native"
)

// The limits of waiting for a server.
const (
	readyMax  = 60 * time.Second
	readyPoll = 200 * time.Microsecond
	stopMax   = 20 * time.Second
	logMax    = 64 << 10 // bytes of what it says that are kept
)

// A system is a program that is measured.
type system uint8

const (
	millrace system = iota + 1
	floor
	mosquitto
	profiled
)

func (s system) String() string {
	return [...]string{"", "millrace", "floor", "mosquitto", "profiled"}[s]
}

// A job is what a system is to do.
type job struct {
	kind native.Kind
	qos  byte
}

// A server is a program that runs.
type server struct {
	system
	*exec.Cmd
	addr, http string
	log        tail
	ready      time.Duration // from its start to its first CONNACK
	ended      chan error
}

// A tail keeps the last logMax bytes that are written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - logMax; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// start runs a system and waits until it takes clients.
func (h *harness) start(s system, j job) (*server, error) {
	r := &server{system: s, ended: make(chan error, 1)}
	var err error
	if r.addr, r.http, err = freeAddrs(); err != nil {
		return nil, err
	}
	if r.Cmd, err = h.command(r, j); err != nil {
		return nil, err
	}
	r.Stdout, r.Stderr = &r.log, &r.log
	begin := time.Now()
	if err := r.Start(); err != nil {
		return nil, err
	}
	go func() { r.ended <- r.Wait() }()
	for {
		c, err := load.Dial(r.addr, "ready")
		if err == nil {
			r.ready = time.Since(begin)
			return r, c.Close()
		}
		select {
		case err := <-r.ended:
			return nil, fmt.Errorf("%v ends: %v\n%s", s, err, r.log.String())
		case <-time.After(readyPoll):
		}
		if time.Since(begin) > readyMax {
			r.Process.Kill()
			<-r.ended
			return nil, fmt.Errorf("%v takes no clients: %w\n%s", s, err, r.log.String())
		}
	}
}

// command writes what the system reads and returns how it is called.
func (h *harness) command(r *server, j job) (*exec.Cmd, error) {
	switch r.system {
	case floor:
		return exec.Command(h.bin("floor"), "-listen", r.addr, "-job", j.kind.String()), nil
	case mosquitto:
		_, port, _ := net.SplitHostPort(r.addr)
		path := filepath.Join(h.dir, "mosquitto.conf")
		conf := "listener " + port + " 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\npersistence false\nlog_type error\n"
		return exec.Command(h.mosquitto, "-c", path), os.WriteFile(path, []byte(conf), 0o600)
	}
	path := filepath.Join(h.dir, "millrace.yaml")
	yaml := bench.YAML(j.kind, bench.Address{MQTT: r.addr, HTTP: r.http, Cache: filepath.Join(h.dir, "cache"), QoS: j.qos})
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	if r.system == profiled {
		return exec.Command(h.bin("profiled"), "-cpu", h.Profile, "-allocs", h.Profile+".allocs", path), nil
	}
	return exec.Command(h.bin("millrace"), "run", path), nil
}

// stop ends the server and says what went wrong with it meanwhile.
func (r *server) stop() error {
	r.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(stopMax):
		r.Process.Kill()
		<-r.ended
		return fmt.Errorf("%v did not end within %v\n%s", r.system, stopMax, r.log.String())
	}
	return nil
}

// freeAddrs returns two addresses that nobody listens on.
func freeAddrs() (a, b string, err error) {
	var addrs [2]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close() // not before both are known to differ
		addrs[i] = l.Addr().String()
	}
	return addrs[0], addrs[1], nil
}

// check asks a node whether it has taken all messages and lost none.
func (r *server) check(j job, messages int) error {
	text, err := r.metrics()
	if err != nil {
		return err
	}
	if got := counter(text, fmt.Sprintf("millrace_pipeline_messages_in_total{pipeline=%q}", j.kind)); got != messages {
		return fmt.Errorf("%v: the pipeline has taken %d messages, want %d", r.system, got, messages)
	}
	if lost := losses(text); lost != "" {
		return fmt.Errorf("%v: messages were lost:\n%s", r.system, lost)
	}
	return nil
}

func (r *server) metrics() (string, error) {
	resp, err := http.Get("http://" + r.http + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// story is what a server has to say when something went wrong.
func (r *server) story() string {
	s := r.log.String()
	if r.system != floor && r.system != mosquitto {
		text, _ := r.metrics() // it may be gone
		s += losses(text)
	}
	return s
}

// losses returns the series that count messages which did not go their way.
func losses(metrics string) string {
	var lost strings.Builder
	for l := range strings.Lines(metrics) {
		l = strings.TrimSpace(l)
		at := strings.LastIndexByte(l, ' ') + 1
		name, value := l[:at], l[at:]
		for _, word := range []string{"dropped", "refused", "dead_letters", "late_total"} {
			if strings.HasPrefix(name, "millrace_") && strings.Contains(name, word) && value != "0" {
				lost.WriteString(l + "\n")
				break
			}
		}
	}
	return lost.String()
}

// counter returns the value of a series, -1 if there is none.
func counter(metrics, series string) int {
	for l := range strings.Lines(metrics) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(l), series+" "); ok {
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				return int(f)
			}
		}
	}
	return -1
}
