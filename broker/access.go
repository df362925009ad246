package broker

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	hashesAtOnce = 2           // each takes 19 MiB of memory
	verdictsMax  = 4096        // remembered, of either kind
	usersEvery   = time.Second // between two looks at the file of users
)

// access says who may connect.
type access struct {
	anonymous string
	command   string
	log       *slog.Logger
	now       func() time.Time
	secret    []byte // so that what is remembered is worth nothing elsewhere
	hashing   chan struct{}

	mu           sync.Mutex
	users        userFile
	looked       time.Time
	right, wrong map[verdict]struct{}
}

// A verdict stands for a user, the hash in the file, and a password tried.
type verdict [sha256.Size]byte

// A login is one try to connect.
type login struct {
	remote   netip.Addr
	given    bool // a name was
	name     string
	password []byte
}

func newAccess(c Config, log *slog.Logger) (*access, error) {
	a := &access{
		anonymous: c.Anonymous, command: c.UserCommand, log: log, now: time.Now,
		secret: make([]byte, 32), hashing: make(chan struct{}, hashesAtOnce),
		users: userFile{path: c.Users},
		right: map[verdict]struct{}{}, wrong: map[verdict]struct{}{},
	}
	rand.Read(a.secret)
	if c.Users == "" {
		return a, nil
	}
	a.looked = a.now()
	return a, a.users.load()
}

// refuses says why a client may not connect; "" if it may. Checking a
// password takes some tenths of a second the first time.
func (a *access) refuses(ctx context.Context, l login) string {
	if !l.given || a.users.path == "" {
		switch {
		case a.anonymous == AnonymousAlways, a.anonymous == AnonymousLoopback && l.remote.IsLoopback():
			return ""
		case a.users.path == "" && l.given:
			return "there is no file of users"
		case a.anonymous == AnonymousLoopback:
			return "a client from another machine has to give a user name"
		}
		return "it gave no user name"
	}
	right, err := a.check(ctx, l)
	switch {
	case err != nil:
		return "too many logins at once"
	case !right:
		return "wrong user name or password"
	}
	return ""
}

// check compares the password with the hash of the user. An unknown user
// takes as long as a wrong password.
func (a *access) check(ctx context.Context, l login) (bool, error) {
	hash, known := a.lookUp(l.name)
	v := a.verdict(l, hash)
	if right, ok := a.remembered(v); ok {
		return right, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if right, ok := a.remembered(v); ok {
		return right, nil
	}
	right := hash.matches(l.password) && known
	a.remember(v, right)
	return right, nil
}

func (a *access) verdict(l login, h hash) verdict {
	m := hmac.New(sha256.New, a.secret)
	for _, part := range []string{l.name, h.String(), text(l.password)} {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		m.Write([]byte(part))
	}
	return verdict(m.Sum(nil))
}

func (a *access) remembered(v verdict) (right, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.right[v]; ok {
		return true, true
	}
	_, ok = a.wrong[v]
	return false, ok
}

func (a *access) remember(v verdict, right bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.wrong
	if right {
		m = a.right
	}
	for old := range m {
		if len(m) < verdictsMax {
			break
		}
		delete(m, old) // any
	}
	m[v] = struct{}{}
}

// lookUp returns the hash of a user, or one that costs as much.
func (a *access) lookUp(name string) (hash, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); now.Sub(a.looked) >= usersEvery {
		a.looked = now
		if changed, err := a.users.reload(); err != nil {
			a.log.Error("the file of users cannot be used; those known go on", "file", a.users.path, "error", err)
		} else if changed {
			a.log.Info("users changed", "file", a.users.path, "users", len(a.users.hashes))
		}
	}
	h, ok := a.users.hashes[name]
	if !ok {
		return nobody(), false
	}
	return h, true
}

// loginRefused counts and logs, with the command that would let the client in.
func (b *Broker) loginRefused(c *conn, l login, why string) {
	b.count.loginsRefused.Inc()
	if !b.quiet.allow("login " + c.remote.String()) {
		return
	}
	attrs := []any{"remote", c.Conn.RemoteAddr().String(), "client", c.clientID(), "user", l.name, "reason", why}
	if b.access.command != "" {
		attrs = append(attrs, "allow", b.access.command+" "+showName(l.name))
	} else {
		attrs = append(attrs, "allow", "name a file in broker.users")
	}
	b.log.Warn("login refused", attrs...)
}

// showName returns a user name if it is safe to paste into a shell.
func showName(name string) string {
	isPlain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r)
	}
	if checkName(name) != nil || name[0] == '-' || strings.TrimFunc(name, isPlain) != "" {
		return "<name>"
	}
	return name
}

// A userFile is what is known of the file that AddUser keeps.
type userFile struct {
	path   string
	info   os.FileInfo // of what was read; nil if there was no file
	hashes map[string]hash
}

// reload reads the file if it has changed. On an error, what was known stays.
func (f *userFile) reload() (changed bool, err error) {
	info, err := os.Stat(f.path)
	switch {
	case os.IsNotExist(err) && f.info == nil:
		return false, nil
	case err == nil && f.info != nil && os.SameFile(info, f.info) && info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size():
		return false, nil
	}
	return true, f.load()
}

// load reads the file; there may be none yet.
func (f *userFile) load() error {
	info, err := os.Stat(f.path)
	if os.IsNotExist(err) {
		f.info, f.hashes = nil, nil
		return nil
	}
	if err != nil {
		return err
	}
	f.info = info // before reading: a later change is noticed
	lines, err := readUsers(f.path)
	if err != nil {
		return err
	}
	hashes := map[string]hash{}
	for _, l := range lines {
		if l.name != "" {
			hashes[l.name] = l.hash
		}
	}
	f.hashes = hashes
	return nil
}
