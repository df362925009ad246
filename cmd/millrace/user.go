package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"millrace.dev/millrace/broker"
)

const userHelp = `usage: millrace user add|list|remove [-file PATH] [NAME]

Keeps the file of users that broker.users names (users.txt if -file is not
given). Passwords are kept as argon2id hashes. A running broker notices a
changed file by itself.

  millrace user add NAME      asks for the password, or reads a line from a pipe
  millrace user list
  millrace user remove NAME

example:
  $ echo 'correct horse' | millrace user add -file users.txt sensor1
  user sensor1 added to users.txt
`

func userCommand(_ context.Context, args []string, s streams) error {
	if len(args) == 0 {
		return usageError{"say add, list or remove"}
	}
	flags := flag.NewFlagSet("user", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("file", "users.txt", "")
	if err := flags.Parse(args[1:]); err != nil {
		return usageError{err.Error()}
	}
	if args[0] == "list" && flags.NArg() == 0 {
		return listUsers(*file, s)
	}
	if flags.NArg() != 1 {
		return usageError{"say which user"}
	}
	name := flags.Arg(0)
	switch args[0] {
	case "add":
		return addUser(*file, name, s)
	case "remove":
		if err := broker.RemoveUser(*file, name); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "user %s removed from %s\n", name, *file)
		return nil
	}
	return usageError{fmt.Sprintf("unknown word %q; say add, list or remove", args[0])}
}

func listUsers(file string, s streams) error {
	names, err := broker.Users(file)
	for _, n := range names {
		fmt.Fprintln(s.out, n)
	}
	return err
}

func addUser(file, name string, s streams) error {
	password, err := readPassword(s)
	if err != nil {
		return err
	}
	if err := broker.AddUser(file, name, password); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "user %s added to %s\n", name, file)
	return nil
}

// readPassword asks twice on a terminal; from a pipe it reads one line.
func readPassword(s streams) (string, error) {
	f, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(s.in).ReadString('\n')
		if err != nil && (err != io.EOF || line == "") {
			return "", fmt.Errorf("password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var typed [2]string
	for i, prompt := range []string{"password: ", "again: "} {
		fmt.Fprint(s.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.err)
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", fmt.Errorf("the two passwords differ")
	}
	return typed[0], nil
}
