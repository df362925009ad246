package broker

import (
	"strings"
	"sync"
	"sync/atomic"
)

// interest knows which filters MQTT clients subscribe to, to answer at once
// whether anybody wants a topic. It is a tree of levels, like mochi's own, but
// asking it allocates nothing.
type interest struct {
	n     atomic.Int64  // subscriptions; mostly there are none
	state atomic.Uint64 // another number whenever any may answer something else

	mu   sync.RWMutex
	root level
}

// A level stands for the levels of filters down to here.
type level struct {
	children map[string]*level
	clients  map[string]struct{} // whose filter ends here
}

func newInterest() *interest { return &interest{} }

// add notes that client subscribes to filter; once is enough.
func (i *interest) add(client, filter string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := &i.root
	for name := range strings.SplitSeq(shared(filter), "/") {
		if l.children == nil {
			l.children = map[string]*level{}
		}
		if l.children[name] == nil {
			l.children[name] = &level{}
		}
		l = l.children[name]
	}
	client = owner(client, filter)
	if _, ok := l.clients[client]; ok {
		return
	}
	if l.clients == nil {
		l.clients = map[string]struct{}{}
	}
	l.clients[client] = struct{}{}
	i.n.Add(1)
	i.state.Add(1)
}

// remove is the opposite of add; once is enough.
func (i *interest) remove(client, filter string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.root.remove(owner(client, filter), strings.Split(shared(filter), "/")) {
		i.n.Add(-1)
		i.state.Add(1)
	}
}

func (l *level) remove(client string, rest []string) bool {
	if len(rest) == 0 {
		_, ok := l.clients[client]
		delete(l.clients, client)
		return ok
	}
	c := l.children[rest[0]]
	if c == nil {
		return false
	}
	ok := c.remove(client, rest[1:])
	if len(c.clients) == 0 && len(c.children) == 0 {
		delete(l.children, rest[0])
	}
	return ok
}

// any reports whether a subscription matches topic [MQTT-4.7].
func (i *interest) any(topic string) bool {
	if i.n.Load() == 0 {
		return false
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.root.any(topic, true, strings.HasPrefix(topic, "$"))
}

func (l *level) any(rest string, more, dollar bool) bool {
	if c := l.children["#"]; c != nil && !dollar && len(c.clients) > 0 {
		return true // the parent level too
	}
	if !more {
		return len(l.clients) > 0
	}
	name, rest, more := strings.Cut(rest, "/")
	if c := l.children[name]; c != nil && c.any(rest, more, false) {
		return true
	}
	c := l.children["+"]
	return c != nil && !dollar && c.any(rest, more, false)
}

// each calls f with every client whose subscription matches topic, more than
// once if several do.
func (i *interest) each(topic string, f func(client string)) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	i.root.each(topic, true, strings.HasPrefix(topic, "$"), f)
}

func (l *level) each(rest string, more, dollar bool, f func(client string)) {
	if c := l.children["#"]; c != nil && !dollar {
		c.tell(f)
	}
	if !more {
		l.tell(f)
		return
	}
	name, rest, more := strings.Cut(rest, "/")
	if c := l.children[name]; c != nil {
		c.each(rest, more, false, f)
	}
	if c := l.children["+"]; c != nil && !dollar {
		c.each(rest, more, false, f)
	}
}

func (l *level) tell(f func(client string)) {
	for c := range l.clients {
		client, _, _ := strings.Cut(c, "\x00")
		f(client)
	}
}

// shared returns the filter inside $share/group/filter, or filter itself.
func shared(filter string) string {
	prefix, rest, ok := strings.Cut(filter, "/")
	if !ok || !strings.EqualFold(prefix, "$share") {
		return filter
	}
	_, inner, _ := strings.Cut(rest, "/")
	return inner
}

// owner tells the subscriptions of a client to $share/g/f, $share/h/f and f apart.
func owner(client, filter string) string {
	if inner := shared(filter); len(inner) != len(filter) {
		return client + "\x00" + filter[:len(filter)-len(inner)]
	}
	return client
}
