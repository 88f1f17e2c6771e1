package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/node/logs"
	"coracle.dev/coracle/internal/node/stats"
)

// fakeHost has one pod "web" with one container "main" whose log is a file.
type fakeHost struct{ log string }

func (fakeHost) Pods() []*v1.Pod { return []*v1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "web"}}} }

func (fakeHost) RunningPods(context.Context) ([]*v1.Pod, error) { return nil, nil }

func (fakeHost) Container(_, pod, _, container string) (string, error) {
	if pod != "web" || container != "main" {
		return "", &NotFound{Message: fmt.Sprintf("container not found (%q)", container)}
	}
	return "c1", nil
}

func (fakeHost) Sandbox(string, string, string) (string, error) { return "s1", nil }

func (h fakeHost) Log(_, _, container string, previous bool) (string, <-chan struct{}, error) {
	if previous {
		return "", nil, errors.New("previous terminated container not found")
	}
	if container != "main" {
		return "", nil, &NotFound{Message: "no such container"}
	}
	return h.log, nil, nil
}

func (fakeHost) Configuration() any { return map[string]int{"maxPods": 110} }

// streamer is a runtime whose streams are at an address.
type streamer struct {
	runtimeapi.RuntimeServiceClient
	url  string
	exec *runtimeapi.ExecRequest
}

func (s *streamer) Exec(_ context.Context, q *runtimeapi.ExecRequest, _ ...grpc.CallOption) (*runtimeapi.ExecResponse, error) {
	s.exec = q
	return &runtimeapi.ExecResponse{Url: s.url}, nil
}

func newServer(t *testing.T, rt *streamer, allow func(sub string) bool) *httptest.Server {
	t.Helper()
	log := filepath.Join(t.TempDir(), "0.log")
	lines := "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stdout F two\n"
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	s := New(Config{
		Authenticate: func(r *http.Request) (User, bool, error) {
			return User{Name: "me"}, r.Header.Get("Authorization") == "Bearer good", nil
		},
		Authorize: func(_ context.Context, _ User, verb, sub string) (bool, error) {
			return allow(verb + " " + sub), nil
		},
		Host: fakeHost{log}, Runtime: rt, Logs: logs.NewFollower(logger), Stats: &stats.Provider{},
		Metrics: prometheus.NewRegistry(), SystemLogs: t.TempDir(), Logger: logger, Now: time.Now,
	})
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, server *httptest.Server, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestRequests(t *testing.T) {
	server := newServer(t, &streamer{}, func(what string) bool { return what == "get proxy" || what == "get stats" })
	for _, c := range []struct {
		name, path, token string
		code              int
		body              string
	}{
		{"no token", "/pods", "bad", 401, "Unauthorized"},
		{"forbidden", "/metrics", "good", 403, "subresource(s)=[metrics]"},
		{"the finer right is not needed", "/pods", "good", 200, `"name":"web"`},
		{"health", "/healthz", "good", 200, "ok"},
		{"configuration", "/configz", "good", 200, `"maxPods":110`},
		{"logs", "/containerLogs/default/web/main", "good", 200, "one\ntwo\n"},
		{"tail", "/containerLogs/default/web/main?tailLines=1", "good", 200, "two\n"},
		{"bad option", "/containerLogs/default/web/main?tailLines=x", "good", 400, "tailLines"},
		{"both since", "/containerLogs/default/web/main?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "good", 400, "at most one"},
		{"no container", "/containerLogs/default/web/other", "good", 404, "no such container"},
		{"no previous", "/containerLogs/default/web/main?previous=true", "good", 400, "not found"},
		{"exec without streams", "/exec/default/web/main?command=x", "good", 400, "at least 1"},
		{"exec elsewhere", "/exec/default/web/nobody?command=x&output=1", "good", 404, `container not found ("nobody")`},
		{"exec without upgrade", "/exec/default/web/main?command=x&output=1", "good", 400, "Upgrade request required"},
		{"unknown", "/nothing", "good", 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := get(t, server, c.path, c.token)
			if code != c.code || !strings.Contains(body, c.body) {
				t.Errorf("got %d %q", code, body)
			}
		})
	}
}

// TestStreamIsPassedOn upgrades through the server to a backend that echoes.
func TestStreamIsPassedOn(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the caller's token was passed on")
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", r.Header.Get("Upgrade"))
		_, _ = io.Copy(conn, buf)
	}))
	defer backend.Close()
	rt := &streamer{url: backend.URL + "/exec/token"}
	server := newServer(t, rt, func(string) bool { return true })
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /exec/default/web/main?command=sh&command=-c&output=1&error=1&tty=1 HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer good\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "SPDY/3.1" {
		t.Fatalf("got %v, %v", resp, err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 5)
	if _, err := io.ReadFull(r, echo); err != nil || string(echo) != "hello" {
		t.Errorf("got %q, %v", echo, err)
	}
	if q := rt.exec; q.ContainerId != "c1" || strings.Join(q.Cmd, " ") != "sh -c" || !q.Tty || q.Stderr || q.Stdin || !q.Stdout {
		t.Errorf("asked the runtime for %v", q)
	}
}

func TestReviewsAreRemembered(t *testing.T) {
	fake := clientfake.New(nil)
	asked := 0
	fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
		asked++
		switch review := w.Object.(type) {
		case *authenticationv1.TokenReview:
			answer := review.DeepCopy()
			answer.Status = authenticationv1.TokenReviewStatus{
				Authenticated: review.Spec.Token == "good", User: authenticationv1.UserInfo{Username: "me", Groups: []string{"g"}},
			}
			return answer, true, nil
		case *authorizationv1.SubjectAccessReview:
			answer := review.DeepCopy()
			answer.Status.Allowed = review.Spec.ResourceAttributes.Subresource == "log" && review.Spec.User == "me"
			return answer, true, nil
		}
		return nil, false, nil
	})
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	tokens, reviews := Tokens(fake, clock), Reviews(fake, "n1", clock)
	request := func(token string) *http.Request {
		return &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	}
	for range 2 {
		if u, ok, err := tokens(request("good")); err != nil || !ok || u.Name != "me" {
			t.Errorf("got %v, %v, %v", u, ok, err)
		}
		if _, ok, _ := tokens(request("bad")); ok {
			t.Error("a bad token was accepted")
		}
		if ok, err := reviews(t.Context(), User{Name: "me"}, "get", "log"); err != nil || !ok {
			t.Errorf("refused: %v", err)
		}
		if ok, _ := reviews(t.Context(), User{Name: "me"}, "get", "proxy"); ok {
			t.Error("allowed too much")
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times, want 4", asked)
	}
	now = now.Add(time.Minute)
	if ok, _ := reviews(t.Context(), User{Name: "me"}, "get", "proxy"); ok || asked != 5 {
		t.Errorf("a refusal was remembered too long: asked %d times", asked)
	}
}

func TestSubresources(t *testing.T) {
	for path, want := range map[string]string{
		"/stats/summary": "[stats]", "/metrics/cadvisor": "[metrics]", "/logs/": "[log]", "/pods": "[pods proxy]",
		"/runningpods/": "[pods proxy]", "/healthz": "[healthz proxy]", "/exec/a/b/c": "[proxy]", "/": "[proxy]",
	} {
		if got := fmt.Sprint(subresources(path)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
