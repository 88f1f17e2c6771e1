package apiserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"coracle.dev/coracle/internal/apiserver/request"
)

// raw performs a request in process, as the user. The answer's body is a pipe that the handler writes into.
func (s *Server) raw(
	ctx context.Context, user request.User, method, path string, header http.Header, body io.Reader,
) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, userKey{}, user))
	r, err := http.NewRequestWithContext(ctx, method, "https://coracle"+path, body)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("request %s %s: %w", method, path, err)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: writer, headed: make(chan struct{})}
	go func() {
		defer cancel()
		s.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK) // for a handler that wrote nothing at all
		_ = writer.Close()           // never fails
	}()
	select {
	case <-w.headed:
	case <-ctx.Done():
		_ = reader.CloseWithError(ctx.Err()) // never fails
		return nil, ctx.Err()
	}
	return &http.Response{
		StatusCode: w.code, Status: http.StatusText(w.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: -1, Request: r, Body: &pipeBody{PipeReader: reader, cancel: cancel},
	}, nil
}

// pipeWriter is the ResponseWriter of an in-process request.
type pipeWriter struct {
	header http.Header
	sent   http.Header
	body   *io.PipeWriter
	once   sync.Once
	code   int
	headed chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(code int) {
	w.once.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.headed)
	})
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush implements http.Flusher: a pipe holds nothing back.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// pipeBody ends the request when its reader has enough.
type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *pipeBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
