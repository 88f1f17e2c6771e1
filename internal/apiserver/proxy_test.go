package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	clientremote "k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	cristream "k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"coracle.dev/coracle/internal/apiserver/proxy"
	"coracle.dev/coracle/internal/apiserver/servertest"
)

// fakeKubelet answers as a node's agent does, with the field's own streaming server.
type fakeKubelet struct{}

func (fakeKubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch parts[0] {
	case "containerLogs":
		if parts[3] == "waiting" {
			http.Error(w, `container "waiting" in pod "p" is waiting to start: ContainerCreating`, http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "log of %s?%s\n", strings.Join(parts[1:], "/"), r.URL.RawQuery)
	case "exec":
		opts, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, fakeKubelet{}, "p", "u", parts[3], r.URL.Query()["command"], opts,
			time.Minute, time.Minute, []string{remotecommand.StreamProtocolV4Name})
	case "portForward":
		cristream.ServePortForward(w, r, fakeKubelet{}, "p", "u", nil, time.Minute, time.Minute,
			[]string{cristream.ProtocolV1Name})
	default:
		_, _ = fmt.Fprintf(w, "%s %s?%s", r.Method, r.URL.Path, r.URL.RawQuery)
	}
}

// exitStatus is a command's failure.
type exitStatus int

func (e exitStatus) Error() string   { return fmt.Sprintf("exit status %d", int(e)) }
func (e exitStatus) String() string  { return e.Error() }
func (e exitStatus) Exited() bool    { return true }
func (e exitStatus) ExitStatus() int { return int(e) }

// ExecInContainer echoes its input in upper case, and fails where the command says so.
func (fakeKubelet) ExecInContainer(
	_ context.Context, _, _, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, _ bool,
	_ <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	if cmd[0] == "fail" {
		_, _ = io.WriteString(errOut, "no")
		return exitStatus(7)
	}
	if in != nil {
		data, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		_, err = out.Write(bytes.ToUpper(data))
		return err
	}
	_, err := io.WriteString(out, strings.Join(cmd, " "))
	return err
}

// PortForward answers a line with the same line and the port.
func (fakeKubelet) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	line, err := bufio.NewReader(stream).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stream, "%d %s", port, line)
	return err
}

// withNode starts a server and a fake node with a pod on it.
func withNode(t *testing.T) *servertest.Running {
	t.Helper()
	node := httptest.NewUnstartedServer(fakeKubelet{})
	node.StartTLS()
	t.Cleanup(node.Close)
	pool := x509.NewCertPool()
	pool.AddCert(node.Certificate())
	cfg := servertest.Config(t)
	cfg.Kubelet = &proxy.Config{
		NodeTLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		// Whatever a pod's address is, the fake node answers.
		DialPod: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialer := &tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
			return dialer.DialContext(ctx, network, node.Listener.Addr().String())
		},
	}
	server := servertest.Start(t, cfg)
	host, port, err := net.SplitHostPort(node.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	must(t, server, call{method: "POST", path: "/api/v1/nodes", body: `{"metadata":{"name":"n1"}}`})
	must(t, server, call{
		method: "PATCH", path: "/api/v1/nodes/n1/status", header: header("Content-Type", mergeTyp),
		body: `{"status":{"addresses":[{"type":"InternalIP","address":"` + host + `"}],
			"daemonEndpoints":{"kubeletEndpoint":{"Port":` + port + `}}}}`,
	})
	must(t, server, call{method: "POST", path: pods, body: `{"metadata":{"name":"p","labels":{"app":"x"}},"spec":{"nodeName":"n1",
		"containers":[{"name":"c","image":"i","ports":[{"containerPort":8080}]},{"name":"waiting","image":"i"}]}}`})
	must(t, server, call{
		method: "PATCH", path: pods + "/p/status", header: header("Content-Type", mergeTyp),
		body: `{"status":{"phase":"Running","podIP":"10.42.0.7","podIPs":[{"ip":"10.42.0.7"}]}}`,
	})
	must(t, server, call{method: "POST", path: pods, body: podBody("unbound", "")})
	return server
}

func TestProxied(t *testing.T) {
	const services = "/api/v1/namespaces/default/services"
	server := withNode(t)
	must(t, server, call{
		method: "POST", path: services,
		body: `{"metadata":{"name":"s"},"spec":{"clusterIP":"None","selector":{"app":"x"},
		"ports":[{"name":"http","port":80,"targetPort":8080}]}}`,
	})
	must(t, server, call{
		method: "POST", path: "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
		body: `{"metadata":{"name":"s-1","labels":{"kubernetes.io/service-name":"s"}},"addressType":"IPv4",
		"ports":[{"name":"http","port":8080}],"endpoints":[{"addresses":["10.42.0.7"],"conditions":{"ready":true}}]}`,
	})
	must(t, server, call{
		method: "POST", path: services,
		body: `{"metadata":{"name":"empty"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}`,
	})
	for _, c := range []struct {
		name, method, path string
		code               int
		want               string
	}{
		{"log", "GET", pods + "/p/log?container=c&tailLines=3&follow=true", 200, "log of default/p/c?follow=true&tailLines=3\n"},
		{"log of an unbound pod", "GET", pods + "/unbound/log", 200, ""},
		{"log, no container named", "GET", pods + "/p/log", 400, "a container name must be specified for pod p, choose one of: [c waiting]"},
		{"log of no container", "GET", pods + "/p/log?container=x", 400, "container x is not valid for pod p"},
		{"log of a waiting container", "GET", pods + "/p/log?container=waiting", 400, "is waiting to start: ContainerCreating"},
		{"log of no pod", "GET", pods + "/q/log", 404, `pods \"q\" not found`},
		{"log with bad options", "GET", pods + "/p/log?container=c&tailLines=-1", 422, "tailLines: Invalid value: -1"},
		{"exec without upgrade", "POST", pods + "/p/exec?container=c&command=x", 400, "Upgrade request required"},
		{"node", "GET", "/api/v1/nodes/n1/proxy/stats/summary?a=b", 200, "GET /stats/summary?a=b"},
		{"pod", "POST", pods + "/p/proxy/x/", 200, "POST /x/?"},
		{"pod by port", "GET", pods + "/p:9090/proxy/", 200, "GET /?"},
		{"service", "GET", services + "/s/proxy/page", 200, "GET /page?"},
		{"service by name of port", "GET", services + "/http:s:http/proxy/page", 200, "GET /page?"},
		{"service by no port", "GET", services + "/s:81/proxy/", 503, `no service port \"81\" found for service \"s\"`},
		{"service without endpoints", "GET", services + "/empty/proxy/", 503, `no endpoints available for service \"empty\"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := do(t, server, call{method: c.method, path: c.path})
			if a.StatusCode != c.code || !strings.Contains(string(a.body), c.want) || (c.want == "" && len(a.body) > 0) {
				t.Errorf("got %d %s\nwant %d %s", a.StatusCode, a.body, c.code, c.want)
			}
		})
	}
}

// executor makes a session over SPDY or WebSocket.
func executor(t *testing.T, server *servertest.Running, socket bool, query url.Values) clientremote.Executor {
	t.Helper()
	u, err := url.Parse(server.URL + pods + "/p/exec?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var e clientremote.Executor
	if socket {
		e, err = clientremote.NewWebSocketExecutor(server.RESTConfig(), "GET", u.String())
	} else {
		e, err = clientremote.NewSPDYExecutor(server.RESTConfig(), "POST", u)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExec(t *testing.T) {
	server := withNode(t)
	for _, socket := range []bool{false, true} {
		t.Run(map[bool]string{false: "spdy", true: "websocket"}[socket], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			query := url.Values{"container": {"c"}, "command": {"echo", "hello world"}, "stdout": {"true"}, "stderr": {"true"}}
			var out, errOut bytes.Buffer
			e := executor(t, server, socket, query)
			if err := e.StreamWithContext(ctx, clientremote.StreamOptions{Stdout: &out, Stderr: &errOut}); err != nil {
				t.Fatalf("exec: %v", err)
			}
			if out.String() != "echo hello world" {
				t.Errorf("output %q", out.String())
			}
			query.Set("stdin", "true")
			out.Reset()
			e = executor(t, server, socket, query)
			in := strings.NewReader(strings.Repeat("quiet ", 20_000))
			if err := e.StreamWithContext(ctx, clientremote.StreamOptions{Stdin: in, Stdout: &out, Stderr: &errOut}); err != nil {
				t.Fatalf("exec with input: %v", err)
			}
			if out.Len() != 120_000 || !strings.HasPrefix(out.String(), "QUIET ") {
				t.Errorf("%d bytes of output: %.20q", out.Len(), out.String())
			}
			query.Del("stdin")
			query["command"] = []string{"fail"}
			e = executor(t, server, socket, query)
			err := e.StreamWithContext(ctx, clientremote.StreamOptions{Stdout: &out, Stderr: &errOut})
			var exit utilexec.ExitError
			if !errors.As(err, &exit) || exit.ExitStatus() != 7 || errOut.String() != "no" {
				t.Errorf("a failing command: %v, says %q", err, errOut.String())
			}
			query.Set("container", "none")
			e = executor(t, server, socket, query)
			err = e.StreamWithContext(ctx, clientremote.StreamOptions{Stdout: &out})
			if err == nil || !strings.Contains(err.Error(), "container none is not valid for pod p") {
				t.Errorf("exec in no container: %v", err)
			}
		})
	}
}

func TestPortForward(t *testing.T) {
	server := withNode(t)
	u, err := url.Parse(server.URL + pods + "/p/portforward")
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := portforward.NewSPDYOverWebsocketDialer(u, rest.CopyConfig(server.RESTConfig()))
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.ForwardPorts() }()
	defer func() {
		close(stop)
		<-ended
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("forwarding: %v", err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "hello\n"); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(conn)
		if err != nil || string(data) != "8080 hello\n" {
			t.Errorf("got %q, %v", data, err)
		}
		_ = conn.Close()
	}
}
