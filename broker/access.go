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
	"sync"
	"sync/atomic"
	"time"
)

const (
	hashesAtOnce = 2           // each takes 19 MiB of memory
	verdictsMax  = 4096        // remembered, of either kind
	usersEvery   = time.Second // between two looks at the file of users
)

// access says who may connect, and what they may do then.
type access struct {
	anonymous string
	command   string
	log       *slog.Logger
	now       func() time.Time
	secret    []byte // so that what is remembered is worth nothing elsewhere
	hashing   chan struct{}
	rules     atomic.Pointer[rules]
	backoff   *backoff
	quiet     *quiet // about what clients do that are known

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
	identity string // the user that its certificate names; "" for none
	given    bool   // a name was
	name     string
	password []byte
}

func newAccess(c Config, log *slog.Logger) (*access, error) {
	a := &access{
		anonymous: c.Anonymous, command: c.UserCommand, log: log, now: time.Now,
		secret: make([]byte, 32), hashing: make(chan struct{}, hashesAtOnce),
		backoff: newBackoff(), quiet: newQuiet(),
		users: userFile{path: c.Users, first: nobody()},
		right: map[verdict]struct{}{}, wrong: map[verdict]struct{}{},
	}
	rand.Read(a.secret)
	a.rules.Store(&rules{access: c.Access})
	if c.Users == "" {
		return a, nil
	}
	a.looked = a.now()
	return a, a.users.load()
}

// check compares the password with the hash of the user. An unknown user
// takes as long as a wrong password. isNew says that it has not been tried
// before, as far as is remembered.
func (a *access) check(ctx context.Context, l login) (right, isNew bool, err error) {
	hash, known := a.lookUp(l.name)
	v := a.verdict(l, hash)
	if right, ok := a.remembered(v); ok {
		return right, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return false, false, ctx.Err()
	}
	if right, ok := a.remembered(v); ok {
		return right, false, nil
	}
	right = hash.matches(l.password) && known
	a.remember(v, right)
	return right, true, nil
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

// lookUp returns the hash of a user, or one that costs as much: somebody
// else's, whose password does not help.
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
	if h, ok := a.users.hashes[name]; ok {
		return h, true
	}
	return a.users.first, false
}

// A userFile is what is known of the file that AddUser keeps.
type userFile struct {
	path   string
	info   os.FileInfo // of what was read; nil if there was no file
	hashes map[string]hash
	first  hash // of them, or one that no password has
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
		f.info, f.hashes, f.first = nil, nil, nobody()
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
	hashes, first := map[string]hash{}, nobody()
	for _, l := range lines {
		if l.name == "" {
			continue
		}
		if len(hashes) == 0 {
			first = l.hash
		}
		hashes[l.name] = l.hash
	}
	f.hashes, f.first = hashes, first
	return nil
}
