package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come; it asserts nothing about time.
const patience = time.Minute

// A running is millrace run, in this process.
type running struct {
	t        *testing.T
	out, err *output
	end      context.CancelFunc
	exit     chan int
	path     string // of its configuration
	broker   string // port
	http     string // host:port
}

// An output is written by the node and read by the test.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// listenAnywhere is the head of a test's configuration.
const listenAnywhere = "broker: {listen: [\"mqtt://127.0.0.1:0\"]}\nhttp: {listen: \"127.0.0.1:0\"}\n"

// writeFile writes text to name in a folder of the test's own and returns the path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a configuration and returns when its broker and HTTP server answer.
func start(t *testing.T, yaml string) *running {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	r := &running{t: t, out: &output{}, err: &output{}, end: end, exit: make(chan int, 1)}
	r.path = writeFile(t, "node.yaml", listenAnywhere+yaml)
	go func() { r.exit <- run(ctx, []string{"run", r.path}, streams{strings.NewReader(""), r.out, r.err}) }()
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", r.out, r.err)
		}
	})
	r.waitFor("msg=ready")
	r.broker = find1(t, r.err.String(), `broker on \[127\.0\.0\.1:(\d+)`)
	r.http = find1(t, r.err.String(), `http://(127\.0\.0\.1:\d+)/healthz`)
	return r
}

func find1(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("got %q, want %s in it", text, pattern)
	}
	return m[1]
}

// waitFor waits until the node's standard error has the text.
func (r *running) waitFor(text string) { r.t.Helper(); wait(r.t, r.err, text) }

func wait(t *testing.T, o fmt.Stringer, text string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(o.String(), text) {
			return
		}
	}
	t.Fatalf("%q did not come; got:\n%s", text, o)
}

// stop drains the node and returns its exit code.
func (r *running) stop() int {
	r.t.Helper()
	r.end()
	select {
	case code := <-r.exit:
		return code
	case <-time.After(patience):
		r.t.Fatalf("the node did not end; stderr:\n%s", r.err)
		return -1
	}
}

// get returns the body of a page of the node's HTTP server.
func (r *running) get(path string) string {
	r.t.Helper()
	res, err := http.Get("http://" + r.http + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// metric waits until a metric has a value.
func (r *running) metric(name string, want string) {
	r.t.Helper()
	var page string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if page = r.get("/metrics"); strings.Contains(page, name+" "+want+"\n") {
			return
		}
	}
	r.t.Fatalf("%s did not become %s; got:\n%s", name, want, page)
}

// pub runs mosquitto_pub once for each message.
func (r *running) pub(version, topic string, messages ...string) {
	r.t.Helper()
	c := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", r.broker, "-V", version, "-q", "1", "-t", topic, "-l")
	c.Stdin = strings.NewReader(strings.Join(messages, "\n") + "\n")
	if b, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("mosquitto_pub: %v\n%s\nhint: scripts/test-deps installs it", err, b)
	}
}

// sub runs mosquitto_sub until the test ends and returns what it prints,
// after its subscription stands.
func (r *running) sub(version, filter string) *output {
	r.t.Helper()
	o := &output{}
	c := exec.Command("stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", r.broker, "-V", version, "-q", "1", "-v", "-d", "-t", filter)
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
