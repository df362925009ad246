package config

import "time"

// PrometheusSink writes samples with the remote-write protocol.
type PrometheusSink struct {
	URL          string        `yaml:"url,required" doc:"the receiver: http://localhost:9090/api/v1/write"`
	Prefix       string        `yaml:"prefix" doc:"what the names of metrics begin with; the field follows"`
	Labels       []string      `yaml:"labels" doc:"columns written as labels"`
	Fields       []string      `yaml:"fields" doc:"columns that become metrics; all numbers and truths unless said"`
	Token        Secret        `yaml:"token" doc:"sent as Authorization: Bearer"`
	TokenFile    string        `yaml:"token_file" reads:"" doc:"file that holds the token"`
	User         string        `yaml:"user" doc:"sent as Authorization: Basic"`
	Password     Secret        `yaml:"password" doc:"of the user"`
	PasswordFile string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	Timeout      time.Duration `yaml:"timeout" min:"1" doc:"how long a request may take"`
	Batch        int           `yaml:"batch" min:"1" max:"100000" doc:"most rows in a request"`
	Linger       time.Duration `yaml:"linger" doc:"how long rows wait for more"`
	Queue        Size          `yaml:"queue" min:"1024" doc:"bytes of rows kept while the server is away; then the oldest are dropped"`
}

func prometheusDefaults() PrometheusSink {
	return PrometheusSink{Timeout: 10 * time.Second, Batch: 1000, Linger: time.Second, Queue: 64 << 20}
}

func (s *PrometheusSink) names() []string {
	return append(append([]string{}, s.Labels...), s.Fields...)
}

func (s *PrometheusSink) takesAll() bool { return len(s.Fields) == 0 }

func (s *PrometheusSink) label() string { return "prometheus" }

func (s *PrometheusSink) check(d *decoder, path string) {
	d.checkServer(path+".url", s.URL, "http://localhost:9090/api/v1/write", "http", "https")
	d.checkLogin(path)
	d.checkNames(path+".labels", s.Labels)
	d.checkNames(path+".fields", s.Fields)
}
