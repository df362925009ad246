package node

import (
	"strings"

	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/sinks"
)

// NewTopic opens the topic sink that c describes.
func NewTopic(c *config.TopicSink, p sinks.Publisher) (sinks.Sink, error) {
	return sinks.NewTopic(topicConfig(c), p)
}

func topicConfig(c *config.TopicSink) sinks.TopicConfig {
	return sinks.TopicConfig{
		Topic: c.Topic, QoS: byte(c.QoS), Retain: c.Retain,
		Format: c.Format, Fields: c.Fields, Measurement: c.Measurement, Tags: c.Tags,
		Properties: sinks.TopicProperties{
			ContentType: c.ContentType, ResponseTopic: c.ResponseTopic, Expiry: c.Expiry, User: headers(c.Properties), ID: c.ID,
		},
	}
}

func headers(ts config.Texts) []sinks.Header {
	var all []sinks.Header
	for _, t := range ts {
		all = append(all, sinks.Header{Name: t.Name, Value: string(t.Value)})
	}
	return all
}

func newHomeAssistant(c *config.HomeAssistantSink, p sinks.Publisher) (sinks.Sink, error) {
	h := sinks.HomeAssistantConfig{
		Device: c.Device, Name: c.Name, Manufacturer: c.Manufacturer, Model: c.Model, Area: c.Area,
		Prefix: c.Prefix, Base: c.Base, ExpireAfter: c.ExpireAfter,
	}
	for _, e := range c.Entities {
		h.Entities = append(h.Entities, sinks.Entity{
			ID: e.ID, Value: e.Value, Component: e.Component, Name: e.Name, Unit: e.Unit,
			DeviceClass: e.DeviceClass, StateClass: e.StateClass, Icon: e.Icon,
		})
	}
	return sinks.NewHomeAssistant(h, p)
}

// newRemoteSink opens a sink that writes to a server.
func newRemoteSink(f *config.File, t *config.Target) (sinks.Sink, error) {
	switch t.Kind {
	case "http":
		return newHTTP(f, t.HTTP)
	case "postgres":
		return newPostgres(f, t.Postgres)
	case "prometheus":
		return newPrometheus(f, t.Prometheus)
	case "nats":
		return newNATS(f, t.NATS)
	case "kafka":
		return newKafka(f, t.Kafka)
	}
	panic("BUG: sink of kind " + t.Kind)
}

// login reads the secrets that say who we are.
func login(f *config.File, token config.Secret, tokenFile, user string, password config.Secret, passwordFile string) (l sinks.Login, err error) {
	l.User = user
	if l.Token, err = secret(f, string(token), tokenFile); err != nil {
		return l, err
	}
	l.Password, err = secret(f, string(password), passwordFile)
	return l, err
}

func newHTTP(f *config.File, c *config.HTTPSink) (sinks.Sink, error) {
	url, err := secret(f, string(c.URL), c.URLFile)
	if err != nil {
		return nil, err
	}
	l, err := login(f, c.Token, c.TokenFile, c.User, c.Password, c.PasswordFile)
	if err != nil {
		return nil, err
	}
	return sinks.NewHTTP(sinks.HTTPConfig{
		URL: url, Method: c.Method, Headers: headers(c.Headers), Login: l, Body: c.Body.Text, JSON: c.Body.JSON,
		Fields: c.Fields, Array: c.Batch > 1, Expect: c.Expect, Timeout: c.Timeout,
	})
}

func newPostgres(f *config.File, c *config.PostgresSink) (sinks.Sink, error) {
	password, err := secret(f, string(c.Password), c.PasswordFile)
	if err != nil {
		return nil, err
	}
	return sinks.NewPostgres(sinks.PostgresConfig{
		URL: string(c.URL), Password: password, Table: c.Table, Key: c.Key, Fields: c.Fields, Time: c.Time, Create: c.Create, Timeout: c.Timeout,
	})
}

func newPrometheus(f *config.File, c *config.PrometheusSink) (sinks.Sink, error) {
	l, err := login(f, c.Token, c.TokenFile, c.User, c.Password, c.PasswordFile)
	if err != nil {
		return nil, err
	}
	return sinks.NewPrometheus(sinks.PrometheusConfig{
		URL: c.URL, Login: l, Prefix: c.Prefix, Labels: c.Labels, Fields: c.Fields, Timeout: c.Timeout,
	})
}

func newNATS(f *config.File, c *config.NATSSink) (sinks.Sink, error) {
	l, err := login(f, c.Token, c.TokenFile, c.User, c.Password, c.PasswordFile)
	if err != nil {
		return nil, err
	}
	credentials := c.Credentials
	if credentials != "" {
		credentials = f.Join(credentials)
	}
	return sinks.NewNATS(sinks.NATSConfig{
		URL: strings.Join(c.URL, ","), Subject: c.Subject, JetStream: c.JetStream, Login: l, Credentials: credentials, Timeout: c.Timeout,
		Payload: sinks.Payload{Format: c.Format, Fields: c.Fields, Measurement: c.Measurement, Tags: c.Tags},
	})
}

func newKafka(f *config.File, c *config.KafkaSink) (sinks.Sink, error) {
	password, err := secret(f, string(c.Password), c.PasswordFile)
	if err != nil {
		return nil, err
	}
	return sinks.NewKafka(sinks.KafkaConfig{
		Brokers: c.Brokers, Topic: c.Topic, Key: c.Key, Headers: headers(c.Headers), TLS: c.TLS, SASL: c.SASL, User: c.User, Password: password, Timeout: c.Timeout,
		Payload: sinks.Payload{Format: c.Format, Fields: c.Fields, Measurement: c.Measurement, Tags: c.Tags},
	})
}
