package config

import (
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// HTTPSink sends rows to a web server.
type HTTPSink struct {
	URL          Secret        `yaml:"url" doc:"where to; columns in braces behind the server's name. ${NAME} takes it from the environment"`
	URLFile      string        `yaml:"url_file" reads:"" doc:"file that holds the URL"`
	Method       string        `yaml:"method" enum:"POST,PUT,PATCH,GET" doc:"how; a GET has no body"`
	Headers      Texts         `yaml:"headers" doc:"headers; columns in braces. ${NAME} takes one from the environment"`
	Body         Body          `yaml:"body" doc:"a text with columns in braces, or a mapping that becomes JSON; a JSON object of the columns unless said"`
	Fields       []string      `yaml:"fields" doc:"without body: columns of the JSON; all unless said"`
	Expect       []int         `yaml:"expect" doc:"statuses that mean it is done; every 2xx unless said"`
	Token        Secret        `yaml:"token" doc:"sent as Authorization: Bearer"`
	TokenFile    string        `yaml:"token_file" reads:"" doc:"file that holds the token"`
	User         string        `yaml:"user" doc:"sent as Authorization: Basic"`
	Password     Secret        `yaml:"password" doc:"of the user"`
	PasswordFile string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	Timeout      time.Duration `yaml:"timeout" min:"1" doc:"how long a request may take"`
	Batch        int           `yaml:"batch" min:"1" max:"100000" doc:"1: a request for each row; more: an array of so many rows, or fewer"`
	Linger       time.Duration `yaml:"linger" doc:"how long rows wait for more"`
	Queue        Size          `yaml:"queue" min:"1024" doc:"bytes of rows kept while the server is away; then the oldest are dropped"`
}

func httpSinkDefaults() HTTPSink {
	return HTTPSink{Method: "POST", Timeout: 10 * time.Second, Batch: 1, Queue: 64 << 20}
}

// Body is what an HTTP request says: a text, or JSON whose texts are such
// texts. One of them is empty.
type Body struct{ Text, JSON string }

func (b *Body) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		if n.Value == "" {
			d.fail(n, path, "leave it out for a JSON object of the columns", "body is empty")
		}
		d.braces(n, path)
		b.Text = n.Value
		return
	}
	var text strings.Builder
	d.json(&text, n, path)
	b.JSON = text.String()
}

// json writes a node as JSON; mappings keep their order.
func (d *decoder) json(to *strings.Builder, n *yaml.Node, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.spend(n, path) {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		begin := "{"
		d.each(n, path, func(key, value *yaml.Node) {
			to.WriteString(begin)
			d.jsonText(to, key.Value)
			to.WriteByte(':')
			d.json(to, value, join(path, key.Value))
			begin = ","
		})
		if begin == "{" {
			to.WriteString(begin)
		}
		to.WriteByte('}')
	case yaml.SequenceNode:
		to.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				to.WriteByte(',')
			}
			d.json(to, item, path+"["+strconv.Itoa(i)+"]")
		}
		to.WriteByte(']')
	default:
		d.jsonScalar(to, n, path)
	}
}

func (d *decoder) jsonScalar(to *strings.Builder, n *yaml.Node, path string) {
	var v any
	switch n.Tag {
	case "!!null":
		to.WriteString("null")
		return
	case "!!bool", "!!int", "!!float":
		err := n.Decode(&v)
		if x, ok := v.(float64); err == nil && ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
			d.fail(n, path, "write it in quotes to send a text", "JSON has no %s", n.Value)
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			d.fail(n, path, "", "%s cannot be written as JSON", show(n))
		}
		to.Write(text)
		return
	}
	d.braces(n, path)
	d.jsonText(to, n.Value)
}

func (d *decoder) jsonText(to *strings.Builder, s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	to.Write(text)
}

// braces refuses a text whose braces are wrong.
func (d *decoder) braces(n *yaml.Node, path string) {
	if _, wrong := namesIn(n.Value); wrong != "" {
		hint := "columns stand in braces: {device}"
		if strings.HasPrefix(strings.TrimSpace(n.Value), "{") {
			hint = "JSON is written as a mapping: body: {text: \"{device} is hot\"}"
		}
		d.fail(n, path, hint, "%s", wrong)
	}
}

// names returns the columns of the body. Texts of JSON are escaped, but a
// brace is never, and names in braces have nothing to escape.
func (b *Body) names() []string {
	if b.JSON == "" {
		return namesOf(b.Text)
	}
	var names []string
	dec := json.NewDecoder(strings.NewReader(b.JSON))
	for {
		token, err := dec.Token()
		if err != nil {
			return names
		}
		if s, ok := token.(string); ok {
			names = append(names, namesOf(s)...)
		}
	}
}

func (s *HTTPSink) names() []string {
	return append(append(namesOf(string(s.URL)), s.Headers.names()...), append(s.Body.names(), s.Fields...)...)
}

func (s *HTTPSink) takesAll() bool {
	return s.Body == Body{} && len(s.Fields) == 0 && s.Method != "GET"
}

func (s *HTTPSink) label() string {
	if u, err := url.Parse(string(s.URL)); err == nil && u.Host != "" {
		return "http " + u.Host
	}
	return "http"
}

func (s *HTTPSink) check(d *decoder, path string) {
	d.checkOneOf(path, "url")
	d.checkLogin(path)
	if !d.there(path+".url") && !d.there(path+".url_file") && d.there(path) {
		d.problem(path+"#key", "url: https://example.com/hook, or url_file", "missing key %q", "url")
	}
	if u, err := url.Parse(strings.NewReplacer("{", "x", "}", "x").Replace(string(s.URL))); d.isWritten(path + ".url") {
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
			d.problem(path+".url", "such as https://example.com/hook", "this is no URL of a server")
		case u.User != nil:
			d.problem(path+".url", "use the keys user and password", "a URL with a password is shown in logs")
		}
		d.checkBraces(path+".url", string(s.URL), "such as https://example.com/{line}")
	}
	d.checkTexts(path+".headers", s.Headers)
	d.checkNames(path+".fields", s.Fields)
	if d.there(path+".body") && d.there(path+".fields") {
		d.problem(path+".fields#key", "leave one of them out", "body says what is sent, fields too")
	}
	if d.there(path+".body") && s.Method == "GET" {
		d.problem(path+".body#key", "write method: POST, or leave it out", "a GET has no body")
	}
	for i, status := range s.Expect {
		if at := path + ".expect[" + strconv.Itoa(i) + "]"; status < 200 || status > 599 {
			d.problem(at, "such as 202", "%d is no status that ends a request", status)
		}
	}
	single := len(namesOf(string(s.URL)))+len(s.Headers.names()) > 0 || d.there(path+".body")
	if s.Batch > 1 && (single || s.Method == "GET") {
		d.problem(path+".batch", "leave batch out: a request for each row", "many rows in a request have one url, the same headers and no body of their own")
	}
}
