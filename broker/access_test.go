package broker

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

func TestWhoGuessesPasswordsHasToWait(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := AddUser(file, "u", "right"); err != nil {
		t.Fatal(err)
	}
	a, err := newAccess(Config{Anonymous: AnonymousNever, Users: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	a.now = func() time.Time { return now }
	guesses := 0
	login := func(from netip.Addr, password string) string {
		return a.refuses(context.Background(), login{remote: from, given: true, name: "u", password: []byte(password)})
	}
	guess := func() {
		t.Helper()
		guesses++
		if got := login(lan, string(rune('a'+guesses))); got != "wrong user name or password" {
			t.Fatalf("guess %d: got %q", guesses, got)
		}
	}
	waits := func(from netip.Addr, password string) {
		t.Helper()
		if got := login(from, password); got != refusedWaits {
			t.Errorf("after %d guesses: got %q, want %q", guesses, got, refusedWaits)
		}
	}
	welcome := func(from netip.Addr) {
		t.Helper()
		if got := login(from, "right"); got != "" {
			t.Errorf("after %d guesses: got %q, want to be let in", guesses, got)
		}
	}
	for range wrongFree {
		guess()
	}
	for range 100 { // a device with an old password
		if got := login(lan, "b"); got != "wrong user name or password" {
			t.Fatalf("got %q", got)
		}
	}
	welcome(lan)
	for wait := wrongWait; wait < 4*wrongWaitMax; wait *= 2 {
		guess()
		waits(lan, "right") // or a guess that is right could be told from others
		waits(lan, "another")
		welcome(here)
		now = now.Add(min(wait, wrongWaitMax) - 1)
		waits(lan, "right")
		now = now.Add(1)
		welcome(lan)
	}
	now = now.Add(wrongKept)
	for range wrongFree {
		guess()
	}
	welcome(lan)
}

func TestAddressesOfOneOwnerWaitTogether(t *testing.T) {
	b, now := newBackoff(), time.Unix(1e9, 0)
	check := func(address string, want bool) {
		t.Helper()
		if got := b.wait(netip.MustParseAddr(address), now) > 0; got != want {
			t.Errorf("%s waits: got %v, want %v", address, got, want)
		}
	}
	for i := range wrongFree + 1 {
		b.failed(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}), now)
	}
	check("2001:db8::ffff", true)
	check("2001:db8:0:1::1", false)
	for i := range 2 * guessersMax {
		b.failed(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now)
	}
	if len(b.from) > guessersMax {
		t.Errorf("%d addresses are remembered, want at most %d", len(b.from), guessersMax)
	}
}

func TestACertificateStandsForAPassword(t *testing.T) {
	a := accessOf(t, nil)
	l := login{remote: lan, identity: "m1", given: true, name: "other", password: []byte("x")}
	if why := a.refuses(context.Background(), l); why != "" {
		t.Errorf("refused: %s", why)
	}
	if got := a.userOf(l); got != "m1" {
		t.Errorf("got user %q, want m1", got)
	}
	if got := a.userOf(login{given: true, name: "claimed"}); got != "" {
		t.Errorf("got user %q though nobody has checked the name", got)
	}
}
