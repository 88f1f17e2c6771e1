package wire

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"

	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/request"
)

// MaxBody is upstream's limit on a request's body, in bytes.
const MaxBody = 3 * 1024 * 1024

// Streams serves what carries a stream and no object: log, exec, attach, portforward and proxy.
type Streams interface {
	// ServeStream serves a call whose target has no object of its own. Rest is the path below a proxy subresource.
	ServeStream(w http.ResponseWriter, r *http.Request, call *chain.Call, rest string) error
}

// Config is what a Handler needs besides its chain. Rand is required.
type Config struct {
	Streams Streams
	// MaxBody limits bodies, in bytes; MaxBody when 0.
	MaxBody int64
	Logger  *slog.Logger
	// Rand returns a random number from 0 to below n; it spreads the ends of watches over time.
	Rand func(n int) int
	// BookmarkEvery is the time between bookmarks, a minute when 0.
	BookmarkEvery time.Duration
}

// Handler serves resource requests. Safe for concurrent use.
type Handler struct {
	chain *chain.Chain
	cfg   Config
	pools *pools
}

// New makes a Handler.
func New(c *chain.Chain, cfg Config) *Handler {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = MaxBody
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.BookmarkEvery == 0 {
		cfg.BookmarkEvery = time.Minute
	}
	return &Handler{chain: c, cfg: cfg, pools: newPools()}
}

// Serve serves one authorized resource request. The error, if any, has not been answered yet.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, a request.Attributes, rest string) error {
	gr := schema.GroupResource{Group: a.Group, Resource: a.Resource}
	target, err := h.chain.Resolve(gr, a.Version, a.Subresource)
	if err != nil {
		return err
	}
	warned := &warnings{}
	call := &chain.Call{Attributes: a, Target: target, Warn: warned.add}
	if target.Sub != nil && target.New() == nil {
		if h.cfg.Streams == nil {
			return chain.ErrNoRoute
		}
		return h.cfg.Streams.ServeStream(w, r, call, rest)
	}
	if rest != "" {
		return chain.ErrNoRoute
	}
	if err := checkRoute(target, &a); err != nil {
		return err
	}
	media, err := negotiate(r, offer{protobuf: hasProto(target), transforms: target.OwnKind()})
	if err != nil {
		return err
	}
	ans := &answer{w: w, r: r, media: media, warned: warned, pools: h.pools}
	query := r.URL.Query()
	switch a.Verb {
	case "get":
		return h.get(ans, call, query)
	case "list":
		return h.list(ans, call, query)
	case "watch":
		return h.watch(ans, call, query)
	default:
		return h.write(ans, call, query)
	}
}

// write serves the verbs that change something, within upstream's time for them.
func (h *Handler) write(ans *answer, call *chain.Call, query url.Values) error {
	ctx := ans.r.Context()
	switch call.Verb {
	case "create":
		return h.create(ctx, ans, call, query)
	case "update":
		return h.update(ctx, ans, call, query)
	case "patch":
		return h.patch(ctx, ans, call, query)
	case "delete":
		return h.delete(ctx, ans, call, query)
	case "deletecollection":
		return h.deleteCollection(ctx, ans, call, query)
	default:
		return apierrors.NewMethodNotSupported(call.Target.Resource.GroupResource(), call.Verb)
	}
}

func (h *Handler) get(ans *answer, call *chain.Call, query url.Values) error {
	version := query.Get("resourceVersion")
	if call.Sub != nil {
		item, obj, err := h.chain.GetSub(ans.r.Context(), call, version)
		if err != nil {
			return err
		}
		if obj != nil {
			return h.result(ans, http.StatusOK, call.Target, obj)
		}
		return h.item(ans, http.StatusOK, call.Target, item)
	}
	item, err := h.chain.Get(ans.r.Context(), call, version)
	if err != nil {
		return err
	}
	return h.item(ans, http.StatusOK, call.Target, item)
}

func evictionBeta() schema.GroupVersionKind {
	return policyv1beta1.SchemeGroupVersion.WithKind("Eviction")
}
