package broker

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// The cost of a hash that we make, as OWASP recommends for argon2id (RFC 9106).
const (
	hashMemory  = 19 << 10 // KiB
	hashTime    = 2
	hashThreads = 1
	hashBytes   = 32
	saltBytes   = 16
)

// The most that a line of the file may ask for.
const (
	hashMemoryMax  = 256 << 10 // KiB
	hashTimeMax    = 16
	hashThreadsMax = 16
	bcryptCostMax  = 15
	pbkdf2Max      = 1_000_000 // iterations
)

// A hash is what a file of users keeps of a password.
type hash interface {
	matches(password []byte) bool
	String() string // as it stands in the file
}

// parseHash reads what follows a user's name.
func parseHash(s string) (hash, error) {
	switch {
	case strings.HasPrefix(s, "$argon2id$"):
		return parseArgon2(s)
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		return parseBcrypt(s)
	case strings.HasPrefix(s, "$7$"):
		return parsePBKDF2(s)
	}
	return nil, errors.New("what follows the name is not $argon2id$…, $2b$… (bcrypt) or $7$… (mosquitto)")
}

// An argon2Hash is an argon2id hash and what it was made with.
type argon2Hash struct {
	memory, time uint32
	threads      uint8
	salt, sum    string
}

func newHash(password string) hash {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	h := argon2Hash{hashMemory, hashTime, hashThreads, string(salt), strings.Repeat("\x00", hashBytes)}
	h.sum = string(h.of([]byte(password)))
	return h
}

// nobody returns a hash that no password has.
func nobody() hash {
	return argon2Hash{hashMemory, hashTime, hashThreads, strings.Repeat("\x00", saltBytes), strings.Repeat("\x00", hashBytes)}
}

func (h argon2Hash) of(password []byte) []byte {
	return argon2.IDKey(password, []byte(h.salt), h.time, h.memory, h.threads, uint32(len(h.sum)))
}

func (h argon2Hash) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.of(password), []byte(h.sum)) == 1
}

func (h argon2Hash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		enc.EncodeToString([]byte(h.salt)), enc.EncodeToString([]byte(h.sum)))
}

func parseArgon2(s string) (hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errors.New("what follows the name is not $argon2id$v=19$…")
	}
	var h argon2Hash
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); n != 3 || err != nil {
		return nil, fmt.Errorf("%q is not m=…,t=…,p=…", parts[3])
	}
	if h.threads < 1 || h.threads > hashThreadsMax || h.time < 1 || h.time > hashTimeMax || h.memory < 8*uint32(h.threads) || h.memory > hashMemoryMax {
		return nil, fmt.Errorf("%s is more, or less, than is sensible", parts[3])
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(sum) < 16 || len(sum) > 64 {
		return nil, errDamaged
	}
	h.salt, h.sum = string(salt), string(sum)
	return h, nil
}

var errDamaged = errors.New("salt or hash is damaged")

// A bcryptHash is one as htpasswd -B and others write it.
type bcryptHash string

func parseBcrypt(s string) (hash, error) {
	const length = 60
	cost, err := bcrypt.Cost([]byte(s))
	switch {
	case err != nil || len(s) != length:
		return nil, errDamaged
	case cost > bcryptCostMax:
		return nil, fmt.Errorf("a bcrypt cost of %d is more than is sensible", cost)
	}
	return bcryptHash(s), nil
}

func (h bcryptHash) matches(password []byte) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), password) == nil
}

func (h bcryptHash) String() string { return string(h) }

// A pbkdf2Hash is one of mosquitto_passwd: PBKDF2 with SHA-512.
type pbkdf2Hash struct {
	iterations int
	salt, sum  string
}

func parsePBKDF2(s string) (hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 5 {
		return nil, errors.New("what follows the name is not $7$iterations$salt$hash")
	}
	var h pbkdf2Hash
	var err error
	if h.iterations, err = strconv.Atoi(parts[2]); err != nil || h.iterations < 1 || h.iterations > pbkdf2Max {
		return nil, fmt.Errorf("%q is no sensible number of iterations", parts[2])
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[3])
	sum, err2 := base64.StdEncoding.DecodeString(parts[4])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(sum) != sha512.Size {
		return nil, errDamaged
	}
	h.salt, h.sum = string(salt), string(sum)
	return h, nil
}

func (h pbkdf2Hash) matches(password []byte) bool {
	sum, err := pbkdf2.Key(sha512.New, text(password), []byte(h.salt), h.iterations, sha512.Size)
	return err == nil && subtle.ConstantTimeCompare(sum, []byte(h.sum)) == 1
}

func (h pbkdf2Hash) String() string {
	enc := base64.StdEncoding
	return fmt.Sprintf("$7$%d$%s$%s", h.iterations, enc.EncodeToString([]byte(h.salt)), enc.EncodeToString([]byte(h.sum)))
}
