package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/millrace/pipeline"
)

// NATSTimeout is how long a server may take to answer unless said.
const NATSTimeout = 10 * time.Second

// subjectBytesMax is the most bytes of a subject; servers take control lines
// of 4 KiB.
const subjectBytesMax = 1024

// NATSConfig is what a NATS sink needs.
type NATSConfig struct {
	URL         string // nats://host:4222 or tls://host:4222, or several, with commas
	Subject     string // columns in braces: alerts.{line}.{device}
	JetStream   bool   // wait until a stream has stored each message
	Payload     Payload
	Login       Login
	Credentials string // file that nsc writes; empty for none
	Timeout     time.Duration
}

// NATS publishes each row as a message. Without JetStream it waits until the
// server has the messages; who does not listen then never gets them. With it,
// it waits until a stream has stored them, and the header Nats-Msg-Id lets the
// stream drop what is sent again within its duplicate window.
//
// A row is refused whose subject or payload cannot be made, or that is larger
// than the server takes. A subject without columns that no stream takes is a
// mistake of the configuration; one of columns refuses its row.
type NATS struct {
	c       NATSConfig
	server  string // as messages show it
	subject *line
	secrets *strings.Replacer
	written atomic.Uint64

	mu   sync.Mutex
	rows *payloadRows
	id   identity
	conn *nats.Conn // nil while there is none
	js   nats.JetStreamContext
}

// NewNATS returns a sink for the server at c.URL, which need not be there yet.
func NewNATS(c NATSConfig) (*NATS, error) {
	n := &NATS{c: c, secrets: hide(c.Login.Token, c.Login.Password)}
	var servers []string
	for s := range strings.SplitSeq(c.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil || u.Host == "" {
			return nil, errors.New("url: this is no address of a server\n\thint: such as nats://localhost:4222")
		}
		servers = append(servers, u.Scheme+"://"+u.Host)
	}
	n.server = strings.Join(servers, ",")
	var err error
	if n.subject, err = compileLine(c.Subject); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	for _, p := range n.subject.parts {
		if strings.ContainsAny(p.text, " \t\r\n*>") {
			return nil, fmt.Errorf("subject %q: a blank, * or > is in it", c.Subject)
		}
	}
	if c.Subject == "" {
		return nil, errors.New("subject: it is empty\n\thint: such as alerts.{device}")
	}
	if n.c.Timeout <= 0 {
		n.c.Timeout = NATSTimeout
	}
	n.rows, err = newPayload(c.Payload)
	return n, err
}

// Write implements Sink.
func (n *NATS) Write(ctx context.Context, b *pipeline.Batch) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil || b.Rows() == 0 {
		return err
	}
	if err := n.connect(); err != nil {
		return n.tell(err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.c.Timeout)
	defer cancel()
	n.rows.fit(b)
	if n.c.JetStream {
		return n.store(ctx, b)
	}
	return n.publish(ctx, b)
}

// connect makes sure that there is a connection. Whoever calls Write tries
// again, so the connection itself does not.
func (n *NATS) connect() error {
	if n.conn != nil && n.conn.IsConnected() {
		return nil
	}
	n.drop()
	options := []nats.Option{nats.NoReconnect(), nats.Name("millrace"), nats.Timeout(n.c.Timeout), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	switch l := n.c.Login; {
	case n.c.Credentials != "":
		options = append(options, nats.UserCredentials(n.c.Credentials))
	case l.Token != "":
		options = append(options, nats.Token(l.Token))
	case l.User != "":
		options = append(options, nats.UserInfo(l.User, l.Password))
	}
	conn, err := nats.Connect(n.c.URL, options...)
	if err != nil {
		return err
	}
	n.conn = conn
	n.js, err = conn.JetStream()
	return err
}

// message makes the message of row i.
func (n *NATS) message(b *pipeline.Batch, i int) (*nats.Msg, error) {
	subject, err := n.subjectOf(b, i)
	if err != nil {
		return nil, err
	}
	payload, err := n.rows.append(nil, b, i)
	if err != nil {
		return nil, err
	}
	if most := n.conn.MaxPayload(); int64(len(payload)) > most {
		return nil, fmt.Errorf("the payload has %d bytes; the server takes %d", len(payload), most)
	}
	m := nats.NewMsg(subject)
	m.Data = payload
	m.Header.Set(nats.MsgIdHdr, string(n.id.append(nil, b, i, i+1, []byte(subject), payload)))
	return m, nil
}

// subjectOf makes the subject of row i. A value fills a token or a part of
// one; it makes no new ones.
func (n *NATS) subjectOf(b *pipeline.Batch, i int) (string, error) {
	var dst []byte
	for k := range n.subject.parts {
		p := &n.subject.parts[k]
		if p.name == "" {
			dst = append(dst, p.text...)
			continue
		}
		from := len(dst)
		if p.name == timeName || b.Column(p.name, i) != nil {
			dst = n.subject.value(dst, p, b, i)
		}
		switch v := dst[from:]; {
		case len(v) == 0:
			return "", fmt.Errorf("subject: %s has no value", p.name)
		case bytes.ContainsAny(v, ". \t\r\n*>\x00"):
			return "", fmt.Errorf("subject: %s is %.80q; a token has no blank, ., * or >", p.name, v)
		}
	}
	if len(dst) > subjectBytesMax {
		return "", fmt.Errorf("the subject has %d bytes; the most is %d", len(dst), subjectBytesMax)
	}
	return string(dst), nil
}

// publish sends all rows and waits until the server has them.
func (n *NATS) publish(ctx context.Context, b *pipeline.Batch) error {
	var no []Refusal
	var bytes int
	for i := range b.Rows() {
		m, err := n.message(b, i)
		if err != nil {
			no = append(no, Refusal{i, err.Error()})
			continue
		}
		if err := n.conn.PublishMsg(m); err != nil {
			return n.tell(err)
		}
		bytes += len(m.Data)
	}
	if err := n.conn.FlushWithContext(ctx); err != nil {
		return n.tell(err)
	}
	if err := n.conn.LastError(); err != nil { // such as a missing right, told before the answer to the flush
		return n.tell(err)
	}
	n.written.Add(uint64(bytes))
	return refused(no)
}

// store sends all rows and waits until a stream has each.
func (n *NATS) store(ctx context.Context, b *pipeline.Batch) error {
	acks := make([]nats.PubAckFuture, b.Rows())
	reasons := make([]string, b.Rows())
	for i := range acks {
		m, err := n.message(b, i)
		if err != nil {
			reasons[i] = err.Error()
			continue
		}
		if acks[i], err = n.js.PublishMsgAsync(m, nats.StallWait(n.c.Timeout)); err != nil {
			return n.tell(err)
		}
	}
	var no []Refusal
	for i, ack := range acks {
		if ack != nil {
			reason, err := n.await(ctx, ack)
			if err != nil {
				return partial(i, no, n.tell(err))
			}
			reasons[i] = reason
		}
		if reasons[i] != "" {
			no = append(no, Refusal{i, reasons[i]})
		}
	}
	return refused(no)
}

// await waits for one acknowledgement. It returns why the message is refused,
// if it is for what it is.
func (n *NATS) await(ctx context.Context, ack nats.PubAckFuture) (reason string, err error) {
	select {
	case <-ack.Ok():
		n.written.Add(uint64(len(ack.Msg().Data)))
		return "", nil
	case err = <-ack.Err():
	case <-ctx.Done():
		err = ctx.Err()
	}
	var e *nats.APIError
	switch {
	case errors.As(err, &e) && e.Code == 400:
		return e.Description, nil
	case isNoStream(err) && len(n.subject.names()) > 0:
		return "no stream takes the subject " + ack.Msg().Subject, nil
	}
	return "", err
}

func isNoStream(err error) bool {
	return errors.Is(err, nats.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// tell says where an error comes from and whether somebody has to mend it. The
// connection is made anew.
func (n *NATS) tell(err error) error {
	n.drop()
	hint := ""
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		hint = "check user and password, token or credentials"
	case errors.Is(err, nats.ErrPermissionViolation):
		hint = "give the user the right to publish there"
	case errors.Is(err, nats.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrJetStreamNotEnabledForAccount):
		hint = "start the server with JetStream, or leave jetstream out"
	case isNoStream(err):
		hint = "create a stream that takes the subject " + n.c.Subject
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer within %s", n.server, n.c.Timeout)
	}
	if hint == "" {
		return fmt.Errorf("%s: %w", n.server, err)
	}
	return &Later{Err: fmt.Errorf("%s: %s\n\thint: %s", n.server, n.secrets.Replace(err.Error()), hint), After: mistakeAfter, Mistake: true}
}

func (n *NATS) drop() {
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
}

// Written implements Meter.
func (n *NATS) Written() uint64 { return n.written.Load() }

// Close implements Sink.
func (n *NATS) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop()
	return nil
}
