package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"millrace.dev/millrace/pipeline/topics"
)

// Access says which topics clients may publish to and subscribe to. What no
// rule allows is denied, a denial wins over whatever allows, and the order of
// rules means nothing.
//
// Without Anonymous, a client of the same machine that gives no user is bound
// by nothing, as if there were no Access.
type Access struct {
	Everyone  Rights            // of every client that is bound
	Anonymous *Rights           // of those without a user, beside Everyone
	Users     map[string]Rights // by user, beside Everyone
}

// Rights are MQTT filters. In them %u stands for the user and %c for the
// client identifier. One that is no single level of a topic, as it has a / or a
// wildcard, or begins with $, fits nowhere: a rule that allows gives it
// nothing, and one that denies takes everything.
type Rights struct{ Publish, Subscribe, Both, Deny []string }

// rightsFiltersMax is how many filters may bind one client: each is compared.
const rightsFiltersMax = 1000

// check finds filters that are none.
func (a *Access) check() error {
	if a == nil {
		return nil
	}
	everyone := a.Everyone.count()
	all := map[string]*Rights{"everyone": &a.Everyone}
	if a.Anonymous != nil {
		all["anonymous"] = a.Anonymous
	}
	for user, r := range a.Users {
		if err := checkName(user); err != nil {
			return fmt.Errorf("broker: access: %w", err)
		}
		all["user "+user] = &r
	}
	for who, r := range all {
		if n := everyone + r.count(); n > rightsFiltersMax {
			return fmt.Errorf("broker: access of %s: %d filters, the most for a client is %d", who, n, rightsFiltersMax)
		}
		for _, f := range slices.Concat(r.Publish, r.Subscribe, r.Both, r.Deny) {
			if _, err := topics.ParseFilter(f); err != nil {
				return fmt.Errorf("broker: access of %s: %w", who, err)
			}
		}
	}
	return nil
}

func (r *Rights) count() int { return len(r.Publish) + len(r.Subscribe) + len(r.Both) + len(r.Deny) }

// An action is what rules allow or deny.
type action string

const (
	actPublish   action = "publish"
	actSubscribe action = "subscribe"
	actDeliver   action = "deliver" // of a message that a subscription matches
	actWill      action = "will"
)

// An identity is who a client is, for as long as it is connected and its
// session is kept.
type identity struct {
	user   string // whom a password or a certificate has shown it to be; "" for nobody
	name   string // whom it says to be; it means nothing to rules
	client string // its identifier
	local  bool   // it is on the same machine
	rights atomic.Pointer[rights]
}

// rules are an edition of what Config.Access says.
type rules struct {
	edition uint64
	access  *Access // nil: everybody may do everything
}

// rights are what rules mean for one identity.
type rights struct {
	edition                  uint64
	all                      bool // nothing binds it
	publish, subscribe, deny topics.Set
}

// of works out the rights of an identity.
func (r *rules) of(who *identity) *rights {
	to := &rights{edition: r.edition}
	if r.access == nil || who.user == "" && who.local && r.access.Anonymous == nil {
		to.all = true
		return to
	}
	own := r.access.Anonymous
	if who.user != "" {
		rights := r.access.Users[who.user]
		own = &rights
	}
	for _, r := range []*Rights{&r.access.Everyone, own} {
		if r != nil && !to.add(r, who) {
			return &rights{edition: to.edition}
		}
	}
	return to
}

// add adds what r means for who. It returns false if who has no rights at all.
func (to *rights) add(r *Rights, who *identity) bool {
	for _, f := range slices.Concat(r.Publish, r.Both) {
		if levels := who.fill(f); levels != nil {
			to.publish.Add(levels)
		}
	}
	for _, f := range slices.Concat(r.Subscribe, r.Both) {
		if levels := who.fill(f); levels != nil {
			to.subscribe.Add(levels)
		}
	}
	for _, f := range r.Deny {
		levels := who.fill(f)
		switch {
		case levels != nil:
			to.deny.Add(levels)
		case who.user == "" && strings.Contains(f, "%u"): // it is about users
		default:
			return false // it cannot be told which topics are denied
		}
	}
	return true
}

// fill returns the levels of a filter with who in the place of %u and %c, or
// nil if that does not fit.
func (who *identity) fill(filter string) []string {
	f, err := topics.ParseFilter(filter)
	if err != nil {
		return nil // check has told
	}
	levels := strings.Split(f.MQTT(), "/")
	for i, l := range levels {
		if strings.Contains(l, "%u") && !isOneLevel(who.user) || strings.Contains(l, "%c") && !isOneLevel(who.client) {
			return nil
		}
		levels[i] = strings.NewReplacer("%u", who.user, "%c", who.client).Replace(l) // in one go: a user may be named %c
	}
	return levels
}

// isOneLevel reports whether s can be (part of) a level and nothing more.
func isOneLevel(s string) bool { return s != "" && s[0] != '$' && !strings.ContainsAny(s, "/+#\x00") }

// edition returns another number whenever what follows may answer something
// else for the same identity; until then answers may be remembered.
func (a *access) edition() uint64 { return a.rules.Load().edition }

// rightsOf returns what binds who now. Any goroutine may call it and what
// rests on it.
func (a *access) rightsOf(who *identity) *rights {
	now := a.rules.Load()
	r := who.rights.Load()
	if r == nil || r.edition != now.edition {
		r = now.of(who)
		who.rights.Store(r)
	}
	return r
}

// mayPublish reports whether who may publish to a valid topic, which is not kept.
func (a *access) mayPublish(who *identity, topic []byte) bool {
	r := a.rightsOf(who)
	return r.all || r.publish.Has(text(topic)) && !r.deny.Has(text(topic))
}

// mayRead reports whether who may get a message of topic.
func (a *access) mayRead(who *identity, topic string) bool {
	r := a.rightsOf(who)
	return r.all || r.subscribe.Has(topic) && !r.deny.Has(topic)
}

// maySubscribe reports whether who may subscribe to a valid filter, shared or
// not: all that it matches must be allowed, and not all be denied. What is
// denied of it, mayRead keeps away.
func (a *access) maySubscribe(who *identity, filter string) bool {
	r := a.rightsOf(who)
	filter = shared(filter)
	return r.all || r.subscribe.Covers(filter) && !r.deny.Covers(filter)
}
