package wire

import (
	"context"
	"net/http"

	"github.com/gorilla/websocket"

	"coracle.dev/coracle/internal/apiserver/convert"
)

// socketWriter stands in for the ResponseWriter of a watch over WebSocket: each event is one message.
type socketWriter struct {
	conn   *websocket.Conn
	kind   int
	header http.Header
}

func (s *socketWriter) Header() http.Header { return s.header }

// WriteHeader does nothing: the handshake was the answer.
func (s *socketWriter) WriteHeader(int) {}

func (s *socketWriter) Write(p []byte) (int, error) {
	if err := s.conn.WriteMessage(s.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// overSocket turns a watch's answer into a WebSocket. The returned context ends when the client goes away. False means that
// the handshake failed and has been answered.
func (a *answer) overSocket(ctx context.Context) (context.Context, func(), bool) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(a.w, a.r, nil)
	if err != nil {
		return ctx, func() {}, false
	}
	kind := websocket.TextMessage
	if a.media.Type == convert.Protobuf {
		kind = websocket.BinaryMessage
	}
	a.w = &socketWriter{conn: conn, kind: kind, header: http.Header{}}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return // the client has nothing to say; what it sends is only its end
			}
		}
	}()
	return ctx, func() {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = conn.WriteMessage(websocket.CloseMessage, bye) // the client may be gone
		_ = conn.Close()                                   // as above
		cancel()
	}, true
}
