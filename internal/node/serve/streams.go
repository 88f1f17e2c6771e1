package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// NotFound is a Host's error about something that is not there.
type NotFound struct{ Message string }

func (e *NotFound) Error() string { return e.Message }

// statusOf turns a Host's error into a code.
func statusOf(err error) int {
	var missing *NotFound
	if errors.As(err, &missing) {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// streamFlags are the query parameters that say which streams a command has.
type streamFlags struct{ in, out, err, tty bool }

func flagsOf(q url.Values) (streamFlags, error) {
	on := func(names ...string) bool {
		for _, name := range names {
			if v := q.Get(name); v == "1" || v == "true" {
				return true
			}
		}
		return false
	}
	f := streamFlags{in: on("input", "stdin"), out: on("output", "stdout"), err: on("error", "stderr"), tty: on("tty")}
	if f.tty {
		f.err = false // a terminal has one output
	}
	if !f.in && !f.out && !f.err {
		return f, errors.New("you must specify at least 1 of stdin, stdout, stderr")
	}
	return f, nil
}

func (s *Server) container(r *http.Request) (string, error) {
	return s.cfg.Host.Container(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"), r.PathValue("container"))
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	flags, err := flagsOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id, err := s.container(r)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	answer, err := s.cfg.Runtime.Exec(r.Context(), &runtimeapi.ExecRequest{
		ContainerId: id, Cmd: r.URL.Query()["command"], Tty: flags.tty, Stdin: flags.in, Stdout: flags.out, Stderr: flags.err,
	})
	s.passOn(w, r, answer.GetUrl(), err)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	flags, err := flagsOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id, err := s.container(r)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	answer, err := s.cfg.Runtime.Attach(r.Context(), &runtimeapi.AttachRequest{
		ContainerId: id, Tty: flags.tty, Stdin: flags.in, Stdout: flags.out, Stderr: flags.err,
	})
	s.passOn(w, r, answer.GetUrl(), err)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	id, err := s.cfg.Host.Sandbox(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"))
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	var ports []int32
	for _, list := range r.URL.Query()["port"] {
		for _, text := range strings.Split(list, ",") {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 1 || n > 65535 {
				http.Error(w, fmt.Sprintf("%q is not a port", text), http.StatusBadRequest)
				return
			}
			ports = append(ports, int32(n))
		}
	}
	answer, err := s.cfg.Runtime.PortForward(r.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: id, Port: ports})
	s.passOn(w, r, answer.GetUrl(), err)
}

// runTimeout bounds a command of /run.
const runTimeout = 2 * time.Minute

// run runs a command to its end and answers what it wrote.
func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	id, err := s.container(r)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), runTimeout)
	defer cancel()
	answer, err := s.cfg.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{
		ContainerId: id, Cmd: strings.Split(r.URL.Query().Get("cmd"), " "), Timeout: int64(runTimeout / time.Second),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, answer.Stdout)
	write(w, answer.Stderr)
}

// passOn connects the caller with the address that the runtime gave. Whatever protocol the request upgrades to, the bytes of
// both sides are passed on as they are.
func (s *Server) passOn(w http.ResponseWriter, r *http.Request, address string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	target, err := url.Parse(address)
	if err != nil {
		http.Error(w, "the runtime gave an unreadable address", http.StatusInternalServerError)
		return
	}
	if r.Header.Get("Upgrade") == "" {
		http.Error(w, "Upgrade request required", http.StatusBadRequest)
		return
	}
	backend, err := dial(r.Context(), target)
	if err != nil {
		http.Error(w, fmt.Sprintf("reaching the runtime's stream: %v", err), http.StatusInternalServerError)
		return
	}
	defer backend.Close()
	out := r.Clone(r.Context())
	out.URL, out.Host, out.RequestURI = target, target.Host, ""
	out.Header.Del("Authorization") // the runtime has no use for it
	if err := out.Write(backend); err != nil {
		http.Error(w, fmt.Sprintf("asking the runtime for a stream: %v", err), http.StatusInternalServerError)
		return
	}
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection can't be upgraded", http.StatusInternalServerError)
		return
	}
	defer caller.Close()
	if err := caller.SetDeadline(time.Time{}); err != nil {
		return
	}
	join(r.Context(), caller, buffered.Reader, backend)
}

func dial(ctx context.Context, target *url.URL) (net.Conn, error) {
	if target.Scheme == "https" {
		// The runtime's stream server is on this machine and its certificate self-made.
		d := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // see above
		return d.DialContext(ctx, "tcp", target.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", target.Host)
}

// join copies both ways until both sides are done, or ctx ends.
func join(ctx context.Context, caller net.Conn, read *bufio.Reader, backend net.Conn) {
	stop := context.AfterFunc(ctx, func() {
		caller.Close()
		backend.Close()
	})
	defer stop()
	done := make(chan struct{}, 2)
	pipe := func(to net.Conn, from io.Reader) {
		// An error means that one side went away, which the other side is told by the end of its stream.
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}
	go pipe(backend, read)
	go pipe(caller, backend)
	<-done
	<-done
}
