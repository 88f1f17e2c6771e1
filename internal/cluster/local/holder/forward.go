package holder

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

const dialTimeout = 10 * time.Second

// forward connects everyone who comes to the listener with the target inside.
func forward(ctx context.Context, listener net.Listener, target string) {
	acceptAll(listener, func(conn net.Conn) {
		dialer := net.Dialer{Timeout: dialTimeout}
		peer, err := dialer.DialContext(ctx, "tcp", target)
		if err != nil {
			conn.Close()
			return
		}
		join(conn, peer)
	})
}

// acceptAll serves every connection in a goroutine of its own, until the listener is closed.
func acceptAll(listener net.Listener, serve func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, or the caller went away. Taking a breath keeps a lasting fault from eating a processor.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go serve(conn)
	}
}

// join copies both ways until both sides have said all, and closes both.
func join(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyHalf(a, b)
	}()
	copyHalf(b, a)
	<-done
}

// copyHalf copies one direction and passes its end on. After an error the other direction is of no use either.
func copyHalf(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}
