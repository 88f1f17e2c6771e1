// Command tool is what runs in the pods of the end-to-end tests: a small web server that can be made sick, and a few things to
// do from inside a pod.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: tool serve | get URL | lookup NAME | say WORD... | exit CODE | cat FILE | wait")
	}
	switch cmd, args := os.Args[1], os.Args[2:]; cmd {
	case "serve":
		serve()
	case "get":
		get(args[0])
	case "lookup":
		lookup(args[0])
	case "say":
		fmt.Println(strings.Join(args, " "))
	case "exit":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			fail(err)
		}
		os.Exit(code)
	case "cat":
		data, err := os.ReadFile(args[0])
		if err != nil {
			fail(err)
		}
		os.Stdout.Write(data)
	case "env":
		fmt.Println(os.Getenv(args[0]))
	case "echo":
		_, err := io.Copy(os.Stdout, os.Stdin)
		if err != nil {
			fail(err)
		}
	case "wait":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
	default:
		fail("unknown: " + cmd)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "tool:", why)
	os.Exit(1)
}

func serve() {
	var sick atomic.Bool
	name, err := os.Hostname()
	if err != nil {
		fail(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %s\n", name, os.Getenv("VERSION"))
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/sicken", func(http.ResponseWriter, *http.Request) { sick.Store(true) })
	mux.HandleFunc("/heal", func(http.ResponseWriter, *http.Request) { sick.Store(false) })
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) {
		fmt.Println("dying as asked")
		os.Exit(3)
	})
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	fmt.Println("serving", name, os.Getenv("VERSION"))
	if err := server.ListenAndServe(); err != nil && ctx.Err() == nil {
		fail(err)
	}
}

func get(url string) {
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		fail(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		fail(err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		fail(resp.Status)
	}
}

func lookup(name string) {
	addrs, err := net.DefaultResolver.LookupHost(context.Background(), name)
	if err != nil {
		fail(err)
	}
	fmt.Println(strings.Join(addrs, " "))
}
