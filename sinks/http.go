package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/millrace/pipeline"
)

// secretBytesMin is the least that a header or the path of a URL has to be
// taken for a secret, which is never shown.
const secretBytesMin = 12

// A Header is a header of requests, or a property of messages. The value is a
// text with columns in braces.
type Header struct{ Name, Value string }

// HTTPConfig is what an HTTP sink needs.
type HTTPConfig struct {
	URL     string // columns in braces behind the server's name; never shown beyond that
	Method  string // POST unless said; a GET has no body
	Headers []Header
	Login   Login
	Body    string        // text with columns in braces
	JSON    string        // JSON whose texts have columns in braces
	Fields  []string      // without Body and JSON: columns of the JSON object; all unless said
	Array   bool          // the rows of a write in one request, as an array of such objects
	Expect  []int         // statuses that mean it is done; every 2xx unless said
	Timeout time.Duration // of a request; 0 for HTTPTimeout
}

// HTTP sends rows to a web server: a request for each, or one with an array.
// Each has an Idempotency-Key, the same whenever the request is sent again.
//
// Status 400, 413 and 422 refuse the rows; so do 404 and 410 if the URL is
// made of columns. Of a refused array the halves are sent, until the bad rows
// stand alone. 408, 409, 425, 429 and 5xx are temporary, everything else is a
// mistake of the configuration, told as Later.
type HTTP struct {
	c       HTTPConfig
	url     *line
	perRow  bool // the URL is made of columns
	headers []filledHeader
	caller  *caller
	written atomic.Uint64

	mu   sync.Mutex
	id   identity
	json jsonRows
	line *line     // Body
	doc  *document // JSON
	buf  []byte
	ends []int // of each row in buf
	addr []byte
	key  []byte
}

type filledHeader struct {
	name string
	line *line
}

// NewHTTP returns a sink for the server at c.URL, which need not be there yet.
func NewHTTP(c HTTPConfig) (*HTTP, error) {
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	h := &HTTP{c: c, json: newJSON(c.Fields)}
	l, server, err := compileAddress(c.URL)
	if err != nil {
		return nil, err
	}
	h.url, h.perRow = l, len(l.names()) > 0
	secrets, single := []string{pathOf(c.URL)}, h.perRow || c.Body != "" || c.JSON != ""
	for _, x := range c.Headers {
		filled, err := compileLine(x.Value)
		if err != nil {
			return nil, fmt.Errorf("headers: %s: braces are wrong", x.Name) // it may be a secret
		}
		h.headers = append(h.headers, filledHeader{http.CanonicalHeaderKey(x.Name), filled})
		if len(filled.names()) > 0 {
			single = true
		} else if len(x.Value) >= secretBytesMin {
			secrets = append(secrets, x.Value)
		}
	}
	if c.Array && single {
		return nil, errors.New("many rows in a request have one url, the same headers and no body of their own\n\thint: batch: 1")
	}
	if c.Body != "" {
		if h.line, err = compileLine(c.Body); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	if c.JSON != "" {
		if h.doc, err = compileDocument(c.JSON); err != nil {
			return nil, err
		}
	}
	h.caller = newCaller(server, c.Login, c.Timeout, secrets...)
	return h, nil
}

// pathOf returns what stands behind the server in a URL, if it may be a secret.
func pathOf(s string) string {
	u, err := url.Parse(s)
	if err != nil || len(u.Path) <= secretBytesMin { // /alerts is none, and may be a word of its own
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}

// Write implements Sink.
func (h *HTTP) Write(ctx context.Context, b *pipeline.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	h.json.fit(b)
	if h.c.Array {
		return h.array(ctx, b)
	}
	var no []Refusal
	for i := range b.Rows() {
		h.buf = h.body(h.buf[:0], b, i)
		reason, err := h.send(ctx, b, i, i+1, h.buf)
		if err != nil {
			return partial(i, no, err)
		}
		if reason != "" {
			no = append(no, Refusal{i, reason})
		}
	}
	return refused(no)
}

// body appends what is sent of row i.
func (h *HTTP) body(dst []byte, b *pipeline.Batch, i int) []byte {
	switch {
	case h.c.Method == http.MethodGet:
		return dst
	case h.line != nil:
		return h.line.plain(dst, b, i)
	case h.doc != nil:
		return h.doc.append(dst, b, i)
	}
	return h.json.append(dst, b, i)
}

// array sends all rows of b in one request, or in several if some are refused.
func (h *HTTP) array(ctx context.Context, b *pipeline.Batch) error {
	h.buf, h.ends = append(h.buf[:0], '['), append(h.ends[:0], 1)
	for i := range b.Rows() {
		h.buf = append(h.json.append(h.buf, b, i), ',')
		h.ends = append(h.ends, len(h.buf))
	}
	no, done, err := halve(b.Rows(), func(from, to int) (string, error) {
		first, last := h.ends[from]-1, h.ends[to]-1 // where the brackets are put
		saved := [2]byte{h.buf[first], h.buf[last]}
		h.buf[first], h.buf[last] = '[', ']'
		defer func() { h.buf[first], h.buf[last] = saved[0], saved[1] }()
		return h.send(ctx, b, from, to, h.buf[first:last+1])
	})
	if err == nil {
		return refused(no)
	}
	return partial(done, no, err)
}

// send sends a body for the rows from..to. It returns why they are refused,
// if they are.
func (h *HTTP) send(ctx context.Context, b *pipeline.Batch, from, to int, body []byte) (reason string, err error) {
	if h.addr, err = h.url.address(h.addr[:0], b, from); err != nil {
		return err.Error(), nil
	}
	req, err := http.NewRequestWithContext(ctx, h.c.Method, string(h.addr), bytes.NewReader(body))
	if err != nil {
		return "url: a column makes it no URL", nil
	}
	if h.c.Method != http.MethodGet {
		req.Header.Set("Content-Type", h.contentType())
	}
	h.key = h.id.append(h.key[:0], b, from, to, h.addr, body)
	req.Header.Set("Idempotency-Key", `"`+string(h.key)+`"`) // a string of RFC 8941, as the draft asks
	for k := range h.headers {
		req.Header.Set(h.headers[k].name, string(h.headers[k].line.append(nil, b, from)))
	}
	a, err := h.caller.do(ctx, req)
	if err != nil {
		return "", err
	}
	switch {
	case h.isDone(a.status):
		h.written.Add(uint64(len(body)))
		return "", nil
	case a.isAboutRows(), h.perRow && (a.status == http.StatusNotFound || a.status == http.StatusGone):
		return a.String(), nil
	}
	return "", h.caller.later(a)
}

func (h *HTTP) contentType() string {
	if h.line != nil {
		return "text/plain; charset=utf-8"
	}
	return "application/json"
}

func (h *HTTP) isDone(status int) bool {
	if len(h.c.Expect) > 0 {
		return slices.Contains(h.c.Expect, status)
	}
	return status/100 == 2
}

// Written implements Meter.
func (h *HTTP) Written() uint64 { return h.written.Load() }

// Close implements Sink.
func (h *HTTP) Close() error {
	h.caller.client.CloseIdleConnections()
	return nil
}
