package chain

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/admission"
	"coracle.dev/coracle/internal/apiserver/alloc"
	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/convert"
	"coracle.dev/coracle/internal/apiserver/patch"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/store"
)

// Handler answers a create that stores nothing of its own: reviews, tokens. Obj is what was posted, of the (sub)resource's
// type, admitted; it belongs to the handler.
type Handler func(
	ctx context.Context, user request.User, namespace, name string, obj runtime.Object,
) (runtime.Object, error)

// Config is what a Chain needs. Store, Catalogue, Codec, Now and Rand are required.
type Config struct {
	Store     store.Store
	Catalogue *api.Catalogue
	// Codec returns the codec of a stored resource.
	Codec func(*api.Resource) store.Codec
	// Authorizer decides on every call; nil allows everything.
	Authorizer authz.Authorizer
	Admission  []admission.Plugin
	Allocators map[schema.GroupResource]alloc.Allocator
	// Handlers by "resource.group/subresource", group and subresource left out when empty, as in "serviceaccounts/token" and
	// "tokenreviews.authentication.k8s.io".
	Handlers map[string]Handler
	Now      func() time.Time
	// NewUID makes the UIDs of objects; nil makes random ones.
	NewUID func() types.UID
	// Rand returns a random number from 0 to below n, for the ends of generated names.
	Rand   func(n int) int
	Logger *slog.Logger
}

// Chain carries out API calls. Safe for concurrent use.
type Chain struct {
	cfg         Config
	catalogue   atomic.Pointer[served]
	collections sync.Map // storage prefix → store.Collection
	fields      *patch.Fields
	progress    progress
	log         *slog.Logger
}

// served is a catalogue and what is derived from it.
type served struct {
	catalogue *api.Catalogue
	decoder   *convert.Decoder
}

// New makes a Chain. It touches nothing until it is called.
func New(cfg Config) (*Chain, error) {
	if cfg.Store == nil || cfg.Catalogue == nil || cfg.Codec == nil || cfg.Now == nil || cfg.Rand == nil {
		return nil, errors.New("chain: Store, Catalogue, Codec, Now and Rand are required")
	}
	if cfg.NewUID == nil {
		cfg.NewUID = uuid.NewUUID
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chain{cfg: cfg, fields: patch.NewFields(cfg.Catalogue.Scheme()), log: cfg.Logger}
	c.SetCatalogue(cfg.Catalogue)
	return c, nil
}

// SetCatalogue replaces what is served; calls already under way end with what they began with.
func (c *Chain) SetCatalogue(catalogue *api.Catalogue) {
	old := c.catalogue.Load()
	next := &served{catalogue: catalogue}
	if old != nil && old.catalogue.Scheme() == catalogue.Scheme() {
		next.decoder = old.decoder
	} else {
		next.decoder = convert.NewDecoder(catalogue.Scheme())
	}
	c.catalogue.Store(next)
}

// Catalogue returns what is served now.
func (c *Chain) Catalogue() *api.Catalogue { return c.catalogue.Load().catalogue }

// Decoder returns the decoder of the served types.
func (c *Chain) Decoder() *convert.Decoder { return c.catalogue.Load().decoder }

// Store returns the store below.
func (c *Chain) Store() store.Store { return c.cfg.Store }

// Now returns the time as the chain's clock has it.
func (c *Chain) Now() time.Time { return c.cfg.Now() }

// Resolve finds what a URL names. Version may be empty: the preferred one. An unknown name is a 404 in upstream's form.
func (c *Chain) Resolve(gr schema.GroupResource, version, subresource string) (Target, error) {
	res, ok := c.Catalogue().Resource(gr)
	if !ok {
		return Target{}, ErrNoRoute
	}
	t := Target{Resource: res}
	if version == "" && len(res.Versions) > 0 {
		version = res.Versions[0].Name
	}
	if t.Version, ok = res.Version(version); !ok {
		return Target{}, ErrNoRoute
	}
	if subresource == "" {
		return t, nil
	}
	if t.Sub, ok = res.Subresource(subresource); !ok {
		return Target{}, ErrNoRoute
	}
	return t, nil
}

// ErrNoRoute says that nothing is served under that name.
var ErrNoRoute = errors.New("the server could not find the requested resource")

// kind is a resource with its place in the store.
type kind struct {
	res    *api.Resource // as the URL names it
	stored *api.Resource // whose storage it is; the same for all but views such as events.k8s.io
	coll   store.Collection
	prefix string
}

// Source is a resource's place in the store, for caches that read the image directly.
type Source struct {
	Resource   *api.Resource
	Collection store.Collection
	kind       *kind
}

// Source opens the storage of a resource.
func (c *Chain) Source(ctx context.Context, res *api.Resource) (Source, error) {
	k, err := c.kind(ctx, res)
	if err != nil {
		return Source{}, err
	}
	return Source{Resource: res, Collection: k.coll, kind: k}, nil
}

// Key is where an object lies; without a name the folder of a namespace, without both that of the resource.
func (s Source) Key(namespace, name string) string { return s.kind.key(namespace, name) }

// Stored returns the resource whose storage and Go type a resource has: itself for all but views such as events.k8s.io.
func (c *Chain) Stored(res *api.Resource) *api.Resource {
	if res.StoredAs.Resource != "" {
		if owner, ok := c.Catalogue().Resource(res.StoredAs); ok {
			return owner
		}
	}
	return res
}

// kind opens the storage of a resource.
func (c *Chain) kind(ctx context.Context, res *api.Resource) (*kind, error) {
	k := &kind{res: res, stored: c.Stored(res)}
	if k.stored.StoragePath == "" {
		return nil, apierrors.NewMethodNotSupported(res.GroupResource(), "read")
	}
	k.prefix = "/registry/" + k.stored.StoragePath + "/"
	if coll, ok := c.collections.Load(k.prefix); ok {
		k.coll = coll.(store.Collection)
		return k, nil
	}
	spec := store.CollectionSpec{Prefix: k.prefix, Codec: c.cfg.Codec(k.stored), Indexes: indexes(k.stored)}
	coll, err := c.cfg.Store.Collection(ctx, spec)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	c.collections.Store(k.prefix, coll)
	k.coll = coll
	return k, nil
}

// indexes gives the store the resource's indexes.
func indexes(res *api.Resource) map[string]func(any) []string {
	out := make(map[string]func(any) []string, len(res.Indexes))
	for name, fn := range res.Indexes {
		out[name] = func(obj any) []string {
			o, ok := obj.(api.Object)
			if !ok {
				return nil
			}
			return fn(o)
		}
	}
	return out
}

// key is where an object lies; name may be empty for the folder of a namespace, both for the whole.
func (k *kind) key(namespace, name string) string {
	if k.stored.Namespaced {
		switch {
		case namespace == "":
			return k.prefix
		default:
			return k.prefix + namespace + "/" + name
		}
	}
	return k.prefix + name
}

// strategy is the behaviour that rules writes through this name.
func (k *kind) strategy() *api.Strategy {
	if k.res != k.stored && k.res.Strategy.Validate == nil {
		return &k.stored.Strategy
	}
	return &k.res.Strategy
}

// nameAlphabet has no vowels and nothing that is easily misread, as upstream's generated names.
const nameAlphabet = "bcdfghjklmnpqrstvwxz2456789"

// suffix makes the end of a generated name.
func (c *Chain) suffix() string {
	b := make([]byte, 5)
	for i := range b {
		b[i] = nameAlphabet[c.cfg.Rand(len(nameAlphabet))]
	}
	return string(b)
}
