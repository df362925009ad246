package sinktest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// StartPostgres returns a PostgreSQL that is up, with a user and a database
// called millrace. It runs as the user postgres if we are root, which it
// refuses to be.
func StartPostgres(t *testing.T) *Server {
	t.Helper()
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(programs) == 0 {
		t.Fatal("no PostgreSQL below /usr/lib/postgresql\nhint: scripts/test-deps installs it")
	}
	bin := programs[len(programs)-1]
	dir, err := os.MkdirTemp("", "millrace-postgres") // not TempDir, which only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := freePort(t)
	s := &Server{
		t: t, name: filepath.Join(bin, "postgres"), as: postgresUser(t, dir),
		URL: fmt.Sprintf("postgres://millrace@127.0.0.1:%d/postgres?sslmode=disable", port),
		is: func() bool {
			return exec.Command(filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() == nil
		},
	}
	data := filepath.Join(dir, "data")
	s.args = []string{"-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", "", "-F"}
	cmd := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "millrace", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = dir, runAs(nil, s.as)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(s.Quit)
	s.Start()
	return s
}

// postgresUser gives dir to the user postgres if we are root.
func postgresUser(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(who.Uid)
	gid, err2 := strconv.Atoi(who.Gid)
	if err1 != nil || err2 != nil || os.Chown(dir, uid, gid) != nil {
		t.Fatalf("%s cannot be given to %s", dir, who.Username)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func runAs(a *syscall.SysProcAttr, who *syscall.Credential) *syscall.SysProcAttr {
	if who == nil {
		return a
	}
	if a == nil {
		a = &syscall.SysProcAttr{}
	}
	a.Credential = who
	return a
}

// Quit ends a PostgreSQL at once, without asking its clients to go. A second
// Quit does nothing.
func (s *Server) Quit() {
	if s.end != nil {
		s.end(syscall.SIGQUIT)
	}
}
