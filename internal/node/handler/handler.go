package handler

import (
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

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Exec runs a command in a container and returns its exit code and what it wrote. A command that outlives the timeout is an
// error that is context.DeadlineExceeded.
type Exec func(
	ctx context.Context, containerID string, command []string, timeout time.Duration,
) (code int32, output string, err error)

// Port resolves a port by number or by its name in the container.
func Port(c *v1.Container, port intstr.IntOrString) (int, error) {
	n := port.IntValue()
	if port.Type == intstr.String {
		for _, p := range c.Ports {
			if p.Name == port.StrVal {
				return int(p.ContainerPort), nil
			}
		}
		if n == 0 {
			return 0, fmt.Errorf("couldn't find port: %s in container %s", port.StrVal, c.Name)
		}
	}
	if n <= 0 || n > 65535 {
		return 0, fmt.Errorf("invalid port number: %v", n)
	}
	return n, nil
}

// Response is what an HTTP action got.
type Response struct {
	Code int
	Body string
	// Redirected says that the answer was a redirect to another host, which is not followed.
	Redirected bool
}

const (
	maxBody      = 10 << 10
	maxRedirects = 10
	userAgent    = "kube-probe/1.37"
)

// HTTP sends a GET request to the pod.
func HTTP(ctx context.Context, c *v1.Container, ip string, a *v1.HTTPGetAction) (Response, error) {
	port, err := Port(c, a.Port)
	if err != nil {
		return Response{}, err
	}
	host := a.Host
	if host == "" {
		host = ip
	}
	target := target(strings.ToLower(string(a.Scheme)), net.JoinHostPort(host, strconv.Itoa(port)), a.Path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return Response{}, err
	}
	setHeaders(req, a.HTTPHeaders)
	client := &http.Client{
		// Nothing is reused: a probe tests that a new connection is accepted.
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // probes don't verify certificates
			DisableKeepAlives: true, DisableCompression: true, Proxy: nil,
			DialContext: dialer().DialContext,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= maxRedirects {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Response{}, fmt.Errorf("reading the answer: %w", err)
	}
	return Response{
		Code: resp.StatusCode, Body: string(body),
		Redirected: resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest,
	}, nil
}

// target builds the URL; the path may have a query.
func target(scheme, host, path string) *url.URL {
	if scheme == "" {
		scheme = "http"
	}
	u, err := url.Parse(path)
	if err != nil {
		u = &url.URL{Path: path}
	}
	u.Scheme, u.Host = scheme, host
	return u
}

func setHeaders(req *http.Request, headers []v1.HTTPHeader) {
	for _, h := range headers {
		if strings.EqualFold(h.Name, "Host") {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
	if _, set := req.Header["User-Agent"]; !set {
		req.Header.Set("User-Agent", userAgent)
	}
	if _, set := req.Header["Accept"]; !set {
		req.Header.Set("Accept", "*/*")
	} else if req.Header.Get("Accept") == "" {
		req.Header.Del("Accept")
	}
}

func dialer() *net.Dialer { return &net.Dialer{KeepAlive: -1} }

// TCP opens a connection and closes it.
func TCP(ctx context.Context, c *v1.Container, ip string, a *v1.TCPSocketAction) error {
	port, err := Port(c, a.Port)
	if err != nil {
		return err
	}
	host := a.Host
	if host == "" {
		host = ip
	}
	conn, err := dialer().DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

// GRPC asks a health service. The message says why it is not healthy.
func GRPC(ctx context.Context, ip string, a *v1.GRPCAction) (healthy bool, message string) {
	addr := net.JoinHostPort(ip, strconv.Itoa(int(a.Port)))
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(userAgent), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return dialer().DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		return false, fmt.Sprintf("error: failed to connect service at %q: %v", addr, err)
	}
	defer conn.Close()
	service := ""
	if a.Service != nil {
		service = *a.Service
	}
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		switch s, _ := status.FromError(err); s.Code() {
		case codes.Unimplemented:
			return false, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + s.Message()
		case codes.DeadlineExceeded:
			return false, "timeout: health rpc did not complete in time"
		default:
			return false, fmt.Sprintf("error: health rpc probe failed: %v", err)
		}
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return false, fmt.Sprintf("service unhealthy (responded with %q)", answer.Status.String())
	}
	return true, "service healthy"
}
