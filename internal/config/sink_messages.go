package config

import (
	"fmt"
	"strings"
	"time"
)

// NATSSink publishes rows to NATS.
type NATSSink struct {
	URL          []string      `yaml:"url,required" min:"1" doc:"nats://localhost:4222 or tls://host:4222, or a list of servers"`
	Subject      string        `yaml:"subject,required" doc:"subject; columns in braces: alerts.{line}.{device}"`
	JetStream    bool          `yaml:"jetstream" doc:"wait until a stream has stored each message"`
	Format       string        `yaml:"format" enum:"json,line,cbor,value" doc:"what payloads are: a JSON object, line protocol, CBOR, or one column as it is"`
	Fields       []string      `yaml:"fields" doc:"columns of the payload; all unless said"`
	Measurement  string        `yaml:"measurement" doc:"format line: the measurement; columns in braces"`
	Tags         []string      `yaml:"tags" doc:"format line: columns written as tags"`
	Token        Secret        `yaml:"token" doc:"the token; ${NAME} takes it from the environment"`
	TokenFile    string        `yaml:"token_file" reads:"" doc:"file that holds the token"`
	User         string        `yaml:"user" doc:"the user"`
	Password     Secret        `yaml:"password" doc:"of the user"`
	PasswordFile string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	Credentials  string        `yaml:"credentials_file" reads:"" doc:"file with the user's JWT and seed, as nsc writes it"`
	Timeout      time.Duration `yaml:"timeout" min:"1" doc:"how long the server may take to answer"`
	Batch        int           `yaml:"batch" min:"1" max:"100000" doc:"most rows that wait for an answer at once"`
	Linger       time.Duration `yaml:"linger" doc:"how long rows wait for more"`
	Queue        Size          `yaml:"queue" min:"1024" doc:"bytes of rows kept while the server is away; then the oldest are dropped"`
}

func natsDefaults() NATSSink {
	return NATSSink{Format: "json", Timeout: 10 * time.Second, Batch: 1000, Queue: 64 << 20}
}

func (s *NATSSink) format() format { return format{s.Format, s.Fields, s.Measurement, s.Tags} }

func (s *NATSSink) names() []string { return append(namesOf(s.Subject), s.format().names()...) }

func (s *NATSSink) takesAll() bool { return len(s.Fields) == 0 }

func (s *NATSSink) label() string { return "nats " + s.Subject }

func (s *NATSSink) check(d *decoder, path string) {
	for i, server := range s.URL {
		at := fmt.Sprintf("%s.url[%d]", path, i)
		d.checkServer(at, server, "nats://localhost:4222", "nats", "tls", "ws", "wss")
	}
	d.checkLogin(path)
	if d.there(path+".credentials_file") && (d.there(path+".user") || d.there(path+".token") || d.there(path+".token_file")) {
		d.problem(path+".credentials_file#key", "leave one of them out", "user or token is there, too")
	}
	d.checkBraces(path+".subject", s.Subject, "such as alerts.{device}")
	if d.there(path+".subject") && (s.Subject == "" || strings.ContainsAny(s.Subject, " \t*>")) {
		d.problem(path+".subject", "such as alerts.{device}; dots separate its tokens", "%q is no subject to publish to", s.Subject)
	}
	d.checkFormat(path, s.format())
}

// KafkaSink produces rows to Kafka.
type KafkaSink struct {
	Brokers      []string      `yaml:"brokers,required" min:"1" doc:"host:port of some brokers; the others are found"`
	Topic        string        `yaml:"topic,required" doc:"topic; columns in braces"`
	Key          string        `yaml:"key" doc:"key of messages: a text with columns in braces; none unless said"`
	Headers      Texts         `yaml:"headers" doc:"headers of messages; columns in braces"`
	Format       string        `yaml:"format" enum:"json,line,cbor,value" doc:"what payloads are: a JSON object, line protocol, CBOR, or one column as it is"`
	Fields       []string      `yaml:"fields" doc:"columns of the payload; all unless said"`
	Measurement  string        `yaml:"measurement" doc:"format line: the measurement; columns in braces"`
	Tags         []string      `yaml:"tags" doc:"format line: columns written as tags"`
	TLS          bool          `yaml:"tls" doc:"encrypt the connection"`
	SASL         string        `yaml:"sasl" enum:"plain,scram-sha-256,scram-sha-512" doc:"how user and password are shown"`
	User         string        `yaml:"user" doc:"the user"`
	Password     Secret        `yaml:"password" doc:"of the user"`
	PasswordFile string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	Timeout      time.Duration `yaml:"timeout" min:"1" doc:"how long a message may take to be stored"`
	Batch        int           `yaml:"batch" min:"1" max:"100000" doc:"most rows that wait for an answer at once"`
	Linger       time.Duration `yaml:"linger" doc:"how long rows wait for more"`
	Queue        Size          `yaml:"queue" min:"1024" doc:"bytes of rows kept while the brokers are away; then the oldest are dropped"`
}

func kafkaDefaults() KafkaSink {
	return KafkaSink{Format: "json", Timeout: 30 * time.Second, Batch: 1000, Queue: 64 << 20}
}

func (s *KafkaSink) format() format { return format{s.Format, s.Fields, s.Measurement, s.Tags} }

func (s *KafkaSink) names() []string {
	return append(append(namesOf(s.Topic, s.Key), s.Headers.names()...), s.format().names()...)
}

func (s *KafkaSink) takesAll() bool { return len(s.Fields) == 0 }

func (s *KafkaSink) label() string { return "kafka " + s.Topic }

func (s *KafkaSink) check(d *decoder, path string) {
	for i, b := range s.Brokers {
		if !isAddress(b) || strings.HasPrefix(b, ":") {
			d.problem(fmt.Sprintf("%s.brokers[%d]", path, i), "such as localhost:9092", "%q is no host:port", b)
		}
	}
	d.checkBraces(path+".topic", s.Topic, "such as readings, or {line}-readings")
	if d.there(path+".topic") && (s.Topic == "" || strings.ContainsAny(s.Topic, "/ ")) {
		d.problem(path+".topic", "letters, digits, dots, - and _; columns in braces", "%q is no topic of Kafka", s.Topic)
	}
	d.checkBraces(path+".key", s.Key, "such as {device}")
	d.checkTexts(path+".headers", s.Headers)
	d.checkOneOf(path, "password")
	for _, key := range []string{"user", "password", "password_file"} {
		if s.SASL == "" && d.there(path+"."+key) {
			d.problem(path+"."+key+"#key", "add sasl: scram-sha-256, or plain", "%s without sasl", key)
			break
		}
	}
	if s.SASL != "" && !d.there(path+".user") {
		d.problem(path+".sasl", "add user and password", "sasl without a user")
	}
	d.checkFormat(path, s.format())
}
