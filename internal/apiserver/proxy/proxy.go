package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/request"
)

// Dial makes a connection.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config says how nodes, pods and services are reached.
type Config struct {
	// NodeTLS has the client certificate shown to kubelets and the authorities that sign theirs.
	NodeTLS *tls.Config
	// DialNode reaches nodes, DialPod reaches pod addresses. Nil uses the process's own network.
	DialNode, DialPod Dial
	// Pick chooses among n endpoints of a service: a number from 0 to below n. The API server sets it.
	Pick   func(n int) int
	Logger *slog.Logger
}

// Proxy serves streams. Safe for concurrent use.
type Proxy struct {
	chain  *chain.Chain
	cfg    Config
	params runtime.ParameterCodec
	// nodes and pods keep connections for plain requests; HTTP/1.1 alone, since streams are upgraded.
	nodes, careless, pods *http.Transport
	log                   *slog.Logger
}

// New makes a Proxy.
func New(c *chain.Chain, cfg Config) *Proxy {
	if cfg.DialNode == nil {
		cfg.DialNode = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if cfg.DialPod == nil {
		cfg.DialPod = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	nodeTLS := cfg.NodeTLS
	if nodeTLS == nil {
		nodeTLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	careless := nodeTLS.Clone()
	careless.InsecureSkipVerify = true // asked for by a log request that says so
	return &Proxy{
		chain: c, cfg: cfg, log: cfg.Logger, params: runtime.NewParameterCodec(c.Catalogue().Scheme()),
		nodes: transport(cfg.DialNode, nodeTLS), careless: transport(cfg.DialNode, careless),
		// Upstream does not verify what pods and services show either: they have no known authority.
		pods: transport(cfg.DialPod, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}),
	}
}

const (
	dialTimeout = 10 * time.Second
	idleTimeout = 90 * time.Second
)

func transport(dial Dial, conf *tls.Config) *http.Transport {
	conf = conf.Clone()
	conf.NextProtos = []string{"http/1.1"}
	return &http.Transport{
		DialContext: dial, TLSClientConfig: conf, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout,
		MaxIdleConnsPerHost: 4, DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// ServeStream implements wire.Streams.
func (p *Proxy) ServeStream(w http.ResponseWriter, r *http.Request, call *chain.Call, rest string) error {
	gr := call.Target.Resource.GroupResource()
	switch gr.String() + "/" + call.Sub.Name {
	case "pods/log":
		return p.podLog(w, r, call)
	case "pods/exec", "pods/attach":
		return p.session(w, r, call)
	case "pods/portforward":
		return p.portForward(w, r, call)
	case "pods/proxy":
		return p.podProxy(w, r, call, rest)
	case "services/proxy":
		return p.serviceProxy(w, r, call, rest)
	case "nodes/proxy":
		return p.nodeProxy(w, r, call, rest)
	default:
		return apierrors.NewMethodNotSupported(gr, call.Sub.Name)
	}
}

// options reads the query into the subresource's options, and asks admission.
func (p *Proxy) options(r *http.Request, call *chain.Call) (runtime.Object, error) {
	gvk := call.Sub.GVK
	if call.Sub.Name == "log" {
		gvk.Kind = "PodLogOptions" // discovery says Pod, as upstream's does
	}
	opts, err := p.chain.Catalogue().Scheme().New(gvk)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := p.params.DecodeParameters(r.URL.Query(), gvk.GroupVersion(), opts); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return opts, p.chain.Connect(r.Context(), call, opts)
}

// mayCreate asks for the right to create, which sessions need however they were asked for.
func (p *Proxy) mayCreate(ctx context.Context, a request.Attributes) error {
	if a.Verb == "create" {
		return nil
	}
	a.Verb = "create"
	return p.chain.Authorize(ctx, &a)
}

// get reads an object for a call, of which the caller has the right to use a subresource.
func get[T api.Object](ctx context.Context, p *Proxy, gr schema.GroupResource, namespace, name string) (T, error) {
	var zero T
	target, err := p.chain.Resolve(gr, "", "")
	if err != nil {
		return zero, apierrors.NewInternalError(err)
	}
	call := &chain.Call{Target: target, Attributes: request.Attributes{
		Verb: "get", IsResource: true, Group: gr.Group, Resource: gr.Resource, Namespace: namespace, Name: name,
	}}
	item, err := p.chain.Get(ctx, call, "")
	if err != nil {
		return zero, err
	}
	obj, err := item.Object()
	if err != nil {
		return zero, err
	}
	typed, ok := obj.(T)
	if !ok {
		return zero, apierrors.NewInternalError(errWrongType(gr))
	}
	return typed, nil
}

type errWrongType schema.GroupResource

func (e errWrongType) Error() string {
	return "object of " + schema.GroupResource(e).String() + " has an unexpected type"
}
