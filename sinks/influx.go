package sinks

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/pipeline"
)

const (
	// InfluxTimeout is how long a request may take unless said.
	InfluxTimeout = 10 * time.Second

	mistakeAfter = 30 * time.Second // between tries while the configuration is wrong
	requestsMax  = 1000             // of one Write, which needs more than one to find bad rows
)

// InfluxConfig is what an InfluxDB sink needs.
type InfluxConfig struct {
	URL             string // http://host:8086; user and password in it are taken out
	Version         int    // 1, or 0: /write; 2: /api/v2/write; 3: /api/v3/write_lp
	Database        string // versions 1 and 3
	RetentionPolicy string // version 1; the default one unless said
	Org, Bucket     string // version 2
	Token           string
	User, Password  string
	Measurement     string   // columns in braces
	Tags            []string // columns written as tags
	Fields          []string // columns written as fields; unless said all but tags and those in Measurement
	Gzip            bool
	Timeout         time.Duration // of a request; 0 for InfluxTimeout
}

// Influx writes rows to InfluxDB 1, 2 and 3 and what speaks their protocol.
// A row of the same measurement, tags and time takes the place of the one
// before, so a batch may be written twice.
//
// When the server refuses a request for what is in it, the rows are
// halved until the single bad one is found; the others are written. Status
// 401, 403, 404 and the like are mistakes of the configuration, told as Later.
// Neither errors nor what the server is quoted with show token or password.
type Influx struct {
	c       InfluxConfig
	write   string // the URL
	client  *http.Client
	secrets *strings.Replacer
	written atomic.Uint64

	mu     sync.Mutex
	points *pointRows
	body   bytes.Buffer
	zip    *gzip.Writer
}

// NewInflux returns a sink for the server at c.URL, which need not be there yet.
func NewInflux(c InfluxConfig) (*Influx, error) {
	points, err := newPoints(c.Measurement, c.Tags, c.Fields)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("url: this is no URL of a server\n\thint: such as http://localhost:8086")
	}
	if u.User != nil && c.User == "" {
		c.User = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	if c.Timeout <= 0 {
		c.Timeout = InfluxTimeout
	}
	u.User = nil
	q := url.Values{}
	switch c.Version {
	case 0, 1:
		u = u.JoinPath("write")
		q.Set("db", c.Database)
		q.Set("precision", "u")
		if c.RetentionPolicy != "" {
			q.Set("rp", c.RetentionPolicy)
		}
	case 2:
		u = u.JoinPath("api/v2/write")
		q.Set("org", c.Org)
		q.Set("bucket", c.Bucket)
		q.Set("precision", "us")
	case 3:
		u = u.JoinPath("api/v3/write_lp")
		q.Set("db", c.Database)
		q.Set("precision", "microsecond")
		q.Set("accept_partial", "false") // all or nothing, so that halves show the bad row
	default:
		return nil, fmt.Errorf("version %d is not known\n\thint: 1 for /write, 2 for /api/v2/write, 3 for /api/v3/write_lp", c.Version)
	}
	u.RawQuery, u.Fragment = q.Encode(), ""
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	return &Influx{
		c: c, write: u.String(), points: points, zip: zip, secrets: hide(c.Token, c.Password),
		client: &http.Client{
			Transport:     http.DefaultTransport.(*http.Transport).Clone(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// hide returns what replaces secrets, as they are and as URLs have them.
func hide(secrets ...string) *strings.Replacer {
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, "***", url.QueryEscape(s), "***")
		}
	}
	return strings.NewReplacer(pairs...)
}

// Write implements Sink.
func (f *Influx) Write(ctx context.Context, b *pipeline.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	no := f.points.encode(b)
	theirs, sent, err := f.send(ctx)
	if err == nil {
		return refused(merge(no, theirs))
	}
	done := f.points.points[sent].row
	var before []Refusal
	for _, r := range merge(no, theirs) {
		if r.Row < done {
			before = append(before, r)
		}
	}
	return partial(done, before, err)
}

// merge joins two lists of refusals, each in ascending order.
func merge(a, b []Refusal) []Refusal {
	var all []Refusal
	for len(a) > 0 && len(b) > 0 {
		if a[0].Row < b[0].Row {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// send sends all points. It returns those that the server refused, and on an
// error how many points are done with.
func (f *Influx) send(ctx context.Context) (no []Refusal, sent int, err error) {
	points := f.points.points
	if len(points) == 0 {
		return nil, 0, nil
	}
	type span struct{ from, to int }
	todo := []span{{0, len(points)}} // the last is the next
	for n := 0; len(todo) > 0; n++ {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == requestsMax {
			return no, s.from, fmt.Errorf("the server refuses much: paused after %d requests to find the bad rows", n)
		}
		reason, all, err := f.post(ctx, f.points.buf[points[s.from].from:points[s.to-1].to], s.to-s.from)
		switch {
		case err != nil:
			return no, s.from, err
		case reason == "":
		case all || s.to-s.from == 1:
			for _, p := range points[s.from:s.to] {
				no = append(no, Refusal{p.row, reason})
			}
		default:
			middle := s.from + (s.to-s.from)/2
			todo = append(todo, span{middle, s.to}, span{s.from, middle})
		}
	}
	return no, 0, nil
}

// post sends lines. It returns why the server refuses them, if it does for
// what they are, and whether it says that it has stored none of them.
func (f *Influx) post(ctx context.Context, lines []byte, rows int) (reason string, all bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.c.Timeout)
	defer cancel()
	req, err := f.request(ctx, lines)
	if err != nil {
		return "", false, err
	}
	res, err := f.client.Do(req)
	if err != nil {
		return "", false, f.unreachable(ctx, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerBytesMax))
	if res.StatusCode/100 == 2 {
		f.written.Add(uint64(len(lines)))
		return "", false, nil
	}
	if err != nil && len(body) == 0 {
		return "", false, f.unreachable(ctx, err)
	}
	a := answer{status: res.StatusCode, header: res.Header, words: f.secrets.Replace(words(res.Header, body))}
	if a.isAboutRows() {
		return a.String(), a.droppedAll(rows), nil
	}
	return "", false, a.later(f)
}

func (f *Influx) request(ctx context.Context, lines []byte) (*http.Request, error) {
	body := lines
	if f.c.Gzip {
		f.body.Reset()
		f.zip.Reset(&f.body)
		_, err := f.zip.Write(lines)
		if err := errors.Join(err, f.zip.Close()); err != nil {
			return nil, err
		}
		body = f.body.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.write, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("User-Agent", "millrace")
	if f.c.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	switch {
	case f.c.Token != "" && f.c.Version == 3:
		req.Header.Set("Authorization", "Bearer "+f.c.Token)
	case f.c.Token != "":
		req.Header.Set("Authorization", "Token "+f.c.Token)
	case f.c.User != "":
		req.SetBasicAuth(f.c.User, f.c.Password)
	}
	return req, nil
}

// unreachable says that there was no answer.
func (f *Influx) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %s", f.write, f.c.Timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL once is enough
	}
	return fmt.Errorf("%s: %w", f.write, err)
}

// Written implements Meter.
func (f *Influx) Written() uint64 { return f.written.Load() }

// Close implements Sink.
func (f *Influx) Close() error {
	f.client.CloseIdleConnections()
	return nil
}
