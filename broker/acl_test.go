package broker

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/millrace/pipeline/topics"
)

// accessOf returns what knows those rules, and nobody's password.
func accessOf(t testing.TB, rules *Access) *access {
	t.Helper()
	c := Defaults()
	c.Access = rules
	if err := c.Access.check(); err != nil {
		t.Fatal(err)
	}
	a, err := newAccess(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// plantRules are rules as a plant has them.
func plantRules() *Access {
	return &Access{
		Everyone:  Rights{Publish: []string{"plant/%u/#"}, Subscribe: []string{"commands/%c/+", "public/#"}, Deny: []string{"plant/+/secret"}},
		Anonymous: &Rights{Publish: []string{"guests"}},
		Users: map[string]Rights{
			"anna":  {Both: []string{"plant/#"}, Subscribe: []string{"$SYS/#"}},
			"board": {Subscribe: []string{"#"}, Deny: []string{"hr/#"}},
			"odd":   {Both: []string{"#"}, Deny: []string{"private/%c"}},
		},
	}
}

func TestRulesSayWhatAClientMayDo(t *testing.T) {
	a := accessOf(t, plantRules())
	for _, c := range []struct {
		user, client string
		publish      string // topics, those that are refused with a !
		read         string
		subscribe    string
	}{
		{"m1", "c1", "plant/m1/temp plant/m1 !plant/m2/temp !plant/m1/secret !commands/c1/x !public/a",
			"commands/c1/x public/a public !commands/c2/x !plant/m1/temp !plant/m1/secret",
			"commands/c1/+ commands/c1/go public/# public/+/x $share/g/public/# !$share/g/plant/# !commands/+/go !commands/c1/# !# !plant/m1/# !$SYS/#"},
		{"anna", "c1", "plant/m2/temp plant !plant/m2/secret !public/a !$SYS/x",
			"plant/m2/temp $SYS/broker/x public/a !plant/m2/secret !hr/x",
			"plant/# $SYS/# plant/m1/+ !plant/m1/secret !plant/+/secret !# !+/m1/temp"},
		{"board", "c1", "plant/board/x !plant/m1/temp", "a plant/m1/temp !hr !hr/pay !plant/x/secret !$SYS/x", "# +/+ !hr/# !hr/pay !$SYS/#"},
		{"", "c1", "guests !plant//temp !plant/temp !guests/a", "commands/c1/x public/a !guests", "public/# !guests !plant/#"},
		{"m1", "a/b", "plant/m1/temp", "public/a !commands/a/b !commands/a/b/c", "public/a !commands/a/b/c !commands/a/b/+"},
		{"m1", "+", "plant/m1/temp", "public/a !commands/c1/x", "!commands/+/+ !commands/c1/x"},
		{"m1", "#", "plant/m1/temp", "public/a !commands/c1/x", "!commands/# !commands/#/x"},
		{"+", "c1", "!plant/m1/temp !plant/+/temp", "commands/c1/x", ""},
		{"#", "c1", "!plant/m1/temp !plant", "", ""},
		{"%c", "m1", "!plant/m1/temp plant/%c/temp", "", ""},
		{"Anna", "c1", "!plant/m2/temp", "", ""},
		{"odd", "c1", "private/c2 !private/c1", "x", "#"},
		{"odd", "a/b", "!private/c2 !x !plant/odd/x", "!x !public/a", "!# !public/a"},
	} {
		who := &identity{user: c.user, client: c.client}
		try := func(what, list string, may func(topic string) bool) {
			for _, topic := range strings.Fields(list) {
				topic, refused := strings.CutPrefix(topic, "!")
				if got := may(topic); got == refused {
					t.Errorf("user %q, client %q: may %s %s: got %v", c.user, c.client, what, topic, got)
				}
			}
		}
		try("publish to", c.publish, func(topic string) bool { return a.mayPublish(who, []byte(topic)) })
		try("read", c.read, func(topic string) bool { return a.mayRead(who, topic) })
		try("subscribe to", c.subscribe, func(f string) bool { return a.maySubscribe(who, f) })
	}
}

func TestAnonymousClientsOfTheSameMachineAreBoundOnlyByRulesForThem(t *testing.T) {
	rules := &Access{Users: map[string]Rights{"anna": {Both: []string{"a"}}}}
	nearby, far, anna := &identity{local: true}, &identity{}, &identity{user: "anna", local: true}
	a := accessOf(t, rules)
	check := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("on the same machine", a.mayPublish(nearby, []byte("x")), true)
	check("from elsewhere", a.mayPublish(far, []byte("x")), false)
	check("a user of the same machine", a.mayPublish(anna, []byte("x")), false)
	rules.Anonymous = &Rights{}
	a = accessOf(t, rules)
	nearby = &identity{local: true}
	check("with rules for anonymous clients", a.mayPublish(nearby, []byte("x")), false)
	free := accessOf(t, nil)
	check("without rules", free.maySubscribe(&identity{}, "#") && free.mayRead(&identity{}, "x") && free.mayPublish(&identity{}, []byte("x")), true)
}

// What a client may publish, read and subscribe to is what a comparison of
// every topic with every filter says.
func TestRightsAreThoseOfEveryTopicByItself(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	words := []string{"a", "b", "other", "u/v"}
	var names []string
	for _, x := range words {
		names = append(names, x)
		for _, y := range words {
			names = append(names, x+"/"+y)
			for _, z := range words {
				names = append(names, x+"/"+y+"/"+z)
			}
		}
	}
	pool := []string{"#", "+", "+/#", "a/#", "a/+", "+/b", "%u/#", "a/%c", "a/%u/%c", "%c/+/b", "b", "a/b/#", "+/+/+"}
	some := func(n int) (list []string) {
		for range random.IntN(n + 1) {
			list = append(list, pool[random.IntN(len(pool))])
		}
		return list
	}
	any := func(filters []string, topic string) bool {
		return slices.ContainsFunc(filters, func(s string) bool {
			f, err := topics.ParseFilter(s)
			return err == nil && f.Match(topic)
		})
	}
	for range 2000 {
		r := Rights{Publish: some(3), Subscribe: some(3), Both: some(2), Deny: some(1)}
		who := &identity{user: words[random.IntN(3)], client: words[random.IntN(3)]}
		a := accessOf(t, &Access{Everyone: r})
		fill := func(list []string) (filled []string) {
			for _, f := range list {
				filled = append(filled, strings.ReplaceAll(strings.ReplaceAll(f, "%u", who.user), "%c", who.client))
			}
			return filled
		}
		publish, subscribe, deny := fill(append(r.Publish, r.Both...)), fill(append(r.Subscribe, r.Both...)), fill(r.Deny)
		filter := fill(pool[:])[random.IntN(len(pool))]
		inside, left := true, false
		for _, topic := range names {
			if got, want := a.mayPublish(who, []byte(topic)), any(publish, topic) && !any(deny, topic); got != want {
				t.Fatalf("%+v, %+v: publish %s: got %v, want %v", r, who, topic, got, want)
			}
			may := any(subscribe, topic)
			if got, want := a.mayRead(who, topic), may && !any(deny, topic); got != want {
				t.Fatalf("%+v, %+v: read %s: got %v, want %v", r, who, topic, got, want)
			}
			if any([]string{filter}, topic) {
				inside = inside && may
				left = left || !any(deny, topic)
			}
		}
		if got := a.maySubscribe(who, filter); got != (inside && left) {
			t.Fatalf("%+v, %+v: subscribe %s: got %v, want %v", r, who, filter, got, inside && left)
		}
	}
}

// No client identifier and no user name gets more than its own level.
func FuzzNamesDoNotWidenRules(f *testing.F) {
	for _, s := range []string{"a", "+", "#", "a/#", "/", "", "$SYS", "%u", "%c", "{x}", "a\x00", "ü"} {
		f.Add(s, s)
	}
	a := accessOf(f, &Access{Everyone: Rights{Both: []string{"u/%u/x", "c/%c/x", "%u", "%c"}}})
	f.Fuzz(func(t *testing.T, user, client string) {
		who := &identity{user: user, client: client}
		for _, topic := range []string{"u/other/x", "c/other/x", "u/a/b/x", "$SYS", "$SYS/x", "other", "u", "c/x"} {
			own := topic == "u/"+user+"/x" || topic == "c/"+client+"/x" || topic == user || topic == client
			if !own && (a.mayPublish(who, []byte(topic)) || a.mayRead(who, topic) || a.maySubscribe(who, topic)) {
				t.Errorf("user %q, client %q: %s is allowed", user, client, topic)
			}
		}
		for _, filter := range []string{"#", "+", "u/#", "u/+/x", "c/+/x", "$SYS/#", "+/+/x"} {
			if a.maySubscribe(who, filter) {
				t.Errorf("user %q, client %q: %s is allowed", user, client, filter)
			}
		}
	})
}

func TestRulesThatAreNoneAreRefused(t *testing.T) {
	many := make([]string, rightsFiltersMax+1)
	for i := range many {
		many[i] = fmt.Sprint("a/", i)
	}
	for _, c := range []struct {
		access Access
		want   string
	}{
		{Access{Everyone: Rights{Publish: []string{"a/#/b"}}}, "access of everyone: filter"},
		{Access{Anonymous: &Rights{Deny: []string{""}}}, "access of anonymous: filter is empty"},
		{Access{Users: map[string]Rights{"u": {Subscribe: []string{"a+"}}}}, "access of user u: filter"},
		{Access{Users: map[string]Rights{"a:b": {}}}, "has a colon"},
		{Access{Users: map[string]Rights{"u": {Both: many}}}, "the most for a client is 1000"},
	} {
		o := Defaults()
		o.Listen, o.Access = []string{"mqtt://:0"}, &c.access
		if err := o.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func BenchmarkMayRead(b *testing.B) {
	a := accessOf(b, plantRules())
	who := &identity{user: "anna", client: "c1"}
	b.ReportAllocs()
	for b.Loop() {
		a.mayRead(who, "plant/line1/motor/m1/reading")
	}
}
