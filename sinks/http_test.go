package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline"
)

// A listener is a web server that keeps what it is sent and gives the answers
// it is told, the last one for ever.
type listener struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int
	said    string // the body of answers
	heard   []heard
}

// heard is a request.
type heard struct {
	line   string // method and path
	header http.Header
	body   string
}

func listen(t *testing.T, answers ...int) *listener {
	l := &listener{answers: answers}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard = append(l.heard, heard{r.Method + " " + r.RequestURI, r.Header, string(body)})
		status := http.StatusOK
		if len(l.answers) > 0 {
			status = l.answers[0]
			if len(l.answers) > 1 {
				l.answers = l.answers[1:]
			}
		}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		io.WriteString(w, l.said)
	}))
	t.Cleanup(l.Close)
	return l
}

func newHTTP(t *testing.T, c HTTPConfig) *HTTP {
	t.Helper()
	s, err := NewHTTP(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestARequestIsMadeOfColumns(t *testing.T) {
	b := batch(columns(device, temp, on), []any{"m 1/&ü", 2.5, true})
	for _, c := range []struct {
		name, line, header, body string
		c                        HTTPConfig
	}{
		{"the columns", "POST /in", "application/json", `{"time":"2026-01-01T00:00:01.000Z","device":"m 1/&ü","temp":2.5,"on":true}`, HTTPConfig{URL: "/in"}},
		{"some of them", "PUT /in", "application/json", `{"time":"2026-01-01T00:00:01.000Z","temp":2.5}`, HTTPConfig{URL: "/in", Method: "PUT", Fields: []string{"temp"}}},
		{"a text", "POST /m%201%2F%26%C3%BC?t=2.5", "text/plain; charset=utf-8", "m 1/&ü is at 2.50 °C, -", HTTPConfig{URL: "/{device}?t={temp}", Body: "{device} is at {temp:.2f} °C, {n}"}},
		{"JSON", "POST /in", "application/json", `{"text":"m 1/&ü: 2","t":2.5,"on":true,"n":null,"all":[1,{"x":"fixed"}]}`,
			HTTPConfig{URL: "/in", JSON: `{"text": "{device}: {temp:.0f}", "t": "{temp}", "on": "{on}", "n": "{n}", "all": [1, {"x": "fixed"}]}`}},
		{"nothing", "GET /in?x=m%201%2F%26%C3%BC", "", "", HTTPConfig{URL: "/in?x={device}", Method: "GET"}},
		{"its own header", "POST /in", "text/x", "x", HTTPConfig{URL: "/in", Body: "x", Headers: []Header{{"content-type", "text/x"}, {"X-Device", "{device}"}}}},
	} {
		l := listen(t)
		c.c.URL = l.URL + c.c.URL
		write(t, newHTTP(t, c.c), b)
		got := l.heard[0]
		if got.line != c.line || got.header.Get("Content-Type") != c.header || got.body != c.body {
			t.Errorf("%s: got %s, %s, %s, want %s, %s, %s", c.name, got.line, got.header.Get("Content-Type"), got.body, c.line, c.header, c.body)
		}
		if x := got.header.Get("X-Device"); c.name == "its own header" && x != "m 1/&ü" {
			t.Errorf("got header %q", x)
		}
	}
}

func TestTheSameRequestHasTheSameKey(t *testing.T) {
	l := listen(t)
	for range 2 { // as after a restart
		s := newHTTP(t, HTTPConfig{URL: l.URL})
		write(t, s, batch(columns(device), []any{"a"}, []any{"b"}))
		write(t, s, batch(columns(device), []any{"c"}))
		write(t, newHTTP(t, HTTPConfig{URL: l.URL, Array: true}), batch(columns(device), []any{"a"}, []any{"b"}))
	}
	var keys []string
	for _, h := range l.heard {
		keys = append(keys, h.header.Get("Idempotency-Key"))
	}
	if !slices.Equal(keys[:4], keys[4:]) {
		t.Errorf("got %q, want the second half as the first", keys)
	}
	if slices.Sort(keys); len(slices.Compact(keys)) != 4 {
		t.Errorf("got %q, want four different ones", keys)
	}
}

func TestAnAnswerOfAWebServerHasAMeaning(t *testing.T) {
	for _, c := range []struct {
		status          int
		url             string
		refused, mended bool // for good; by somebody
	}{
		{400, "/", true, false}, {413, "/", true, false}, {422, "/", true, false},
		{404, "/", false, true}, {404, "/{device}", true, false}, {410, "/{device}", true, false},
		{401, "/", false, true}, {403, "/", false, true}, {405, "/", false, true}, {302, "/", false, true}, {204, "/", false, true},
		{408, "/", false, false}, {409, "/", false, false}, {425, "/", false, false}, {429, "/", false, false}, {500, "/", false, false}, {503, "/", false, false},
	} {
		l := listen(t, c.status)
		l.said = "because"
		s := newHTTP(t, HTTPConfig{URL: l.URL + c.url, Expect: []int{200, 202}})
		err := s.Write(t.Context(), batch(columns(device), []any{"a"}))
		var no *Refused
		var later *Later
		switch {
		case err == nil, errors.As(err, &no) != c.refused, !c.refused && (!errors.As(err, &later) || later.Mistake != c.mended || later.After == 0):
			t.Errorf("%d for %s: got %v, refused %t, by mistake %t wanted", c.status, c.url, err, c.refused, c.mended)
		case c.status != 204 && !strings.Contains(err.Error(), "because"):
			t.Errorf("%d: got %v, want the server's words", c.status, err)
		}
	}
}

func TestAWriteStopsWhereTheServerDoes(t *testing.T) {
	l := listen(t, 200, 400, 200, 503)
	s := newHTTP(t, HTTPConfig{URL: l.URL})
	err := s.Write(t.Context(), numbered(10))
	var part *Partial
	if !errors.As(err, &part) || part.Done != 3 || len(part.Refused) != 1 || part.Refused[0].Row != 1 || len(l.heard) != 4 {
		t.Errorf("got %+v after %d requests, want 3 rows done, row 1 refused", err, len(l.heard))
	}
}

func TestAnArrayIsHalvedUntilTheBadRowsStandAlone(t *testing.T) {
	bad := map[float64]bool{0: true, 5: true, 6: true, 12: true}
	var good []float64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var rows []struct{ N float64 }
		if err := json.NewDecoder(r.Body).Decode(&rows); err != nil {
			t.Error(err)
		}
		for _, row := range rows {
			if bad[row.N] {
				w.WriteHeader(400)
				return
			}
		}
		for _, row := range rows {
			good = append(good, row.N)
		}
	}))
	defer server.Close()
	var no *Refused
	if err := newHTTP(t, HTTPConfig{URL: server.URL, Array: true}).Write(t.Context(), numbered(13)); !errors.As(err, &no) || len(no.Rows) != 4 {
		t.Fatalf("got %v, want four rows refused", err)
	}
	for _, r := range no.Rows {
		if !bad[float64(r.Row)] {
			t.Errorf("row %d was refused", r.Row)
		}
	}
	if want := []float64{1, 2, 3, 4, 7, 8, 9, 10, 11}; !slices.Equal(good, want) {
		t.Errorf("got %v, want %v", good, want)
	}
}

func TestHalvesStopAtTheirLimit(t *testing.T) {
	tries := 0
	no, done, err := halve(10*requestsMax, func(from, to int) (string, error) { tries++; return "no", nil })
	if err == nil || tries != requestsMax || len(no) != done || done == 0 {
		t.Errorf("got %v after %d tries, %d refused, %d done, want it paused with all that is done refused", err, tries, len(no), done)
	}
	if _, _, err := halve(0, func(int, int) (string, error) { t.Error("called for no rows"); return "", nil }); err != nil {
		t.Error(err)
	}
}

func TestAColumnCannotLeadARequestElsewhere(t *testing.T) {
	l := listen(t)
	s := newHTTP(t, HTTPConfig{URL: l.URL + "/a/{device}/b"})
	b := batch(columns(device), []any{".."}, []any{nil}, []any{""}, []any{"."}, []any{"../../x?y#z\r\n"})
	var no *Refused
	if err := s.Write(t.Context(), b); !errors.As(err, &no) || len(no.Rows) != 4 {
		t.Fatalf("got %v, want four rows refused", err)
	}
	if len(l.heard) != 1 || l.heard[0].line != "POST /a/..%2F..%2Fx%3Fy%23z%0D%0A/b" {
		t.Errorf("got %+v", l.heard)
	}
}

func TestWhatIsNoRequestIsRefusedAtTheStart(t *testing.T) {
	for _, c := range []HTTPConfig{
		{URL: ""}, {URL: "ftp://x"}, {URL: "http://{device}/x"}, {URL: "http://h{device}"}, {URL: "http://h/{"}, {URL: "{u}"}, {URL: "http://h:{p}/"},
		{URL: "http://h", Body: "{"}, {URL: "http://h", JSON: `{"a": "{"}`}, {URL: "http://h", JSON: `{"a"`}, {URL: "http://h", JSON: `{} {}`},
		{URL: "http://h", Headers: []Header{{"X", "}"}}}, {URL: "http://h/{a}", Array: true}, {URL: "http://h", Array: true, Body: "x"},
		{URL: "http://h", Array: true, Headers: []Header{{"X", "{a}"}}},
	} {
		if _, err := NewHTTP(c); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
}

func TestNoErrorShowsASecret(t *testing.T) {
	const secret = "hunter2-hunter2"
	l := listen(t, 401)
	l.said = "no: " + secret
	for _, c := range []HTTPConfig{
		{URL: l.URL + "/" + secret}, {URL: l.URL + "/x?k=" + secret, Headers: []Header{{"X-Key", secret}}},
		{URL: l.URL, Login: Login{Token: secret}}, {URL: l.URL, Login: Login{User: "me", Password: secret}},
		{URL: "http://127.0.0.1:1/" + secret}, {URL: "http://127.0.0.1:1/" + secret + "/{device}"},
	} {
		err := newHTTP(t, c).Write(t.Context(), batch(columns(device), []any{"a"}))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error without the secret", err)
		}
	}
	for _, c := range []HTTPConfig{{URL: secret}, {URL: "http://h/{" + secret}, {URL: "http://h", Headers: []Header{{"X", "{" + secret}}}} {
		if _, err := NewHTTP(c); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error without the secret", err)
		}
	}
	if got := l.heard[2].header.Get("Authorization"); got != "Bearer "+secret {
		t.Errorf("got %q", got)
	}
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	block := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer server.Close()
	defer close(block)
	s := newHTTP(t, HTTPConfig{URL: server.URL, Timeout: 20 * time.Millisecond})
	if err := s.Write(t.Context(), numbered(1)); err == nil || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := newHTTP(t, HTTPConfig{URL: server.URL}).Write(ctx, numbered(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it cancelled", err)
	}
}

func FuzzADocumentIsJSON(f *testing.F) {
	f.Add(`{"a": "{device}", "b": ["x {device}", 1, null, true]}`, []byte("m\"\n\xff"))
	f.Fuzz(func(t *testing.T, s string, text []byte) {
		d, err := compileDocument(s)
		if err != nil {
			return
		}
		b := batch(columns(pipeline.Field{Name: "device", Kind: pipeline.Text}), []any{string(text)})
		if got := d.append(nil, b, 0); !json.Valid(got) {
			t.Errorf("%q: got %s", s, got)
		}
	})
}

func BenchmarkHTTPArray(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	s, err := NewHTTP(HTTPConfig{URL: server.URL, Array: true})
	if err != nil {
		b.Fatal(err)
	}
	rows := typical()
	for b.Loop() {
		if err := s.Write(b.Context(), rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows.Rows()), "ns/row")
}
