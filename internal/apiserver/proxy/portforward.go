package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"coracle.dev/coracle/internal/apiserver/chain"
)

// tunnelPrefix marks the WebSocket protocols that carry SPDY frames.
const tunnelPrefix = "SPDY/3.1+"

// portForward serves port-forward, by SPDY or by SPDY within a WebSocket.
func (p *Proxy) portForward(w http.ResponseWriter, r *http.Request, call *chain.Call) error {
	if err := p.mayCreate(r.Context(), call.Attributes); err != nil {
		return err
	}
	if _, err := p.options(r, call); err != nil {
		return err
	}
	pod, location, err := p.podNode(r.Context(), call)
	if err != nil {
		return err
	}
	location.Path = "/portForward/" + pod.Namespace + "/" + pod.Name
	location.RawQuery = url.Values{"port": r.URL.Query()["ports"]}.Encode()
	if !httpstream.IsUpgradeRequest(r) {
		return apierrors.NewBadRequest("Upgrade request required")
	}
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		return p.tunnel(w, r, location)
	}
	p.forward(w, r, location, p.nodes, "")
	return nil
}

// tunnel carries a SPDY connection within a WebSocket: each message is a piece of the stream.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, to *url.URL) error {
	var protocols []string
	for _, name := range websocket.Subprotocols(r) {
		if rest, ok := strings.CutPrefix(name, tunnelPrefix); ok {
			protocols = append(protocols, rest)
		}
	}
	if len(protocols) == 0 {
		return apierrors.NewBadRequest("unable to upgrade: no tunneling spdy protocols provided")
	}
	node, header, err := p.upgradeSPDY(r.Context(), to, protocols...)
	if err != nil {
		return err
	}
	defer node.Close()
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	if chosen := header.Get(httpstream.HeaderProtocolVersion); chosen != "" {
		upgrader.Subprotocols = []string{tunnelPrefix + chosen}
	}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // the handshake has answered
	}
	defer socket.Close()
	var ends sync.Once
	end := func() {
		ends.Do(func() {
			_ = node.Close()   // wakes the other direction
			_ = socket.Close() // as above
		})
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer end()
		fromSocket(node, socket)
	})
	both.Go(func() {
		defer end()
		toSocket(socket, node)
	})
	both.Wait()
	return nil
}

func fromSocket(to io.Writer, from *websocket.Conn) {
	for {
		kind, data, err := from.NextReader()
		if err != nil {
			return
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		if _, err := io.Copy(to, data); err != nil {
			return
		}
	}
}

func toSocket(to *websocket.Conn, from io.Reader) {
	buf := make([]byte, 32*1024)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if writeErr := to.WriteMessage(websocket.BinaryMessage, buf[:n]); writeErr != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
				_ = to.WriteMessage(websocket.CloseMessage, bye) // the client may be gone
			}
			return
		}
	}
}
