package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// HTTPTimeout is how long a request may take unless said.
const HTTPTimeout = 10 * time.Second

// Login is how a sink says who it is: with a token (Bearer, RFC 6750) or a
// name and password (Basic, RFC 7617). Neither is ever in an error.
type Login struct{ Token, User, Password string }

// A caller sends requests to one server.
type caller struct {
	server  string // as messages show it: without path, query and secrets
	login   Login
	timeout time.Duration
	client  *http.Client
	secrets *strings.Replacer
}

func newCaller(server string, l Login, timeout time.Duration, secrets ...string) *caller {
	if timeout <= 0 {
		timeout = HTTPTimeout
	}
	return &caller{
		server: server, login: l, timeout: timeout, secrets: hide(append(secrets, l.Token, l.Password)...),
		client: &http.Client{
			Transport:     http.DefaultTransport.(*http.Transport).Clone(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// do sends a request and returns the answer, whatever it is.
func (c *caller) do(ctx context.Context, req *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req.Header.Set("User-Agent", "millrace")
	switch {
	case c.login.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.login.Token)
	case c.login.User != "":
		req.SetBasicAuth(c.login.User, c.login.Password)
	}
	res, err := c.client.Do(req.WithContext(ctx))
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerBytesMax))
	if err != nil && res.StatusCode/100 != 2 && len(body) == 0 {
		return answer{}, c.unreachable(ctx, err)
	}
	return answer{status: res.StatusCode, header: res.Header, words: c.secrets.Replace(words(res.Header, body))}, nil
}

func (c *caller) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %s", c.server, c.timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL may hold a secret
	}
	return fmt.Errorf("%s: %w", c.server, err)
}

// later returns the error for an answer that is not about the rows.
func (c *caller) later(a answer) error {
	err := fmt.Errorf("%s: %s", c.server, a)
	if !a.isMistake() {
		return &Later{Err: err, After: retryAfter(a.header, time.Now())}
	}
	hint := "check url"
	switch {
	case a.status == http.StatusUnauthorized:
		hint = "check token, or user and password"
	case a.status == http.StatusForbidden:
		hint = "give the user or token the right to do that"
	case a.status/100 == 3:
		hint = "write the address that it points to as url"
	case a.status/100 == 2:
		hint = "add the status to expect, or leave expect out"
	}
	return &Later{Err: fmt.Errorf("%w\n\thint: %s", err, hint), After: mistakeAfter, Mistake: true}
}
