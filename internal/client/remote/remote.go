package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/client"
)

// Config says which server to speak to, and as whom. URL, Catalogue, Clock and Jitter are required.
type Config struct {
	// URL of the server, such as https://10.0.0.1:6443.
	URL string
	// CA holds PEM certificates to trust; empty means the system's.
	CA []byte
	// CertFile and KeyFile are a client certificate; changed files are taken up with the next connection.
	CertFile, KeyFile string
	// Token is a bearer token. TokenFile is read anew when it changes.
	Token     string
	TokenFile string
	// Catalogue knows the kinds.
	Catalogue *api.Catalogue
	// UserAgent is also the default field manager, up to its first slash.
	UserAgent string
	// Dial makes connections; nil uses the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Clock tells when to try again, and when to look at files again.
	Clock clock.Clock
	// Jitter returns a random number in [0,1) that spreads retries.
	Jitter func() float64
	Logger *slog.Logger
}

// Client is a client.Interface over HTTPS. Safe for concurrent use.
type Client struct {
	cfg   Config
	base  *url.URL
	http  *http.Client
	auth  *tokenFile
	codec *codec.Set
	log   *slog.Logger
	kinds kinds

	mu     sync.Mutex
	caches map[client.Selection]*cache
	// queued are the caches that Run has not taken yet; wake tells it that there are any.
	queued []*cache
	wake   chan struct{}
}

var _ client.Interface = (*Client)(nil)

// New makes a client. It connects to nothing before it is used.
func New(cfg Config) (*Client, error) {
	if cfg.Catalogue == nil || cfg.Clock == nil || cfg.Jitter == nil {
		return nil, errors.New("remote client: Catalogue, Clock and Jitter are required")
	}
	base, err := url.Parse(strings.TrimSuffix(cfg.URL, "/"))
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("remote client: %q is no server's URL", cfg.URL)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{
		cfg: cfg, base: base, http: &http.Client{Transport: transport}, auth: newTokenFile(cfg),
		codec: codec.New(cfg.Catalogue.Scheme()), log: cfg.Logger,
		caches: map[client.Selection]*cache{}, wake: make(chan struct{}, 1),
	}, nil
}

// Catalogue implements client.Interface.
func (c *Client) Catalogue() *api.Catalogue { return c.cfg.Catalogue }

// Cache implements client.Interface.
func (c *Client) Cache(sel client.Selection) (client.Cache, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if shared, ok := c.caches[sel]; ok {
		return shared, nil
	}
	res, known := c.cfg.Catalogue.Resource(sel.Resource)
	if !known && !sel.MetadataOnly {
		return nil, fmt.Errorf("cache of %s: no such resource in the catalogue", sel.Resource)
	}
	made := newCache(c, sel, res)
	c.caches[sel] = made
	c.queued = append(c.queued, made)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return made, nil
}

// Run fills the caches, those that exist and those to come, until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer c.http.CloseIdleConnections()
	defer running.Wait()
	for {
		c.mu.Lock()
		queued := c.queued
		c.queued = nil
		c.mu.Unlock()
		for _, k := range queued {
			running.Go(func() { k.fill(ctx) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
	}
}
