package holder

import (
	"bufio"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestReadConnect(t *testing.T) {
	tests := []struct{ name, head, want string }{
		{"connect", "CONNECT registry.example:443 HTTP/1.1\r\nHost: registry.example\r\n\r\n", "registry.example:443"},
		{"bare line ends", "CONNECT [::1]:443 HTTP/1.0\n\n", "[::1]:443"},
		{"another method", "GET http://registry.example/ HTTP/1.1\r\n\r\n", ""},
		{"no version", "CONNECT registry.example:443\r\n\r\n", ""},
		{"cut short", "CONNECT registry.example:443 HTTP/1.1\r\nHost: x\r\n", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readConnect(bufio.NewReader(strings.NewReader(tt.head)))
			if got != tt.want || (err == nil) == (tt.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestNameServers(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string
	}{
		{"two", "# local\nsearch example\nnameserver 10.0.0.1\nnameserver  10.0.0.2 \n", []string{"10.0.0.1", "10.0.0.2"}},
		{"none", "search example\n", []string{"127.0.0.1"}},
		{"cut", "nameserver\n", []string{"127.0.0.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := nameServers(tt.file); !slices.Equal(got, tt.want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// echo answers each connection with what it said, after it has said all.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go acceptAll(listener, func(conn net.Conn) {
		defer conn.Close()
		said, err := io.ReadAll(conn)
		if err == nil {
			_, _ = conn.Write(append([]byte("heard "), said...))
		}
	})
	return listener.Addr().String()
}

// say sends text, ends its side, and returns everything that comes back.
func say(t *testing.T, conn net.Conn, text string) string {
	t.Helper()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestForwardKeepsHalfClosedConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go forward(t.Context(), listener, echo(t))
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := say(t, conn, "hello"); got != "heard hello" {
		t.Errorf("got %q", got)
	}
}

func TestProxy(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("entering a network namespace needs root")
	}
	namespace, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer namespace.Close()
	o := &outside{namespace: int(namespace.Fd())}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go o.serveProxy(t.Context(), listener)
	target := echo(t)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
	if _, err := io.ReadFull(conn, reader); err != nil || !strings.HasPrefix(string(reader), "HTTP/1.1 200") {
		t.Fatalf("got %q, %v", reader, err)
	}
	if got := say(t, conn, "hello"); got != "heard hello" {
		t.Errorf("got %q", got)
	}
	runtime.KeepAlive(namespace)
}
