package broker

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// A file that mosquitto_passwd has made, with a line of htpasswd -B and one of
// ours, lets each in with the password of each.
func TestFilesOfOthersAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mosquitto, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		t.Skip("mosquitto_passwd is not installed")
	}
	if out, err := exec.Command(mosquitto, "-b", file, "pump", "pump's").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := AddUser(file, "ours", "ours'"); err != nil {
		t.Fatal(err)
	}
	line, err := bcrypt.GenerateFromPassword([]byte("web's"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "pump:$7$") {
		t.Fatalf("mosquitto_passwd wrote %q", b)
	}
	if err := os.WriteFile(file, append(b, "web:"+string(line)+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := newAccess(Config{Anonymous: AnonymousNever, Users: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for user := range a.users.hashes {
		for _, password := range []string{"pump's", "ours'", "web's", ""} {
			want := strings.TrimRight(password, "s'") == strings.TrimRight(user, "s")
			why := a.refuses(context.Background(), login{remote: here, given: true, name: user, password: []byte(password)})
			if (why == "") != want {
				t.Errorf("user %s, password %q: got %q", user, password, why)
			}
		}
	}
	if why := a.refuses(context.Background(), login{remote: here, given: true, name: "stranger", password: []byte("pump's")}); why == "" {
		t.Error("an unknown user came in with the password of the first one")
	}
}

func TestHashesAreReadAndWrittenAsTheyStand(t *testing.T) {
	for _, s := range []string{
		"$7$101$MDEyMzQ1Njc4OWFi$" + strings.Repeat("A", 86) + "==",
		"$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
		newHash("x").String(),
	} {
		h, err := parseHash(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		} else if got := h.String(); got != s {
			t.Errorf("got %s, want %s", got, s)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", "is not $argon2id$"},
		{"clear text", "is not $argon2id$"},
		{"$6$salt$hash", "is not $argon2id$"},
		{"$7$101$MDEyMzQ1Njc4OWFi", "is not $7$iterations$"},
		{"$7$0$MDEyMzQ1Njc4OWFi$" + strings.Repeat("A", 86) + "==", "no sensible number of iterations"},
		{"$7$1000001$MDEyMzQ1Njc4OWFi$" + strings.Repeat("A", 86) + "==", "no sensible number of iterations"},
		{"$7$101$MDEy$" + strings.Repeat("A", 86) + "==", "damaged"},
		{"$7$101$MDEyMzQ1Njc4OWFi$AAAA", "damaged"},
		{"$2y$05$CCCC", "damaged"},
		{"$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwKAAA", "damaged"},
		{"$2y$16$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "more than is sensible"},
	} {
		if _, err := parseHash(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}
