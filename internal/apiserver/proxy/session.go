package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/chain"
)

// Protocols of sessions, and the numbers that a WebSocket session gives its streams.
const (
	spdyUpgrade   = "SPDY/3.1"
	sessionSPDY   = "v4.channel.k8s.io"
	sessionSocket = "v5.channel.k8s.io"

	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
	channelError  = 3
	channelResize = 4

	sessionIdle = 4 * time.Hour
)

// session serves exec and attach.
func (p *Proxy) session(w http.ResponseWriter, r *http.Request, call *chain.Call) error {
	if err := p.mayCreate(r.Context(), call.Attributes); err != nil {
		return err
	}
	opts, err := p.options(r, call)
	if err != nil {
		return err
	}
	want := wanted(opts)
	pod, location, err := p.podNode(r.Context(), call)
	if err != nil {
		return err
	}
	container, err := containerOf(pod, want.container)
	if err != nil {
		return err
	}
	location.Path = "/" + call.Sub.Name + "/" + pod.Namespace + "/" + pod.Name + "/" + container
	location.RawQuery = want.query().Encode()
	if !httpstream.IsUpgradeRequest(r) {
		return apierrors.NewBadRequest("Upgrade request required")
	}
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		return p.translate(w, r, location, want)
	}
	p.forward(w, r, location, p.nodes, "")
	return nil
}

// podNode reads the pod of a call and finds its node.
func (p *Proxy) podNode(ctx context.Context, call *chain.Call) (*corev1.Pod, *url.URL, error) {
	pod, err := get[*corev1.Pod](ctx, p, kinds.Pods(), call.Namespace, call.Name)
	if err != nil {
		return nil, nil, err
	}
	if pod.Spec.NodeName == "" {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	location, _, err := p.nodeURL(ctx, pod.Spec.NodeName)
	return pod, location, err
}

// upgradeSPDY asks a kubelet for a SPDY connection. What the kubelet says instead becomes the error.
func (p *Proxy) upgradeSPDY(ctx context.Context, to *url.URL, protocols ...string) (io.ReadWriteCloser, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), nil)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(err)
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", spdyUpgrade)
	for _, protocol := range protocols {
		r.Header.Add(httpstream.HeaderProtocolVersion, protocol)
	}
	resp, err := p.nodes.RoundTrip(r)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("error dialing backend: %w", err))
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer resp.Body.Close()
		return nil, nil, refusedUpgrade(resp)
	}
	return conn, resp.Header, nil
}

func refusedUpgrade(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is what is shown
	var status metav1.Status
	if json.Unmarshal(data, &status) == nil && status.Kind == "Status" {
		return &apierrors.StatusError{ErrStatus: status}
	}
	code := resp.StatusCode
	if code < http.StatusBadRequest {
		code = http.StatusBadGateway
	}
	return apierrors.NewGenericServerResponse(
		code, "", schema.GroupResource{}, "", "unable to upgrade connection: "+strings.TrimSpace(string(data)), 0, true)
}

// translate serves a WebSocket session by a SPDY session with the kubelet.
func (p *Proxy) translate(w http.ResponseWriter, r *http.Request, to *url.URL, want streamsWanted) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	raw, _, err := p.upgradeSPDY(ctx, to, sessionSPDY)
	if err != nil {
		return err
	}
	conn, err := spdy.NewClientConnection(wrapConn(raw))
	if err != nil {
		return apierrors.NewInternalError(errors.Join(err, raw.Close()))
	}
	defer func() { _ = conn.Close() }() // the session is over
	socket := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		sessionSocket: {Binary: true, Channels: want.channels()},
	})
	socket.SetIdleTimeout(sessionIdle)
	_, channels, err := socket.Open(w, r)
	if err != nil {
		return nil // the handshake has answered
	}
	defer func() { _ = socket.Close() }() // the session is over
	s := &translated{want: want, conn: conn, channels: channels}
	if err := s.run(); err != nil {
		s.status(apierrors.NewInternalError(err).Status())
	}
	return nil
}

// channels are the directions of a WebSocket session's streams, by number.
func (s streamsWanted) channels() []wsstream.ChannelType {
	when := func(on bool, t wsstream.ChannelType) wsstream.ChannelType {
		if on {
			return t
		}
		return wsstream.IgnoreChannel
	}
	out := make([]wsstream.ChannelType, channelResize+1)
	out[channelStdin] = when(s.stdin, wsstream.ReadChannel)
	out[channelStdout] = when(s.stdout, wsstream.WriteChannel)
	out[channelStderr] = when(s.stderr, wsstream.WriteChannel)
	out[channelError] = wsstream.WriteChannel
	out[channelResize] = wsstream.ReadChannel
	return out
}

// translated is a session under way.
type translated struct {
	want     streamsWanted
	conn     httpstream.Connection
	channels []io.ReadWriteCloser
}

// run opens the SPDY streams, joins them with the WebSocket's, and returns when the command has ended.
func (s *translated) run() error {
	// An empty message tells the client that the session stands.
	greet := channelError
	if s.want.stderr && !s.want.tty {
		greet = channelStderr
	}
	if s.want.stdout {
		greet = channelStdout
	}
	if _, err := s.channels[greet].Write(nil); err != nil {
		return nil // the client is gone
	}
	verdict, err := s.open(corev1.StreamTypeError)
	if err != nil {
		return err
	}
	_ = verdict.Close() // only the kubelet writes here
	if s.want.stdin {
		stdin, err := s.open(corev1.StreamTypeStdin)
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(stdin, s.channels[channelStdin]) // ends with either side
			_ = stdin.Close()                               // tells the command that its input has ended
		}()
	}
	var output sync.WaitGroup
	if err := s.outputs(&output); err != nil {
		return err
	}
	if err := s.resizes(); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(verdict, 1<<20))
	output.Wait()
	if err != nil && len(data) == 0 {
		return fmt.Errorf("reading the result of the command: %w", err)
	}
	if len(data) == 0 {
		s.status(metav1.Status{Status: metav1.StatusSuccess})
		return nil
	}
	_, _ = s.channels[channelError].Write(data) // the client may be gone
	return nil
}

func (s *translated) open(kind string) (httpstream.Stream, error) {
	stream, err := s.conn.CreateStream(http.Header{corev1.StreamType: {kind}})
	if err != nil {
		return nil, fmt.Errorf("opening the %s stream: %w", kind, err)
	}
	return stream, nil
}

// outputs joins the streams that the command writes.
func (s *translated) outputs(done *sync.WaitGroup) error {
	for _, o := range []struct {
		on      bool
		kind    string
		channel int
	}{
		{s.want.stdout, corev1.StreamTypeStdout, channelStdout},
		{s.want.stderr && !s.want.tty, corev1.StreamTypeStderr, channelStderr},
	} {
		if !o.on {
			continue
		}
		stream, err := s.open(o.kind)
		if err != nil {
			return err
		}
		_ = stream.Close() // nothing is written in this direction
		done.Go(func() {
			_, _ = io.Copy(s.channels[o.channel], stream) // ends with either side
		})
	}
	return nil
}

// resizes passes changes of the terminal's size on. The channel ends when the client goes away, which ends the session.
func (s *translated) resizes() error {
	to := io.Discard
	if s.want.tty {
		stream, err := s.open(corev1.StreamTypeResize)
		if err != nil {
			return err
		}
		to = stream
	}
	go func() {
		_, _ = io.Copy(to, s.channels[channelResize]) // ends with the client
		_ = s.conn.Close()                            // the session has no one left to serve
	}()
	return nil
}

// status tells the client how the session ended.
func (s *translated) status(status metav1.Status) {
	data, err := json.Marshal(status)
	if err != nil {
		return
	}
	_, _ = s.channels[channelError].Write(data) // the client may be gone
}
