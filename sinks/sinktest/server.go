package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come; it asserts nothing
// about time.
const Patience = time.Minute

// A Server is a real server on a free port of 127.0.0.1, in a folder of the
// test's own. It ends with the test.
type Server struct {
	URL string // http://127.0.0.1:port

	t     *testing.T
	name  string
	args  []string
	ready string              // a path that answers once it is up
	is    func() bool         // up; instead of ready
	as    *syscall.Credential // who it runs as; nil for us
	log   bytes.Buffer
	end   func(os.Signal)
}

// StartInflux returns an InfluxDB 1 that is up, with these databases.
func StartInflux(t *testing.T, databases ...string) *Server {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "influxdb.conf")
	text := fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:%d"
  log-enabled = false
[logging]
  level = "warn"
`, filepath.Join(dir, "meta"), filepath.Join(dir, "data"), filepath.Join(dir, "wal"), port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "influxd", "/ping", port, "-config", config)
	for _, name := range databases {
		s.Post("/query", url.Values{"q": {"CREATE DATABASE " + name}})
	}
	return s
}

// StartVictoria returns a VictoriaMetrics that is up.
func StartVictoria(t *testing.T) *Server {
	t.Helper()
	port := freePort(t)
	return start(t, "victoria-metrics", "/health", port,
		"-storageDataPath="+t.TempDir(), fmt.Sprintf("-httpListenAddr=127.0.0.1:%d", port),
		"-retentionPeriod=100y", "-loggerLevel=ERROR", "-search.latencyOffset=0s")
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func start(t *testing.T, name, ready string, port int, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%v\nhint: scripts/test-deps installs it", err)
	}
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", port), t: t, name: path, args: args, ready: ready}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the server again, on the same port and with the same data, and
// returns when it is up.
func (s *Server) Start() {
	s.t.Helper()
	s.log.Reset()
	cmd := exec.Command(s.name, s.args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &s.log, &s.log, withUs()
	cmd.SysProcAttr = runAs(cmd.SysProcAttr, s.as)
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // withUs is about the thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.end = func(how os.Signal) {
		cmd.Process.Signal(how)
		select {
		case <-ended:
		case <-time.After(Patience):
			cmd.Process.Kill()
			<-ended
		}
		s.end = nil
	}
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s.isUp() {
			return
		}
		select {
		case <-ended:
			s.t.Fatalf("%s ended:\n%s", s.name, &s.log)
		default:
		}
	}
	s.Kill()
	s.t.Fatalf("%s does not answer:\n%s", s.name, &s.log)
}

// isUp reports whether the server answers.
func (s *Server) isUp() bool {
	if s.is != nil {
		return s.is()
	}
	res, err := http.Get(s.URL + s.ready)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode < 300
}

// Kill ends the server as a power cut would. A second Kill does nothing.
func (s *Server) Kill() {
	if s.end != nil {
		s.end(os.Kill)
	}
}

// Stop asks the server to end and waits until it has. A second Stop does nothing.
func (s *Server) Stop() {
	if s.end != nil {
		s.end(syscall.SIGTERM)
	}
}

// Get returns the body of a page.
func (s *Server) Get(path string, q url.Values) []byte {
	s.t.Helper()
	return s.do(http.Get(s.URL + path + "?" + q.Encode()))
}

// Post posts a form and returns the body of the answer.
func (s *Server) Post(path string, form url.Values) []byte {
	s.t.Helper()
	return s.do(http.PostForm(s.URL+path, form))
}

func (s *Server) do(res *http.Response, err error) []byte {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = errors.New(res.Status)
	}
	if err != nil {
		s.t.Fatalf("%s: %v: %s", res.Request.URL, err, body)
	}
	return body
}

// Eventually waits until f is true, and fails the test with what is said if
// that does not come.
func Eventually(t *testing.T, f func() bool, said func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for !f() {
		if ctx.Err() != nil {
			t.Fatalf("did not come: %s", strings.TrimSpace(said()))
		}
		time.Sleep(5 * time.Millisecond)
	}
}
