package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	here = netip.MustParseAddr("127.0.0.1")
	lan  = netip.MustParseAddr("192.168.1.7")
)

func TestWhoMayConnect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := AddUser(file, "sensor1", "right"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		anonymous, users string
		remote           netip.Addr
		name, password   string
		want             string
	}{
		{AnonymousLoopback, "", here, "", "", ""},
		{AnonymousLoopback, "", netip.MustParseAddr("::1"), "", "", ""},
		{AnonymousLoopback, "", here, "any", "any", ""},
		{AnonymousLoopback, "", lan, "", "", "a client from another machine has to give a user name"},
		{AnonymousLoopback, "", lan, "any", "any", "there is no file of users"},
		{AnonymousLoopback, file, lan, "sensor1", "right", ""},
		{AnonymousLoopback, file, lan, "sensor1", "wrong", "wrong user name or password"},
		{AnonymousLoopback, file, here, "sensor1", "wrong", "wrong user name or password"},
		{AnonymousLoopback, file, lan, "sensor2", "right", "wrong user name or password"},
		{AnonymousLoopback, file, lan, "sensor1", "", "wrong user name or password"},
		{AnonymousAlways, "", lan, "", "", ""},
		{AnonymousAlways, file, lan, "", "", ""},
		{AnonymousAlways, file, lan, "sensor1", "wrong", "wrong user name or password"},
		{AnonymousNever, file, here, "", "", "it gave no user name"},
		{AnonymousNever, file, here, "sensor1", "right", ""},
	} {
		a, err := newAccess(Config{Anonymous: c.anonymous, Users: c.users}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l := login{remote: c.remote, given: c.name != "", name: c.name, password: []byte(c.password)}
		for range 2 { // the second time from memory
			if got := a.refuses(context.Background(), l); got != c.want {
				t.Errorf("%+v: got %q, want %q", c, got, c.want)
			}
		}
	}
}

func TestARefusedLoginLogsTheCommandThatLetsItIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	s := start(t, func(o *Options, b *Broker) {
		o.Config.Users, o.Config.Anonymous = file, AnonymousNever
		o.Config.UserCommand = "millrace user add -file " + file
		if b != nil {
			now := time.Now()
			b.quiet.now = func() time.Time { now = now.Add(quietFor); return now }
		}
	})
	try := func(h hello) byte {
		w := s.plug()
		w.v5 = h.v5
		w.send(h.bytes())
		return w.expect(2).body[1]
	}
	if got := try(hello{id: "a", v5: true}); got != 0x86 {
		t.Errorf("got reason 0x%02x, want 0x86", got)
	}
	if got := try(hello{id: "b", user: "sensor1", password: "pw"}); got != 5 {
		t.Errorf("got return code %d, want 5, not authorized", got)
	}
	try(hello{id: "c", user: "x; rm -rf /", password: "pw"})
	try(hello{id: "d", user: "-rf", password: "pw"})
	log := s.log.String()
	for _, want := range []string{
		`client=a user="" reason="it gave no user name" allow="millrace user add -file ` + file + ` <name>"`,
		`client=b user=sensor1 reason="wrong user name or password" allow="millrace user add -file ` + file + ` sensor1"`,
		`client=c user="x; rm -rf /" reason="wrong user name or password" allow="millrace user add -file ` + file + ` <name>"`,
		`client=d user=-rf reason="wrong user name or password" allow="millrace user add -file ` + file + ` <name>"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
	if n := s.metric("millrace_broker_logins_refused_total"); n != 4 {
		t.Errorf("got %d refused logins, want 4", n)
	}
	// The command is run; the broker notices by itself.
	if err := AddUser(file, "sensor1", "pw"); err != nil {
		t.Fatal(err)
	}
	until(t, "the user may connect", func() bool { return try(hello{id: "b", user: "sensor1", password: "pw"}) == 0 })
	if err := RemoveUser(file, "sensor1"); err != nil {
		t.Fatal(err)
	}
	until(t, "the user may not connect", func() bool { return try(hello{id: "b", user: "sensor1", password: "pw"}) != 0 })
}

func TestALogLineAboutAnAddressComesSeldom(t *testing.T) {
	q := newQuiet()
	now := time.Unix(0, 0)
	q.now = func() time.Time { return now }
	check := func(thing string, want bool) {
		t.Helper()
		if got := q.allow(thing); got != want {
			t.Errorf("%s: got %v, want %v", thing, got, want)
		}
	}
	check("a", true)
	check("a", false)
	check("b", true)
	now = now.Add(quietFor - 1)
	check("a", false)
	now = now.Add(1)
	check("a", true)
	for i := range 2 * quietThingsMax {
		q.allow(fmt.Sprint(i))
	}
	if len(q.last) > quietThingsMax {
		t.Errorf("remembers %d things, want at most %d", len(q.last), quietThingsMax)
	}
	check("one too many", false)
	now = now.Add(quietFor)
	check("one too many", true)
}

func TestVerdictsAreRememberedAndBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := AddUser(file, "u", "old"); err != nil {
		t.Fatal(err)
	}
	a, err := newAccess(Config{Anonymous: AnonymousNever, Users: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a.now = func() time.Time { return now }
	old := login{remote: lan, given: true, name: "u", password: []byte("old")}
	if why := a.refuses(context.Background(), old); why != "" {
		t.Fatal(why)
	}
	a.hashing <- struct{}{}
	a.hashing <- struct{}{} // no hash can be computed now
	if why := a.refuses(context.Background(), old); why != "" {
		t.Errorf("a storm of reconnections needs hashes: %s", why)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	other := old
	other.password = []byte("other")
	if why := a.refuses(ctx, other); why != "too many logins at once" {
		t.Errorf("got %q", why)
	}
	<-a.hashing
	<-a.hashing
	if err := AddUser(file, "u", "new"); err != nil {
		t.Fatal(err)
	}
	if why := a.refuses(context.Background(), old); why != "" {
		t.Error("the file is looked at more often than once a second")
	}
	now = now.Add(usersEvery)
	if why := a.refuses(context.Background(), old); why == "" {
		t.Error("the old password is still remembered")
	}
	for i := range 3 * verdictsMax {
		a.remember(verdict{byte(i), byte(i >> 8), byte(i >> 16)}, i%2 == 0)
	}
	if len(a.right) > verdictsMax || len(a.wrong) > verdictsMax {
		t.Errorf("remembers %d and %d verdicts, want at most %d", len(a.right), len(a.wrong), verdictsMax)
	}
}

func TestADamagedFileOfUsersLeavesThoseKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := AddUser(file, "u", "pw"); err != nil {
		t.Fatal(err)
	}
	var log syncBuffer
	a, err := newAccess(Config{Anonymous: AnonymousNever, Users: file}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a.now = func() time.Time { now = now.Add(usersEvery); return now }
	if err := os.WriteFile(file, []byte("u:clear text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := login{remote: lan, given: true, name: "u", password: []byte("pw")}
	if why := a.refuses(context.Background(), l); why != "" {
		t.Errorf("got %q", why)
	}
	if !strings.Contains(log.String(), "users.txt:1: what follows the name is not $argon2id$…, $2b$") {
		t.Errorf("the log does not tell: %s", &log)
	}
}

func TestUsersAreAddedListedAndRemoved(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "users.txt")
	if names, err := Users(file); err != nil || names != nil {
		t.Errorf("got %v, %v, want none", names, err)
	}
	if err := os.WriteFile(file, []byte("# ours\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "a", "b", "größe"} {
		if err := AddUser(file, name, "pw "+name); err != nil {
			t.Fatal(err)
		}
	}
	names, err := Users(file)
	if err != nil {
		t.Fatal(err)
	}
	checkTexts(t, names, []string{"b", "a", "größe"})
	if err := RemoveUser(file, "a"); err != nil {
		t.Fatal(err)
	}
	if err := RemoveUser(file, "a"); err == nil || !strings.Contains(err.Error(), `no user "a"`) {
		t.Errorf("got %v", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 5 || lines[0] != "# ours" || lines[1] != "" || !strings.HasPrefix(lines[2], "b:$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the file is %q", lines)
	}
	if info, _ := os.Stat(file); info.Mode() != 0o600 {
		t.Errorf("its mode is %v, want 0600", info.Mode())
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("%d files are there, want 1", len(all))
	}
}

func TestUsersThatCannotBeAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	for _, c := range []struct{ name, password, want string }{
		{"", "pw", "needs a name"},
		{"a:b", "pw", "has a colon"},
		{"a\nb", "pw", "control character"},
		{"#a", "pw", "begins with #"},
		{" a", "pw", "a space"},
		{"\xff", "pw", "not UTF-8"},
		{strings.Repeat("x", nameBytesMax+1), "pw", "the most is 128"},
		{"a", "", "password is empty"},
		{"a", strings.Repeat("x", 65536), "MQTT carries 65535"},
	} {
		if err := AddUser(file, c.name, c.password); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file was made")
	}
	if err := AddUser(filepath.Join(file, "no", "folder"), "a", "pw"); err == nil {
		t.Error("a user was added in a folder that is not there")
	}
	good := newHash("pw").String()
	for _, c := range []struct{ text, want string }{
		{"a:" + good + "\nb", "users.txt:2: what follows the name"},
		{"a:" + good + "\n#\na:" + good, "users.txt:3: user a is there twice"},
		{"a:" + strings.Replace(good, "m=19456", "m=1000000", 1), "more, or less, than is sensible"},
		{"a:" + strings.Replace(good, "t=2", "t=0", 1), "more, or less, than is sensible"},
		{"a:" + strings.Replace(good, "p=1", "q=1", 1), "is not m="},
		{"a:" + good[:len(good)-1] + "!", "damaged"},
		{"a:" + good[:len(good)-30], "damaged"},
		{":" + good, "needs a name"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{AddUser(file, "z", "pw"), RemoveUser(file, "a")} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.30q: got %v, want %q", c.text, err, c.want)
			}
		}
	}
}

func TestManyLoginsComputeTwoHashesAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	a, err := newAccess(Config{Anonymous: AnonymousNever, Users: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if cap(a.hashing) != 2 {
		t.Errorf("%d hashes at once, want 2", cap(a.hashing))
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			l := login{remote: lan, given: true, name: "nobody", password: []byte{byte(i)}}
			if why := a.refuses(context.Background(), l); why != "wrong user name or password" {
				t.Errorf("got %q", why)
			}
		})
	}
	all.Wait()
	if n := len(a.wrong); n != 6 {
		t.Errorf("%d hashes were computed, want 6: an unknown user costs as much", n)
	}
}
