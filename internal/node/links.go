package node

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"millrace.dev/millrace/broker"
	"millrace.dev/millrace/internal/config"
	"millrace.dev/millrace/internal/journal"
	"millrace.dev/millrace/sinks"
)

// sourcesMax is how many brokers, the embedded one too, a node may have had;
// the number of each stays its own, as messages in the journal have it.
const sourcesMax = 32

// A link is one to another broker that a node has opened, with what it was
// opened for.
type link struct {
	*broker.Link
	number int // no other link of the node has it
	config broker.LinkConfig
	files  []stamp
	end    context.CancelFunc // ends Run; nil before it begins
	ended  chan struct{}      // closed when Run has returned
}

// begin begins a flight for a sink.
func (l *link) begin(ctx context.Context) (sinks.Flight, error) {
	f, err := l.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openLinks returns links to all brokers that pipelines of f use, by name,
// those of old where nothing has changed.
func (n *Node) openLinks(f *config.File, old *running) (map[string]*link, error) {
	all := map[string]*link{}
	for i := range f.Brokers {
		b := &f.Brokers[i]
		if !f.Uses(b.Name) {
			continue
		}
		c, err := linkConfig(f, b)
		if err != nil {
			return nil, f.Problem(b.Path, err.Error(), "")
		}
		files := stampsOf(f.Reads(*b))
		if old != nil {
			if l := old.links[b.Name]; l != nil && reflect.DeepEqual(l.config, c) && slices.Equal(l.files, files) {
				all[b.Name] = l
				continue
			}
		}
		l, err := n.openLink(c)
		if err != nil {
			return nil, f.Problem(b.Path, err.Error(), "")
		}
		l.files = files
		all[b.Name] = l
	}
	return all, nil
}

func (n *Node) openLink(c broker.LinkConfig) (*link, error) {
	source, err := n.source(c.Name)
	if err != nil {
		return nil, err
	}
	l, err := broker.NewLink(broker.LinkOptions{
		Config: c, Journal: n.journal, Metrics: n.metrics, Log: n.log,
		Route: func(topic []byte) (uint32, journal.Durability) { return n.routes.Load().from(source, topic) },
	})
	if err != nil {
		return nil, err
	}
	n.linked++
	return &link{Link: l, number: n.linked, config: c, ended: make(chan struct{})}, nil
}

// source returns the number of another broker; the embedded one has 0.
func (n *Node) source(name string) (int, error) {
	if i := slices.Index(n.others, name); i >= 0 {
		return i + 1, nil
	}
	if len(n.others) == sourcesMax-1 {
		return 0, fmt.Errorf("more than %d other brokers in the life of the journal", sourcesMax-1)
	}
	n.others = append(n.others, name)
	return len(n.others), n.keepBrokers()
}

func linkConfig(f *config.File, b *config.OtherBroker) (broker.LinkConfig, error) {
	password, err := secret(f, string(b.Password), b.PasswordFile)
	if err != nil {
		return broker.LinkConfig{}, err
	}
	c := broker.LinkConfig{
		Name: b.Name, URL: b.URL, User: b.User, Password: password, ClientID: b.ClientID,
		Version: string(b.Version), KeepAlive: b.KeepAlive, PacketBytesMax: uint32(f.Broker.MaxPacket),
	}
	for key, path := range map[*string]string{&c.CA: b.CA, &c.Cert: b.Cert, &c.Key: b.Key} {
		if path != "" {
			*key = f.Join(path)
		}
	}
	for _, s := range f.Subscriptions(b.Name) {
		c.Subscriptions = append(c.Subscriptions, broker.Subscription{Filter: s.Filter, QoS: byte(s.QoS)})
	}
	return c, nil
}

// linksOf returns the numbers of the links that targets publish through.
func linksOf(targets []config.Target, links map[string]*link) []int {
	var all []int
	for i := range targets {
		if t := targets[i].Topic; t != nil && t.MQTT != "" {
			all = append(all, links[t.MQTT].number)
		}
	}
	return all
}

// join starts the links that do not run yet.
func (n *Node) join(next *running) {
	for _, l := range next.links {
		if l.end == nil {
			var ctx context.Context
			ctx, l.end = context.WithCancel(n.serve)
			n.servers.Go(func() {
				defer close(l.ended)
				l.Run(ctx)
			})
		}
	}
}

// part ends the links of old that next does not have.
func part(old, next *running) {
	for name, l := range old.links {
		if next.links[name] != l && l.end != nil {
			l.end()
			<-l.ended
		}
	}
}
