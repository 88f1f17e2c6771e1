// Command tool is what runs in the pods of the end-to-end tests: a small web server that can be made sick, a visitor of other
// servers, and a few things to do from inside a pod. It has no libraries, so its image holds nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long the commands that wait for something go on trying, and pause how long they rest between two tries:
// nothing in a pod tells when the kernel of a node has learnt a rule, or the agent has written a file.
const (
	patience = 2 * time.Minute
	pause    = 50 * time.Millisecond
)

const usage = `usage: tool serve | visit URL | get URL | until TEXT URL | without TEXT COUNT URL | api PATH | lookup NAME... |
	cat FILE | until-file TEXT FILE | write FILE TEXT | env NAME | say WORD... | echo | exit CODE | wait`

func main() {
	// As "tar" it is what kubectl cp needs in a container.
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name != "tar" {
		if len(args) == 0 {
			fail(errors.New(usage))
		}
		name, args = args[0], args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := run(ctx, name, args)
	stop()
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "tool:", err)
	os.Exit(1)
}

// exitCode is an error that ends the program with a code and without a word.
type exitCode int

func (c exitCode) Error() string { return "exit code " + strconv.Itoa(int(c)) }

func run(ctx context.Context, name string, args []string) error {
	commands := map[string]struct {
		args int // -1: any number
		do   func() error
	}{
		"serve":      {0, func() error { return serve(ctx, "") }},
		"visit":      {1, func() error { return serve(ctx, args[0]) }},
		"get":        {1, func() error { return get(ctx, args[0]) }},
		"until":      {2, func() error { return until(ctx, args[0], func() (string, error) { return fetch(ctx, args[1]) }) }},
		"without":    {3, func() error { return without(ctx, args[0], args[1], args[2]) }},
		"api":        {1, func() error { return askAPI(ctx, args[0]) }},
		"lookup":     {-1, func() error { return lookup(ctx, args) }},
		"cat":        {1, func() error { return cat(args[0]) }},
		"until-file": {2, func() error { return until(ctx, args[0], func() (string, error) { return read(args[1]) }) }},
		"write":      {2, func() error { return os.WriteFile(args[0], []byte(args[1]), 0o644) }},
		"env":        {1, func() error { fmt.Println(os.Getenv(args[0])); return nil }},
		"say":        {-1, func() error { fmt.Println(strings.Join(args, " ")); return nil }},
		"echo":       {0, func() error { _, err := io.Copy(os.Stdout, os.Stdin); return err }},
		"exit":       {1, func() error { return exit(args[0]) }},
		"wait":       {0, func() error { <-ctx.Done(); return nil }},
		"tar":        {-1, func() error { return tape(args) }},
	}
	command, ok := commands[name]
	if !ok || command.args >= 0 && command.args != len(args) {
		return errors.New(usage)
	}
	return command.do()
}

func exit(text string) error {
	code, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	return exitCode(code)
}

func read(path string) (string, error) {
	data, err := os.ReadFile(path)
	return string(data), err
}

func cat(path string) error {
	text, err := read(path)
	fmt.Print(text)
	return err
}

// lookup prints a line for each name: its addresses, or that there are none.
func lookup(ctx context.Context, names []string) error {
	for _, name := range names {
		addrs, err := net.DefaultResolver.LookupHost(ctx, name)
		var dns *net.DNSError
		switch {
		case errors.As(err, &dns) && dns.IsNotFound:
			fmt.Println(name, "unknown")
		case err != nil:
			return err
		default:
			fmt.Println(name, strings.Join(addrs, " "))
		}
	}
	return nil
}

// until asks again until the answer holds the text, and prints it.
func until(ctx context.Context, text string, ask func() (string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		answer, err := ask()
		if err == nil && strings.Contains(answer, text) {
			fmt.Print(answer)
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("no answer with %q; the last was %q: %w", text, answer, errors.Join(err, ctx.Err()))
		}
	}
}
