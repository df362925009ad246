package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	userFileBytesMax = 16 << 20
	nameBytesMax     = 128
)

// checkName says what is wrong with the name of a user.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a user needs a name")
	case len(name) > nameBytesMax:
		return fmt.Errorf("the user name has %d bytes, the most is %d", len(name), nameBytesMax)
	case !utf8.ValidString(name):
		return fmt.Errorf("user name %q is not UTF-8", name)
	case strings.Contains(name, ":"):
		return fmt.Errorf("user name %q has a colon, which ends the name in the file of users", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("user name %q has a control character", name)
	case name[0] == '#', strings.TrimSpace(name) != name:
		return fmt.Errorf("user name %q begins with #, or begins or ends with a space", name)
	}
	return nil
}

// A userLine is a line of the file; name is "" for comments and empty lines.
type userLine struct {
	text string
	name string
	hash hash
}

// readUsers reads a file of users; one that is not there is empty.
func readUsers(file string) ([]userLine, error) {
	if info, err := os.Stat(file); err == nil && info.Size() > userFileBytesMax {
		return nil, fmt.Errorf("users %s: %d bytes, the most is %d", file, info.Size(), userFileBytesMax)
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	var lines []userLine
	seen := map[string]bool{}
	for text := range strings.Lines(string(b)) {
		l := userLine{text: strings.TrimRight(text, "\r\n")}
		if s := strings.TrimSpace(l.text); s != "" && s[0] != '#' {
			name, rest, _ := strings.Cut(s, ":")
			err := checkName(name)
			if err == nil && seen[name] {
				err = fmt.Errorf("user %s is there twice", name)
			}
			if err == nil {
				l.hash, err = parseHash(rest)
			}
			if err != nil {
				return nil, fmt.Errorf("users %s:%d: %w\n\thint: let millrace user add write the line", file, len(lines)+1, err)
			}
			l.name, seen[name] = name, true
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// Users returns the names in a file of users, in its order. A file that is
// not there has none.
func Users(file string) ([]string, error) {
	lines, err := readUsers(file)
	var names []string
	for _, l := range lines {
		if l.name != "" {
			names = append(names, l.name)
		}
	}
	return names, err
}

// AddUser gives a user a password, in place of an older one. Only the hash is
// kept: argon2id, 19 MiB, 2 rounds. The file, mode 0600, is made if need be
// and replaced at once, so that it is never seen half written; comments stay.
// The name has at most 128 bytes and no colon or control character.
func AddUser(file, name, password string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if password == "" {
		return fmt.Errorf("user %s: the password is empty", name)
	}
	if len(password) > 65535 {
		return fmt.Errorf("user %s: the password has %d bytes; MQTT carries 65535", name, len(password)) // [MQTT-3.1.3.6]
	}
	lines, err := readUsers(file)
	if err != nil {
		return err
	}
	line := userLine{text: name + ":" + newHash(password).String(), name: name}
	for i, l := range lines {
		if l.name == name {
			lines[i] = line
			return writeUsers(file, lines)
		}
	}
	return writeUsers(file, append(lines, line))
}

// RemoveUser takes a user out of the file; one that is not there is an error.
// A client that is connected stays so.
func RemoveUser(file, name string) error {
	lines, err := readUsers(file)
	if err != nil {
		return err
	}
	for i, l := range lines {
		if l.name == name && name != "" {
			return writeUsers(file, append(lines[:i:i], lines[i+1:]...))
		}
	}
	return fmt.Errorf("users %s: there is no user %q", file, name)
}

func writeUsers(file string, lines []userLine) (err error) {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real // the link stays
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("users: %w", err)
		}
	}()
	for _, l := range lines {
		if _, err := fmt.Fprintln(f, l.text); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
