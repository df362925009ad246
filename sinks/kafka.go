package sinks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"millrace.dev/millrace/pipeline"
)

// KafkaTimeout is how long a message may take to be stored unless said.
const KafkaTimeout = 30 * time.Second

// KafkaConfig is what a Kafka sink needs.
type KafkaConfig struct {
	Brokers  []string // host:port
	Topic    string   // columns in braces
	Key      string   // text with columns in braces; messages of one key keep their order; empty for none
	Headers  []Header // values with columns in braces
	Payload  Payload
	TLS      bool
	SASL     string // plain, scram-sha-256 or scram-sha-512; empty for none
	User     string
	Password string
	Timeout  time.Duration
}

// Kafka produces each row as a message, with the event time as its time, and
// waits until all replicas in sync have it. The producer is idempotent: what
// it sends again itself is stored once. What is written again after a failed
// write or a restart may be there twice; the header id is then the same.
//
// A row is refused whose topic or payload cannot be made, or that the broker
// finds too large or invalid. A topic without columns that is not there, and
// missing rights, are mistakes of the configuration.
type Kafka struct {
	c       KafkaConfig
	server  string
	topic   *line
	key     *line // nil for none
	headers []filledHeader
	client  *kgo.Client
	written atomic.Uint64

	mu   sync.Mutex
	rows *payloadRows
	id   identity
}

// NewKafka returns a sink for the cluster at c.Brokers, which need not be there yet.
func NewKafka(c KafkaConfig) (*Kafka, error) {
	k := &Kafka{c: c, server: "kafka " + strings.Join(c.Brokers, ",")}
	if k.c.Timeout <= 0 {
		k.c.Timeout = KafkaTimeout
	}
	var err error
	if k.topic, err = compileLine(c.Topic); err != nil || c.Topic == "" {
		return nil, fmt.Errorf("topic %q: %w", c.Topic, errors.Join(err, errors.New("it is a name, such as readings or {line}-readings")))
	}
	if c.Key != "" {
		if k.key, err = compileLine(c.Key); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
	}
	for _, h := range c.Headers {
		l, err := compileLine(h.Value)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		k.headers = append(k.headers, filledHeader{h.Name, l})
	}
	if k.rows, err = newPayload(c.Payload); err != nil {
		return nil, err
	}
	options, err := k.options()
	if err != nil {
		return nil, err
	}
	k.client, err = kgo.NewClient(options...)
	return k, err
}

func (k *Kafka) options() ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(k.c.Brokers...), kgo.ClientID("millrace"),
		kgo.DialTimeout(k.c.Timeout), kgo.RetryTimeout(k.c.Timeout), // kgo's own timeout of a record counts from its event time
		kgo.AllowIdempotentProduceCancellation(), // so that a write ends in time, whatever the brokers do
		kgo.MetadataMinAge(kafkaLook),
		kgo.UnknownTopicRetries(unknownTopicTries), kgo.AllowAutoTopicCreation(), // which the broker may not do
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
	}
	if k.c.TLS {
		options = append(options, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	switch k.c.SASL {
	case "":
	case "plain":
		options = append(options, kgo.SASL(plain.Auth{User: k.c.User, Pass: k.c.Password}.AsMechanism()))
	case "scram-sha-256":
		options = append(options, kgo.SASL(scram.Auth{User: k.c.User, Pass: k.c.Password}.AsSha256Mechanism()))
	case "scram-sha-512":
		options = append(options, kgo.SASL(scram.Auth{User: k.c.User, Pass: k.c.Password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("unknown sasl %q\n\thint: plain, scram-sha-256 or scram-sha-512", k.c.SASL)
	}
	return options, nil
}

// kafkaLook is how often the brokers are asked, at most, where a topic is; a
// write after an outage waits for that.
const kafkaLook = 500 * time.Millisecond

// unknownTopicTries is how often a topic is asked for that is not there.
const unknownTopicTries = 4

// Write implements Sink.
func (k *Kafka) Write(ctx context.Context, b *pipeline.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	k.rows.fit(b)
	errs := make([]error, b.Rows())
	reasons := make([]string, b.Rows())
	produce, cancel := context.WithTimeout(ctx, k.c.Timeout)
	defer cancel()
	var all sync.WaitGroup
	for i := range b.Rows() {
		r, err := k.record(b, i)
		if err != nil {
			reasons[i] = err.Error()
			continue
		}
		all.Add(1)
		k.client.Produce(produce, r, func(r *kgo.Record, err error) {
			defer all.Done()
			if errs[i] = err; err == nil {
				k.written.Add(uint64(len(r.Value)))
			}
		})
	}
	all.Wait()
	var no []Refusal
	for i, err := range errs {
		switch {
		case err != nil && k.isAboutRow(err):
			reasons[i] = err.Error()
		case err != nil:
			return partial(i, no, k.tell(err))
		}
		if reasons[i] != "" {
			no = append(no, Refusal{i, reasons[i]})
		}
	}
	return refused(no)
}

// record makes the message of row i.
func (k *Kafka) record(b *pipeline.Batch, i int) (*kgo.Record, error) {
	for _, name := range k.topic.names() {
		if name != timeName && b.Column(name, i) == nil {
			return nil, fmt.Errorf("topic: %s has no value", name)
		}
	}
	topic := string(k.topic.plain(nil, b, i))
	payload, err := k.rows.append(nil, b, i)
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{Topic: topic, Value: payload, Timestamp: time.UnixMicro(b.Time[i])}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "id", Value: k.id.append(nil, b, i, i+1, []byte(topic), payload)})
	for n := range k.headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: k.headers[n].name, Value: k.headers[n].line.plain(nil, b, i)})
	}
	if k.key != nil {
		r.Key = k.key.plain(nil, b, i)
	}
	return r, nil
}

// isAboutRow reports whether a message is refused for what it is.
func (k *Kafka) isAboutRow(err error) bool {
	for _, about := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.CorruptMessage} {
		if errors.Is(err, about) {
			return true
		}
	}
	perRow := len(k.topic.names()) > 0
	return perRow && (errors.Is(err, kerr.InvalidTopicException) || errors.Is(err, kerr.UnknownTopicOrPartition))
}

// tell says where an error comes from and whether somebody has to mend it.
func (k *Kafka) tell(err error) error {
	hint := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: not stored within %s", k.server, k.c.Timeout)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InvalidTopicException):
		hint = "create the topic " + k.c.Topic
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		hint = "check sasl, user and password"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		hint = "give the user the right to write to the topic"
	}
	err = fmt.Errorf("%s: %w", k.server, err)
	if hint == "" {
		return err
	}
	return &Later{Err: fmt.Errorf("%w\n\thint: %s", err, hint), After: mistakeAfter, Mistake: true}
}

// Written implements Meter.
func (k *Kafka) Written() uint64 { return k.written.Load() }

// Close implements Sink.
func (k *Kafka) Close() error {
	k.client.Close()
	return nil
}
