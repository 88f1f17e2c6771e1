package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
)

// notifySocket receives what a service tells its manager by systemd's sd_notify(3) protocol: containerd sends READY=1 once it
// serves, so nobody needs to ask again and again.
type notifySocket struct {
	path string
	conn *net.UnixConn
}

func listenNotify(path string) (*notifySocket, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listening for containerd's readiness: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listening for containerd's readiness: %w", err)
	}
	return &notifySocket{path: path, conn: conn}, nil
}

// wait returns nil when the service is ready, and an error when the socket was closed before.
func (n *notifySocket) wait() error {
	buffer := make([]byte, 4096)
	for {
		length, err := n.conn.Read(buffer)
		if err != nil {
			return fmt.Errorf("waiting for readiness: %w", err)
		}
		if slices.Contains(strings.Split(string(buffer[:length]), "\n"), "READY=1") {
			return nil
		}
	}
}

func (n *notifySocket) Close() error { return n.conn.Close() }
