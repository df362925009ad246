package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline/topics"
)

// Limits of what has to do with other brokers.
const (
	brokersMax       = 31  // other brokers of a file
	subscriptionsMax = 256 // filters wanted from one of them
)

// A Version is one of MQTT.
type Version string

// Older is the version that cannot tell our own messages from others.
const Older Version = "3.1.1"

// OtherBroker is an MQTT broker somewhere else.
type OtherBroker struct {
	Name string `yaml:"-"`
	Path string `yaml:"-"`

	URL          string        `yaml:"url,required" doc:"mqtt://host:1883, or mqtts://host:8883 with TLS"`
	User         string        `yaml:"user" doc:"the user"`
	Password     Secret        `yaml:"password" doc:"the password; ${NAME} takes it from the environment"`
	PasswordFile string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	ClientID     string        `yaml:"client_id" doc:"who we are there; a random name unless said. The other broker keeps messages under it while the link is down"`
	CA           string        `yaml:"ca" reads:"" doc:"file of certificates to trust (PEM); those of the system unless said"`
	Cert         string        `yaml:"cert" reads:"" doc:"file of the certificate that says who we are (PEM)"`
	Key          string        `yaml:"key" reads:"" doc:"file of its key (PEM)"`
	Version      Version       `yaml:"version" enum:"5,3.1.1" doc:"of MQTT"`
	KeepAlive    time.Duration `yaml:"keep_alive" min:"1" doc:"silence after which the connection is tried, in whole seconds"`
}

// OtherBrokers are the other brokers of a file, in its order.
type OtherBrokers []OtherBroker

// FromBroker is what a pipeline reads from another broker.
type FromBroker struct {
	MQTT  string   `yaml:"mqtt,required" doc:"name of a broker of brokers:"`
	Topic []string `yaml:"topic,required" min:"1" doc:"MQTT topic filter there, or a list; $share/GROUP/ before it for a share of the messages. Levels in braces become columns"`
	QoS   int      `yaml:"qos" max:"1" doc:"0 or 1"`
}

// A Subscription is what is wanted from another broker. A share of the
// messages has $share/group/ before its filter.
type Subscription struct {
	Filter string
	QoS    int
}

func otherBrokerDefaults() OtherBroker {
	return OtherBroker{Version: "5", KeepAlive: 30 * time.Second}
}

func fromBrokerDefaults() FromBroker { return FromBroker{QoS: 1} }

func (bs *OtherBrokers) fromNode(d *decoder, n *yaml.Node, path string) {
	d.named(n, path, "brokers by name", func(key, value *yaml.Node, path string) {
		if len(*bs) == brokersMax {
			d.fail(key, path, "", "more than %d brokers", brokersMax)
			return
		}
		b := otherBrokerDefaults()
		b.Name, b.Path = key.Value, path
		d.value(value, settable(&b), "", path)
		*bs = append(*bs, b)
	})
}

// hasKey reports whether a mapping has the key.
func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// fromBroker reads {mqtt: upstream, topic: plant/#}.
func (f *From) fromBroker(d *decoder, n *yaml.Node, path string) {
	b := fromBrokerDefaults()
	d.fields(n, settable(&b), path)
	f.Broker, f.QoS = b.MQTT, b.QoS
	for i, s := range b.Topic {
		group, filter, shared := share(s)
		if shared && (group == "" || filter == "" || strings.ContainsAny(group, "+#")) { // [MQTT-4.8.2-1]
			d.problem(fmt.Sprintf("%s.topic[%d]", path, i), "such as $share/millrace/plant/#", "%q lacks a group or a filter", s)
			filter = fmt.Sprint("?", i) // none that another could be
		}
		f.Groups = append(f.Groups, group)
		f.Filters = append(f.Filters, filter)
	}
}

// share takes $share/group/filter apart.
func share(s string) (group, filter string, shared bool) {
	rest, shared := strings.CutPrefix(s, "$share/")
	if !shared {
		return "", s, false
	}
	group, filter, _ = strings.Cut(rest, "/")
	return group, filter, true
}

// OtherBroker returns the one called name, or nil.
func (f *File) OtherBroker(name string) *OtherBroker {
	for i := range f.Brokers {
		if f.Brokers[i].Name == name {
			return &f.Brokers[i]
		}
	}
	return nil
}

// Uses reports whether a pipeline reads from the other broker or publishes to it.
func (f *File) Uses(broker string) bool {
	for i := range f.Pipelines {
		p := &f.Pipelines[i]
		if p.From.Broker == broker || slices.ContainsFunc(p.Targets(), func(list []Target) bool {
			return slices.ContainsFunc(list, func(t Target) bool { return t.Topic != nil && t.Topic.MQTT == broker })
		}) {
			return true
		}
	}
	return false
}

// Subscriptions returns what the pipelines want from another broker. What one
// filter covers is not asked for again, as it would come twice.
func (f *File) Subscriptions(broker string) []Subscription {
	var all []Subscription
	for _, w := range f.wants(broker) {
		all = add(all, w.Subscription)
	}
	return all
}

// add adds s to subscriptions of which none covers another.
func add(all []Subscription, s Subscription) []Subscription {
	for i := range all {
		if covers(all[i].Filter, s.Filter) {
			all[i].QoS = max(all[i].QoS, s.QoS)
			return all
		}
	}
	var rest []Subscription
	for _, one := range all {
		if covers(s.Filter, one.Filter) {
			s.QoS = max(s.QoS, one.QoS)
		} else {
			rest = append(rest, one)
		}
	}
	return append(rest, s)
}

// covers reports whether a brings all that b does; of what is shared only the same.
func covers(a, b string) bool {
	if strings.HasPrefix(a, "$share/") || strings.HasPrefix(b, "$share/") {
		return a == b
	}
	return topics.Covers(a, b)
}

// A want is a subscription, and where it is written.
type want struct {
	Subscription
	inner string // the filter without $share/group/
	path  string
	p     *Pipeline
}

func (f *File) wants(broker string) []want {
	var all []want
	for i := range f.Pipelines {
		p := &f.Pipelines[i]
		if p.From.Broker != broker {
			continue
		}
		for k, s := range p.From.Filters {
			filter, err := topics.ParseFilter(s)
			if err != nil {
				continue // told
			}
			w := want{Subscription{filter.MQTT(), p.From.QoS}, filter.MQTT(), p.From.Place(p.Path, k), p}
			if g := p.From.Groups[k]; g != "" {
				w.Filter = "$share/" + g + "/" + w.inner
			}
			all = append(all, w)
		}
	}
	return all
}

// checkBrokers checks the other brokers and what is wanted from each.
func (d *decoder) checkBrokers(f *File) {
	type identity struct{ url, client string }
	seen := map[identity]string{}
	for i := range f.Brokers {
		b := &f.Brokers[i]
		d.checkOtherBroker(b)
		id := identity{strings.TrimRight(b.URL, "/"), b.ClientID}
		if other := seen[id]; b.ClientID != "" && other != "" {
			d.problem(b.Path+".client_id", "give each a name of its own", "%s has it at the same broker: they would throw each other out", other)
		}
		seen[id] = b.Name
		d.checkWants(f, b)
	}
}

func (d *decoder) checkOtherBroker(b *OtherBroker) {
	u, err := url.Parse(b.URL)
	const example = "such as mqtt://broker.example.org:1883, or mqtts:// with TLS"
	switch at := b.Path + ".url"; {
	case !d.there(at):
		return
	case err != nil:
		d.problem(at, example, "this is no URL of a broker")
		return
	case u.User != nil:
		d.problem(at, "use the keys user and password", "a URL with a password is shown in logs")
	case u.Scheme == "ws" || u.Scheme == "wss":
		d.problem(at, "write mqtt:// or mqtts://", "%s:// is not built yet", u.Scheme)
	case u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Hostname() == "" || u.Port() != "" && !isPort(u.Port()) || strings.Trim(u.Path, "/") != "" || u.RawQuery+u.Fragment != "":
		d.problem(at, example, "this is no URL of a broker")
	}
	for _, key := range []string{"ca", "cert", "key"} {
		if at := b.Path + "." + key; d.there(at) && u.Scheme == "mqtt" {
			d.problem(at+"#key", "write mqtts://"+u.Host, "%s belongs to mqtts://", key)
		}
	}
	for key, other := range map[string]string{"cert": "key", "key": "cert"} {
		if d.there(b.Path+"."+key) && !d.there(b.Path+"."+other) {
			d.problem(b.Path+"."+key+"#key", "they belong together", "missing key %q beside %s", other, key)
		}
	}
	password := d.there(b.Path + ".password")
	switch file := d.there(b.Path + ".password_file"); {
	case password && file:
		d.problem(b.Path+".password_file#key", "leave one of them out", "password is there, too")
	case (password || file) && b.User == "" && b.Version == Older: // [MQTT-3.1.2-22 of 3.1.1]
		d.problem(b.Path+"#key", "add user", "MQTT 3.1.1 has no password without a user")
	}
	if b.KeepAlive%time.Second != 0 || b.KeepAlive > 65535*time.Second {
		d.problem(b.Path+".keep_alive", "such as 30s", "%s is not a whole number of seconds up to 65535", b.KeepAlive)
	}
}

// checkWants makes sure that no message of another broker comes in twice.
func (d *decoder) checkWants(f *File, b *OtherBroker) {
	all := f.wants(b.Name)
	if len(all) > subscriptionsMax {
		d.problem(b.Path+"#key", "take wider filters", "pipelines want %d filters from %s, the most is %d", len(all), b.Name, subscriptionsMax)
		return
	}
	if i := slices.IndexFunc(all, func(w want) bool { return w.QoS > 0 }); i >= 0 && b.ClientID == "" {
		d.problem(all[i].path, "give the broker "+b.Name+" a client_id of its own, or say qos: 0", "nothing would keep messages for us while the link is down: %s has no client_id", b.Name)
	}
	for i, w := range all {
		for _, other := range all[:i] {
			if topics.Overlap(w.inner, other.inner) && !covers(w.Filter, other.Filter) && !covers(other.Filter, w.Filter) {
				d.problem(w.path, "take one wider filter, or let one pipeline read the results of the other", "%s and %s of pipeline %s overlap: some messages would come twice", w.Filter, other.Filter, other.p.Name)
				break
			}
		}
	}
	if b.Version == Older {
		d.checkEchoes(f, b, all)
	}
}

// checkEchoes refuses to publish what would come back. MQTT 5 can tell our own
// messages from others; MQTT 3.1.1 cannot.
func (d *decoder) checkEchoes(f *File, b *OtherBroker, all []want) {
	for i := range f.Pipelines {
		for _, o := range outputs(&f.Pipelines[i], b.Name) {
			at := slices.IndexFunc(all, func(w want) bool { return !w.p.AllowLoop && topics.Overlap(w.inner, o.filter) })
			if at >= 0 {
				d.problem(o.path, "publish elsewhere, use version: 5, or say allow_loop: true in "+all[at].p.Name, "%s may come back to pipeline %s: MQTT 3.1.1 cannot tell our own messages from others", o.topic, all[at].p.Name)
			}
		}
	}
}

// checkFromBroker checks what a pipeline says of another broker.
func (d *decoder) checkFromBroker(f *File, p *Pipeline) {
	if p.From.Broker == "" || d.hasProblem(p.Path+".from.mqtt") {
		return
	}
	d.checkBrokerName(f, p.Path+".from.mqtt", p.From.Broker)
	for i := range p.Steps {
		l := p.Steps[i].Lookup
		if l == nil || l.Topic == "" {
			continue
		}
		for _, s := range p.From.Filters {
			a, err := topics.ParseFilter(s)
			b, wrong := topics.ParseFilter(l.Topic)
			if err == nil && wrong == nil && topics.Overlap(a.MQTT(), b.MQTT()) {
				d.problem(p.Steps[i].Path+".lookup.topic", "keep the table in topics of its own", "messages of %s could not be told from the table's: they are in %s, too", p.From.Broker, s)
			}
		}
	}
}

// checkToBroker checks a topic of another broker.
func (d *decoder) checkToBroker(f *File, t *Target) {
	if !d.there(t.Path + ".mqtt") {
		return
	}
	d.checkBrokerName(f, t.Path+".mqtt", t.Topic.MQTT)
	if t.Topic.QoS > 1 {
		d.problem(t.Path+".qos", "write 1", "QoS 2 is not for other brokers: after a cut a message is sent again")
	}
}

func (d *decoder) checkBrokerName(f *File, path, name string) {
	if f.OtherBroker(name) != nil {
		return
	}
	var names []string
	for i := range f.Brokers {
		names = append(names, f.Brokers[i].Name)
	}
	hint := "describe it under brokers:"
	if len(names) > 0 {
		hint = d.didYouMean(name, "brokers of this file", names)
	}
	d.problem(path, hint, "there is no broker %q", name)
}
