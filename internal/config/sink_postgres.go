package config

import (
	"net/url"
	"strings"
	"time"
)

// PostgresSink writes rows to a table.
type PostgresSink struct {
	URL          Secret        `yaml:"url,required" doc:"postgres://user@localhost:5432/database; ${NAME} takes it from the environment"`
	Password     Secret        `yaml:"password" doc:"the password; ${NAME} takes it from the environment"`
	PasswordFile string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	Table        string        `yaml:"table,required" doc:"the table, or schema.table"`
	Key          []string      `yaml:"key,required" min:"1" doc:"columns that tell rows apart, such as [time, device]; the table has a unique index on them"`
	Fields       []string      `yaml:"fields" doc:"columns that are written, beside key and time; all unless said"`
	Time         string        `yaml:"time" doc:"the table's column for the event time"`
	Create       bool          `yaml:"create" doc:"create the table, and columns that it lacks; a hypertable where TimescaleDB is installed"`
	Timeout      time.Duration `yaml:"timeout" min:"1" doc:"how long a statement may take"`
	Batch        int           `yaml:"batch" min:"1" max:"100000" doc:"most rows in a statement"`
	Linger       time.Duration `yaml:"linger" doc:"how long rows wait for more"`
	Queue        Size          `yaml:"queue" min:"1024" doc:"bytes of rows kept while the server is away; then the oldest are dropped"`
}

func postgresDefaults() PostgresSink {
	return PostgresSink{Time: "time", Timeout: 10 * time.Second, Batch: 1000, Linger: time.Second, Queue: 64 << 20}
}

func (s *PostgresSink) names() []string {
	var names []string
	for _, name := range s.Key {
		if name != s.Time {
			names = append(names, name)
		}
	}
	return append(names, s.Fields...)
}

func (s *PostgresSink) takesAll() bool { return len(s.Fields) == 0 }

func (s *PostgresSink) label() string { return "postgres " + s.Table }

func (s *PostgresSink) check(d *decoder, path string) {
	d.checkOneOf(path, "password")
	if at := path + ".url"; d.isWritten(at) {
		u, err := url.Parse(string(s.URL))
		words := strings.Contains(string(s.URL), "=") // host=/run/postgresql dbname=plant
		if !words && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
			d.problem(at, "such as postgres://user@localhost:5432/plant", "this is no address of a database")
		}
	}
	if at := path + ".table"; d.there(at) {
		parts := strings.Split(s.Table, ".")
		for _, part := range parts {
			if part == "" || len(part) > 63 || len(parts) > 2 {
				d.problem(at, "such as readings, or plant.readings; a name has 1 to 63 bytes", "%q is no table", s.Table)
				break
			}
		}
	}
	if s.Time == "" && d.there(path+".time") {
		d.problem(path+".time", "", "time is empty")
	}
	d.checkNames(path+".key", s.Key)
	d.checkNames(path+".fields", s.Fields)
}
