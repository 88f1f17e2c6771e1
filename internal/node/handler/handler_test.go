package handler

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestPort(t *testing.T) {
	c := &v1.Container{Name: "main", Ports: []v1.ContainerPort{{Name: "web", ContainerPort: 8080}}}
	for _, p := range []struct {
		port intstr.IntOrString
		want int
	}{
		{intstr.FromInt32(80), 80},
		{intstr.FromString("web"), 8080},
		{intstr.FromString("81"), 81},
		{intstr.FromString("no-such"), 0},
		{intstr.FromInt32(0), 0},
		{intstr.FromInt32(70000), 0},
	} {
		got, err := Port(c, p.port)
		if got != p.want || (p.want == 0) != (err != nil) {
			t.Errorf("%s: %d, %v", p.port.String(), got, err)
		}
	}
}

// split returns the address and port of a test server.
func split(t *testing.T, address string) (string, intstr.IntOrString) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return host, intstr.FromInt32(int32(n))
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/ok?x=1", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/ok":
			if r.Host != "named" || r.Header.Get("X-A") != "1" || !strings.HasPrefix(r.UserAgent(), "kube-probe/") {
				t.Errorf("host %q, headers %v", r.Host, r.Header)
			}
			_, _ = w.Write([]byte("fine " + r.URL.RawQuery))
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	ip, port := split(t, server.Listener.Addr().String())
	headers := []v1.HTTPHeader{{Name: "Host", Value: "named"}, {Name: "X-A", Value: "1"}}
	for _, c := range []struct {
		path string
		want Response
	}{
		{"/ok?x=2", Response{Code: 200, Body: "fine x=2"}},
		{"/nothing", Response{Code: 418}},
		{"/away", Response{Code: 302, Redirected: true}},
	} {
		got, err := HTTP(t.Context(), &v1.Container{}, ip, &v1.HTTPGetAction{Path: c.path, Port: port, HTTPHeaders: headers})
		if c.want.Redirected {
			got.Body = ""
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.path, got, err)
		}
	}
}

func TestTCPAndGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ip, port := split(t, listener.Addr().String())
	service := health.NewServer()
	service.SetServingStatus("sick", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service)
	go func() { _ = server.Serve(listener) }()
	if err := TCP(t.Context(), &v1.Container{}, ip, &v1.TCPSocketAction{Port: port}); err != nil {
		t.Errorf("an open port: %v", err)
	}
	if ok, message := GRPC(t.Context(), ip, &v1.GRPCAction{Port: port.IntVal}); !ok {
		t.Errorf("a healthy service: %s", message)
	}
	sick := "sick"
	ok, message := GRPC(t.Context(), ip, &v1.GRPCAction{Port: port.IntVal, Service: &sick})
	if ok || !strings.Contains(message, "NOT_SERVING") {
		t.Errorf("a sick service: %v %s", ok, message)
	}
	server.Stop()
	if err := TCP(t.Context(), &v1.Container{}, ip, &v1.TCPSocketAction{Port: port}); err == nil {
		t.Error("a closed port was reached")
	}
}

func TestHooks(t *testing.T) {
	hook := func(h v1.LifecycleHandler) Hook {
		return Hook{
			Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1"}}, Container: &v1.Container{Name: "main"},
			Handler: &h,
		}
	}
	exec := func(_ context.Context, _ string, command []string, _ time.Duration) (int32, string, error) {
		switch command[0] {
		case "good":
			return 0, "", nil
		case "bad":
			return 3, "broken", nil
		}
		return 0, "", errors.New("no such command")
	}
	for command, want := range map[string]string{"good": "", "bad": "exited with 3: broken", "none": "no such command"} {
		err := hook(v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{command}}}).Run(t.Context(), exec)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", command, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		sleep := hook(v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 5}})
		if err := sleep.Run(t.Context(), exec); err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("slept %v, %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sleep.Run(ctx, exec); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a sleep that is too long: %v", err)
		}
	})
}
