package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/network/nft"
	"coracle.dev/coracle/internal/network/services"
)

// Proxy keeps one node's table in step with the cluster's services.
type Proxy struct {
	settings Settings
	node     Node
	feed     *services.Feed
	nodes    client.Cache
	log      *slog.Logger
	clock    clock.Clock
	health   *healthServers
	ready    chan struct{}
	once     sync.Once // closes ready
}

// New prepares a proxy for the node of that name, which has the addresses.
func New(s Settings, nodeName string, ips []netip.Addr, c client.Interface, log *slog.Logger, clk clock.Clock) (*Proxy, error) {
	feed, err := services.NewFeed(c)
	if err != nil {
		return nil, err
	}
	// All nodes, because the overlay wants them too and equal selections share a cache.
	nodes, err := c.Cache(client.Selection{Resource: kinds.Nodes()})
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	return &Proxy{
		settings: s, node: Node{Name: nodeName, IPs: ips}, feed: feed, nodes: nodes, log: log, clock: clk,
		health: newHealthServers(log), ready: make(chan struct{}),
	}, nil
}

// Ready is closed once all services were programmed for the first time.
func (p *Proxy) Ready() <-chan struct{} { return p.ready }

// retryAfter is how long a refused transaction waits for the next attempt.
const retryAfter = 5 * time.Second

// Run works until ctx ends, on the network namespace of the calling goroutine's thread. The table stays: connections go on when
// the agent stops.
func (p *Proxy) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	tracked, err := openConntrack()
	if err != nil {
		return err
	}
	defer tracked.close()
	defer p.health.close()
	watcher, err := conn.Watch(Table)
	if err != nil {
		return err
	}
	failed, foreign, zones := make(chan error, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	go func() { failed <- watcher.Run(ctx, func() { poke(foreign) }) }()
	_, stream := p.nodes.Follow()
	go p.followNode(ctx, stream, zones)
	if err := p.nodes.Sync(ctx); err != nil {
		return fmt.Errorf("reading nodes: %w", err)
	}
	if err := p.feed.Start(ctx); err != nil {
		return err
	}
	return p.loop(ctx, conn, tracked, failed, foreign, zones)
}

func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// followNode tells when this node moved to another zone.
func (p *Proxy) followNode(ctx context.Context, stream client.Stream, moved chan<- struct{}) {
	defer stream.Close()
	for {
		events, err := stream.Next(ctx)
		if err != nil {
			return
		}
		for _, e := range events {
			if e.Object.GetName() == p.node.Name &&
				(e.Old == nil || e.Old.GetLabels()[corev1.LabelTopologyZone] != e.Object.GetLabels()[corev1.LabelTopologyZone]) {
				poke(moved)
			}
		}
	}
}

func (p *Proxy) zone() string {
	if obj, ok := p.nodes.Snapshot().Get("", p.node.Name); ok {
		return obj.GetLabels()[corev1.LabelTopologyZone]
	}
	return ""
}

func (p *Proxy) loop(
	ctx context.Context, conn *nft.Conn, tracked *conntrack, failed <-chan error, foreign, zones <-chan struct{},
) error {
	t := NewTracker(p.settings, p.node)
	t.node.Zone = p.zone()
	// whole: the kernel's table is not what the tracker thinks, and effects of earlier changes may be missing.
	whole := true
	retry := p.clock.NewTimer(retryAfter)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-p.feed.Changed():
		case <-retry.C():
		case <-foreign:
			whole = true
			p.log.Warn("someone changed our nftables table, writing it anew", "table", Table)
		case <-zones:
			t.node.Zone = p.zone()
			p.feed.Touch()
		}
		for key := range p.feed.Take() {
			svc, slices := p.feed.Read(key)
			t.Update(key, svc, slices)
		}
		change, effects := t.Take()
		if whole {
			effects.UDP, effects.ForgetClients = allFronts(t), true
		}
		if err := p.apply(conn, t, change, whole); err != nil {
			p.log.Error("services are not programmed, trying again", "after", retryAfter, "err", err)
			whole = true
			retry.Reset(retryAfter)
			continue
		}
		whole = false
		p.settle(conn, tracked, t, effects)
		p.once.Do(func() { close(p.ready) })
	}
}

// apply brings the kernel's table to the tracker's. When the kernel refuses a change (its table is not what we think), the whole
// table is written.
func (p *Proxy) apply(conn *nft.Conn, t *Tracker, change *nft.Change, rewrite bool) error {
	if !rewrite {
		err := conn.Apply(change)
		if err == nil {
			return nil
		}
		p.log.Warn("the kernel refused a change of services, writing all of them", "err", err)
	}
	whole := t.Table()
	// Remembered clients live in the kernel only.
	keep := whole.Clone()
	for _, s := range affinitySets() {
		remembered, err := conn.Elements(Table, s)
		if err != nil {
			continue // there is no table yet
		}
		stale := map[nft.Tuple]bool{}
		for _, e := range t.Stale(s.Name, remembered) {
			stale[e.Key] = true
		}
		for _, e := range remembered {
			if !stale[e.Key] {
				keep.Put(s.Name, e)
			}
		}
	}
	return conn.Replace(keep)
}

// settle does what follows a change. Failures here cost single connections at most and are logged.
func (p *Proxy) settle(conn *nft.Conn, tracked *conntrack, t *Tracker, e Effects) {
	p.health.set(e.Health)
	if e.ForgetClients {
		if err := forget(conn, t); err != nil {
			p.log.Warn("remembered clients of removed endpoints stay until they time out", "err", err)
		}
	}
	if len(e.UDP) > 0 {
		if err := tracked.cleanup(t.StaleFlow(e.UDP)); err != nil {
			p.log.Warn("UDP connections to removed endpoints stay until they time out", "err", err)
		}
	}
}

func forget(conn *nft.Conn, t *Tracker) error {
	var errs []error
	for _, s := range affinitySets() {
		remembered, err := conn.Elements(Table, s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		// One by one: an element that times out meanwhile must not save the others.
		for _, e := range t.Stale(s.Name, remembered) {
			change := nft.NewChange(t.Table())
			change.Delete(s.Name, nft.Element{Key: e.Key})
			if err := conn.Apply(change); err != nil && !isNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func affinitySets() []nft.Set {
	return []nft.Set{
		set(setAffinity, nft.IP), set(setAffinity, nft.IP6), set(setNodeAffinity, nft.IP), set(setNodeAffinity, nft.IP6),
	}
}

func allFronts(t *Tracker) map[Frontend]bool {
	out := map[Frontend]bool{}
	for _, p := range t.programs {
		for front := range p.UDP {
			out[front] = true
		}
	}
	return out
}
