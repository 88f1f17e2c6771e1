package e2e

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestStreams uses what kubectl streams: commands, logs, a container's input, ports and files.
func TestStreams(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	// Not on the first node, so that the server has to relay.
	s.apply("web.yaml", "APP=web", "REPLICAS=1", "TOLERATED=300")
	s.apply("pod.yaml", "POD=server", "NODE=node-3", `ARGS=["serve"]`)
	s.apply("pod.yaml", "POD=parrot", "NODE=node-2", `ARGS=["echo"]`)
	s.running("server", 1)
	s.running("parrot", 1)
	s.running("web", 1)

	s.part("exec with input", func(s *space) {
		text := strings.Repeat("all of this comes back\n", 10_000)
		if got := s.feed(text, "exec", "-i", "server", "--", "/tool", "echo"); got != text {
			s.Errorf("sent %d bytes, got %d", len(text), len(got))
		}
	})
	s.part("exec keeps output and errors apart and returns the exit code", func(s *space) {
		if r := s.run(s.ctx, "", "exec", "server", "--", "/tool", "exit", "7"); r.code != 7 {
			s.Errorf("want exit code 7: %v", r)
		}
		r := s.run(s.ctx, "", "exec", "server", "--", "/tool", "cat", "/missing")
		if r.code != 1 || r.out != "" {
			s.Errorf("want exit code 1 and no output: %v", r)
		}
		s.holds(r.err, "no such file", "exit code 1")
		s.holds(s.run(s.ctx, "", "exec", "server", "--", "/missing").err, "no such file")
		s.holds(s.run(s.ctx, "", "exec", "server", "-c", "other", "--", "/tool").err, "other")
	})
	s.part("logs are followed", func(s *space) { s.follow() })
	s.part("logs are cut", func(s *space) {
		all := strings.Split(strings.TrimSpace(s.kubectl("logs", "server")), "\n")
		if got := strings.TrimSpace(s.kubectl("logs", "server", "--tail=1")); got != all[len(all)-1] {
			s.Errorf("the last line is %q, want %q", got, all[len(all)-1])
		}
		stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z serving server`)
		if got := s.kubectl("logs", "server", "--timestamps"); !stamp.MatchString(got) {
			s.Errorf("no time stamps in %s", got)
		}
		if got := s.kubectl("logs", "server", "--limit-bytes=7"); got != "serving" {
			s.Errorf("seven bytes are %q", got)
		}
	})
	s.part("attach to a container's input", func(s *space) {
		s.holds(s.feed("hello, parrot\n", "attach", "-i", "parrot"), "hello, parrot\n")
		// The input is there once: the program ended with it, and another took its place.
		s.restarted("parrot", 1)
		s.holds(s.kubectl("logs", "parrot", "--previous"), "hello, parrot\n")
	})
	s.part("port-forward to a pod", func(s *space) { s.forward("pod/server", "8080", "server") })
	s.part("port-forward to a service", func(s *space) { s.forward("service/web", "http", "web-") })
	s.part("copy", func(s *space) {
		from, back := filepath.Join(s.TempDir(), "from"), filepath.Join(s.TempDir(), "back")
		text := strings.Repeat("a line of the file\n", 5000)
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
		s.kubectl("cp", from, "server:/copied")
		s.kubectl("cp", "server:/copied", back)
		got, err := os.ReadFile(back)
		if err != nil || string(got) != text {
			s.Errorf("%d bytes came back of %d (%v)", len(got), len(text), err)
		}
	})
	s.part("the API server's proxy", func(s *space) {
		s.holds(s.kubectl("get", "--raw", "/api/v1/namespaces/"+s.ns+"/services/web:http/proxy/"), "web-", " one")
		s.holds(s.kubectl("get", "--raw", "/api/v1/namespaces/"+s.ns+"/pods/server:8080/proxy/"), "server")
		s.holds(s.kubectl("get", "--raw", "/api/v1/nodes/node-3/proxy/healthz"), "ok")
	})
}

// start starts kubectl and returns its output; it is ended with the context.
func (s *space) start(ctx context.Context, args ...string) (output *bufio.Reader, wait func() error) {
	s.Helper()
	cmd := s.command(ctx, args...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	return bufio.NewReader(pipe), cmd.Wait
}

// line reads lines until one holds the text, and returns it.
func (s *space) line(r *bufio.Reader, text string) string {
	s.Helper()
	var seen []string
	for {
		line, err := r.ReadString('\n')
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			s.Fatalf("waiting for a line with %q: %v after %q", text, err, seen)
		}
		seen = append(seen, line)
	}
}

func (s *space) follow() {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	output, wait := s.start(ctx, "logs", "--follow", "server")
	s.line(output, "serving server")
	for _, page := range []string{"/first", "/second"} {
		s.tool("server", "get", "http://localhost:8080"+page)
		s.line(output, "request "+page)
	}
	// With the pod's end the command ends by itself.
	s.kubectl("delete", "pod/server", "--wait=false")
	if _, err := io.ReadAll(output); err != nil {
		s.Errorf("reading on: %v", err)
	}
	if err := wait(); err != nil {
		s.Errorf("following ended with %v", err)
	}
	s.kubectl("wait", "pod/server", "--for=delete", "--timeout=90s")
	s.apply("pod.yaml", "POD=server", "NODE=node-3", `ARGS=["serve"]`)
	s.running("server", 1)
}

func (s *space) forward(target, port, want string) {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	output, wait := s.start(ctx, "port-forward", target, ":"+port)
	defer func() {
		cancel()
		_ = wait() // It was killed, which is no news.
	}()
	line := s.line(output, "Forwarding from 127.0.0.1:")
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		resp, err := client.Get("http://" + address + "/")
		if err != nil {
			s.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.HasPrefix(string(body), want) {
			s.Errorf("got %q, error %v", body, err)
		}
	}
}
