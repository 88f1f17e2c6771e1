package holder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	requestTimeout = 10 * time.Second
	maxHead        = 8 << 10 // bytes of a proxy request's head
	maxDatagram    = 64 << 10
)

// outside reaches the machine's network from this process. Safe for concurrent use.
type outside struct {
	namespace int // descriptor of the machine's network namespace
}

// dial connects to an address (not a name) in the machine's network namespace.
func (o *outside) dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		// A socket belongs to the namespace of the thread that makes it. The thread is never unlocked, so it ends with this
		// goroutine and no other runs in the wrong namespace.
		runtime.LockOSThread()
		if err := unix.Setns(o.namespace, unix.CLONE_NEWNET); err != nil {
			results <- result{err: fmt.Errorf("entering the machine's network: %w", err)}
			return
		}
		dialer := net.Dialer{Timeout: dialTimeout}
		conn, err := dialer.DialContext(ctx, network, address)
		results <- result{conn, err}
	}()
	r := <-results
	return r.conn, r.err
}

// dialName connects to HOST:PORT, where HOST may be a name that the machine knows.
func (o *outside) dialName(ctx context.Context, target string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, fmt.Errorf("the target %q: %w", target, err)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: o.dial}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", host, err)
	}
	var errs []error
	for _, address := range addresses {
		conn, err := o.dial(ctx, "tcp", net.JoinHostPort(address.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// serveProxy answers HTTP's CONNECT and nothing else.
func (o *outside) serveProxy(ctx context.Context, listener net.Listener) {
	acceptAll(listener, func(conn net.Conn) {
		if err := o.connect(ctx, conn); err != nil {
			fmt.Fprintln(os.Stderr, "coracle-init: proxy:", err)
		}
	})
}

func (o *outside) connect(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	// Nothing follows the head before the answer, so the buffer keeps nothing back.
	target, err := readConnect(bufio.NewReader(io.LimitReader(conn, maxHead)))
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n\r\n")
		return err
	}
	peer, err := o.dialName(ctx, target)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n")
		return err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		peer.Close()
		return err
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		peer.Close()
		return err
	}
	join(conn, peer)
	return nil
}

// readConnect reads the head of a request and returns what CONNECT asks for.
func readConnect(r *bufio.Reader) (string, error) {
	first, err := r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("reading a request: %w", err)
	}
	fields := strings.Fields(first)
	if len(fields) != 3 || fields[0] != "CONNECT" || !strings.HasPrefix(fields[2], "HTTP/1.") {
		return "", errors.New("a request was not CONNECT: only TLS connections can leave the cluster")
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("reading a request: %w", err)
		}
		if strings.TrimRight(line, "\r\n") == "" {
			return fields[1], nil
		}
	}
}

// serveDNS passes questions on to the machine's name servers, word for word.
func (o *outside) serveDNS(ctx context.Context, address string) error {
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("listening for DNS: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening for DNS: %w", errors.Join(err, packets.Close()))
	}
	go acceptAll(listener, func(conn net.Conn) {
		peer, err := o.dialNameServer(ctx, "tcp")
		if err != nil {
			conn.Close()
			return
		}
		join(conn, peer)
	})
	go o.relayPackets(ctx, packets)
	return nil
}

func (o *outside) relayPackets(ctx context.Context, packets net.PacketConn) {
	buffer := make([]byte, maxDatagram)
	for {
		length, from, err := packets.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		question := append([]byte(nil), buffer[:length]...)
		go func() {
			if answer, err := o.ask(ctx, question); err == nil {
				// An answer that is lost is asked for again.
				_, _ = packets.WriteTo(answer, from)
			}
		}()
	}
}

func (o *outside) ask(ctx context.Context, question []byte) ([]byte, error) {
	conn, err := o.dialNameServer(ctx, "udp")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, maxDatagram)
	length, err := conn.Read(answer)
	return answer[:length], err
}

// dialNameServer connects to the first of the machine's name servers that takes the connection.
func (o *outside) dialNameServer(ctx context.Context, network string) (net.Conn, error) {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("looking for name servers: %w", err)
	}
	errs := []error{errors.New("no name server answers")}
	for _, server := range nameServers(string(data)) {
		conn, err := o.dial(ctx, network, net.JoinHostPort(server, "53"))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// nameServers reads resolv.conf(5); without any name server that file means the machine itself.
func nameServers(resolvConf string) []string {
	var servers []string
	for _, line := range strings.Split(resolvConf, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	if len(servers) == 0 {
		return []string{"127.0.0.1"}
	}
	return servers
}
