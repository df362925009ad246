package sinks

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// A desk answers requests as a test says and keeps what they bring.
type desk struct {
	*httptest.Server
	requests []*http.Request
	bodies   []string // unzipped
}

func newDesk(t *testing.T, answer func(w http.ResponseWriter, body string)) *desk {
	d := &desk{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(in)
			if err != nil {
				t.Error(err)
				return
			}
			in = z
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Error(err)
		}
		d.requests, d.bodies = append(d.requests, r), append(d.bodies, string(body))
		answer(w, string(body))
	}))
	t.Cleanup(d.Close)
	return d
}

func say(status int, words string, headers ...string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, _ string) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, words)
	}
}

func influx(t *testing.T, c InfluxConfig) *Influx {
	t.Helper()
	if c.Measurement == "" {
		c.Measurement = "m"
	}
	f, err := NewInflux(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// numbered returns n rows whose field n is their number.
func numbered(n int) *pipeline.Batch {
	var rows [][]any
	for i := range n {
		rows = append(rows, []any{i})
	}
	return batch(columns(count), rows...)
}

func TestRequestsAreThoseOfTheVersion(t *testing.T) {
	for _, c := range []struct {
		c              InfluxConfig
		path, auth, in string
	}{
		{InfluxConfig{Database: "d b", RetentionPolicy: "r&p", User: "u", Password: "p"}, "/write?db=d+b&precision=u&rp=r%26p", "Basic dTpw", ""},
		{InfluxConfig{Version: 1, Database: "d", Gzip: true}, "/write?db=d&precision=u", "", "gzip"},
		{InfluxConfig{Version: 2, Org: "o", Bucket: "b", Token: "t0"}, "/api/v2/write?bucket=b&org=o&precision=us", "Token t0", ""},
	} {
		d := newDesk(t, say(204, ""))
		c.c.URL = d.URL + "/base/"
		if err := influx(t, c.c).Write(t.Context(), numbered(2)); err != nil {
			t.Fatal(err)
		}
		r := d.requests[0]
		if got, want := r.URL.String(), "/base"+c.path; got != want || r.Header.Get("Authorization") != c.auth || r.Header.Get("Content-Encoding") != c.in {
			t.Errorf("got %s, %v, want %s, %q, %q", got, r.Header, want, c.auth, c.in)
		}
		if want := "m n=0i 1767225601000000\nm n=1i 1767225601001000\n"; d.bodies[0] != want {
			t.Errorf("got %q, want %q", d.bodies[0], want)
		}
	}
}

func TestAnswersAreRefusalsMistakesOrPassing(t *testing.T) {
	for _, c := range []struct {
		status  int
		words   string
		headers []string
		want    string
		refused bool
		after   time.Duration
		mistake bool
	}{
		{400, `{"error":"field type conflict"}`, nil, "400 Bad Request: field type conflict", true, 0, false},
		{422, `{"code":"unprocessable entity","message":"no such type"}`, nil, "no such type", true, 0, false},
		{413, "<html>too\n large</html>", nil, "413 Request Entity Too Large: <html>too large</html>", true, 0, false},
		{401, `{"error":"authorization failed"}`, nil, "hint: check user", false, mistakeAfter, true},
		{403, "", nil, "hint: give", false, mistakeAfter, true},
		{404, `{"error":"database not found: \"x\""}`, nil, "hint: create the database", false, mistakeAfter, true},
		{307, "", []string{"Location", "https://there/"}, "hint: write the address it points to as url: https://there/", false, mistakeAfter, true},
		{418, "", nil, "hint: check url", false, mistakeAfter, true},
		{500, `{"error":"retention policy not found: x"}`, nil, "hint: create the retention", false, mistakeAfter, true},
		{500, `{"error":"timeout"}`, nil, "500 Internal Server Error: timeout", false, 0, false},
		{408, "", nil, "408", false, 0, false},
		{429, "", []string{"Retry-After", "7"}, "429", false, 7 * time.Second, false},
		{503, "", []string{"Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"}, "503", false, 0, false},
		{503, "", []string{"Retry-After", "-5"}, "503", false, 0, false},
		{502, strings.Repeat("é", 600), nil, "…", false, 0, false},
	} {
		d := newDesk(t, say(c.status, c.words, c.headers...))
		err := influx(t, InfluxConfig{URL: d.URL}).Write(t.Context(), numbered(1))
		var no *Refused
		var later *Later
		if got := errors.As(err, &no); got != c.refused || err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 700 {
			t.Errorf("%d: got %v, want %s", c.status, err, c.want)
		}
		if !c.refused && (!errors.As(err, &later) || later.After != c.after || later.Mistake != c.mistake) {
			t.Errorf("%d: got %#v, want after %s, mistake %t", c.status, later, c.after, c.mistake)
		}
		if len(d.requests) != 1 {
			t.Errorf("%d: got %d requests, want 1", c.status, len(d.requests))
		}
	}
}

// picky refuses every request with one of these values of n, as InfluxDB 2 does.
func picky(bad ...int) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, body string) {
		for _, n := range bad {
			if strings.Contains(body, fmt.Sprintf(" n=%di ", n)) {
				say(400, fmt.Sprintf(`{"message":"bad is %d"}`, n))(w, body)
				return
			}
		}
		w.WriteHeader(204)
	}
}

func TestTheBadRowsAreFoundByHalvingAndTheRestIsWritten(t *testing.T) {
	for _, bad := range [][]int{{0}, {99}, {50}, {17, 18}, {0, 33, 34, 99}} {
		answer := picky(bad...)
		taken := map[string]bool{}
		d := newDesk(t, func(w http.ResponseWriter, body string) {
			answer(w, body)
			for _, n := range bad {
				if strings.Contains(body, fmt.Sprintf(" n=%di ", n)) {
					return
				}
			}
			for line := range strings.Lines(body) {
				taken[line] = true
			}
		})
		var want []Refusal
		for _, n := range bad {
			want = append(want, Refusal{n, fmt.Sprintf("400 Bad Request: bad is %d", n)})
		}
		var no *Refused
		if err := influx(t, InfluxConfig{URL: d.URL}).Write(t.Context(), numbered(100)); !errors.As(err, &no) || !reflect.DeepEqual(no.Rows, want) {
			t.Errorf("%v: got %v, want %v", bad, err, want)
		}
		if len(taken) != 100-len(bad) || len(d.requests) > 1+2*7*len(bad) {
			t.Errorf("%v: got %d rows in %d requests", bad, len(taken), len(d.requests))
		}
	}
}

func TestWhenTheServerSaysItDroppedAllOneRequestIsEnough(t *testing.T) {
	d := newDesk(t, say(400, `{"error":"partial write: field type conflict: x dropped=100"}`))
	var no *Refused
	if err := influx(t, InfluxConfig{URL: d.URL}).Write(t.Context(), numbered(100)); !errors.As(err, &no) || len(no.Rows) != 100 || len(d.requests) != 1 {
		t.Errorf("got %v after %d requests, want 100 rows refused after 1", err, len(d.requests))
	}
}

func TestAWriteOfManyBadRowsPausesAndGoesOn(t *testing.T) {
	d := newDesk(t, say(400, "no"))
	f := influx(t, InfluxConfig{URL: d.URL})
	var part *Partial
	err := f.Write(t.Context(), numbered(800))
	if !errors.As(err, &part) || len(d.requests) != requestsMax || part.Done < 400 || part.Done != len(part.Refused) {
		t.Fatalf("got %v after %d requests, want a part done after %d", err, len(d.requests), requestsMax)
	}
	var no *Refused
	if err := f.Write(t.Context(), numbered(800-part.Done)); !errors.As(err, &no) || len(no.Rows) != 800-part.Done {
		t.Errorf("got %v, want the rest refused", err)
	}
}

func TestAnOutageWhileHalvingKeepsWhatIsDone(t *testing.T) {
	answer := picky(3)
	d := newDesk(t, func(w http.ResponseWriter, body string) {
		if strings.Contains(body, " n=60i ") && !strings.Contains(body, " n=3i ") {
			w.WriteHeader(503)
			return
		}
		answer(w, body)
	})
	b := numbered(100)
	b.Time[1] = timeMax + 1 // refused by ourselves
	b.Time[99] = timeMax + 1
	var part *Partial
	err := influx(t, InfluxConfig{URL: d.URL}).Write(t.Context(), b)
	if !errors.As(err, &part) || part.Done == 0 || part.Done > 60 || len(part.Refused) != 2 || part.Refused[0].Row != 1 || part.Refused[1].Row != 3 {
		t.Errorf("got %#v, want rows 1 and 3 refused and a rest from at most row 60", err)
	}
}

func TestSecretsAreNeverTold(t *testing.T) {
	const secret = "s3cr3t/+ö"
	echo := func(status int) string {
		var d *desk
		d = newDesk(t, func(w http.ResponseWriter, body string) {
			w.WriteHeader(status)
			r := d.requests[len(d.requests)-1]
			fmt.Fprint(w, r.Header, r.URL, secret)
		})
		return d.URL
	}
	dead := "http://user:s3cr3t%2F+%C3%B6@127.0.0.1:1"
	for _, c := range []InfluxConfig{
		{URL: echo(500), Token: secret}, {URL: echo(400), Token: secret}, {URL: echo(401), Version: 2, Token: secret}, {URL: echo(500), Password: secret},
		{URL: dead}, {URL: dead, Token: secret},
	} {
		err := influx(t, c).Write(t.Context(), numbered(1))
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "user") {
			t.Errorf("got %v, want an error without secrets", err)
		}
	}
	if _, err := NewInflux(InfluxConfig{URL: "http://u:s3cr3t@ho st", Measurement: "m"}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v, want an error without secrets", err)
	}
}

func TestAServerThatIsSlowOrGoneIsATemporaryError(t *testing.T) {
	release := make(chan struct{})
	slow := newDesk(t, func(http.ResponseWriter, string) { <-release })
	defer close(release)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.(*net.TCPConn).SetLinger(0) // a reset
			c.Close()
		}
	}()
	for _, c := range []struct{ url, want string }{
		{slow.URL, "no answer within 20ms"},
		{"http://127.0.0.1:1", "connection refused"},
		{"http://" + l.Addr().String(), ""},
	} {
		err := influx(t, InfluxConfig{URL: c.url, Timeout: 20 * time.Millisecond}).Write(t.Context(), numbered(1))
		if err == nil || errors.As(err, new(*Refused)) || errors.As(err, new(*Partial)) || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "http://") != 1 {
			t.Errorf("%s: got %v, want %s", c.url, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if err := influx(t, InfluxConfig{URL: slow.URL}).Write(ctx, numbered(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestAWrongInfluxIsToldAtStart(t *testing.T) {
	for _, c := range []InfluxConfig{
		{URL: "localhost:8086", Measurement: "m"}, {URL: "", Measurement: "m"}, {URL: "ftp://x", Measurement: "m"}, {URL: "http://", Measurement: "m"},
		{URL: "http://x"}, {URL: "http://x", Measurement: "m", Version: 4},
	} {
		if _, err := NewInflux(c); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}
