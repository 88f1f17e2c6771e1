package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/network/nft"
)

// Overlay keeps one node's routes in step with the cluster and repairs what others change.
type Overlay struct {
	settings Settings
	nodes    client.Cache
	log      *slog.Logger
	clock    clock.Clock
	// ready is closed after the first complete pass.
	ready chan struct{}
}

// New prepares an overlay.
func New(s Settings, c client.Interface, log *slog.Logger, clk clock.Clock) (*Overlay, error) {
	nodes, err := c.Cache(client.Selection{Resource: kinds.Nodes()})
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	return &Overlay{settings: s.WithDefaults(), nodes: nodes, log: log, clock: clk, ready: make(chan struct{})}, nil
}

// Ready is closed once the node's network was complete for the first time.
func (o *Overlay) Ready() <-chan struct{} { return o.ready }

// retryAfter is how long a failed pass waits for the next one. Passes also follow every change.
const retryAfter = 5 * time.Second

// Remove takes away what an overlay with these settings made in the calling thread's network namespace, except for sysctls.
func Remove(s Settings) error {
	s = s.WithDefaults()
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	actual, err := k.read(s, State{})
	if err != nil {
		return err
	}
	err = k.apply(Plan(State{}, actual), s.Device)
	rules, err2 := nft.Open()
	if err2 != nil {
		return errors.Join(err, err2)
	}
	defer func() { _ = rules.Close() }()
	return errors.Join(err, rules.Delete(Table))
}

// PodMTU returns the MTU for pods in the calling thread's network namespace.
func PodMTU(mode Mode, nodeIPs []netip.Addr) (int, error) {
	k, err := openKernel()
	if err != nil {
		return 0, err
	}
	defer k.close()
	links, err := k.links()
	if err != nil {
		return 0, err
	}
	if len(nodeIPs) == 0 {
		return MTU(mode, netip.Addr{}, links), nil
	}
	return MTU(mode, nodeIPs[0], links), nil
}

// Run works until ctx ends. It works on the network namespace of the calling goroutine's thread, which must stay the same.
func (o *Overlay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	rules, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = rules.Close() }()
	kick := make(chan struct{}, 1)
	poke := func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	failed := make(chan error, 2)
	if err := o.subscribe(ctx, poke, func(err error) { trySend(failed, err) }); err != nil {
		return err
	}
	foreign, err := rules.Watch(Table)
	if err != nil {
		return err
	}
	replace := make(chan struct{}, 1)
	go func() {
		trySend(failed, foreign.Run(ctx, func() { trySend(replace, struct{}{}) }))
	}()
	go o.follow(ctx, poke)
	return o.loop(ctx, k, rules, kick, replace, failed)
}

func trySend[T any](ch chan T, v T) {
	select {
	case ch <- v:
	default:
	}
}

// loop makes a pass after each kick. The table is replaced as a whole when someone else touched it.
func (o *Overlay) loop(
	ctx context.Context, k *kernel, rules *nft.Conn, kick, replace <-chan struct{}, failed <-chan error,
) error {
	if err := o.nodes.Sync(ctx); err != nil {
		return fmt.Errorf("reading nodes: %w", err)
	}
	p := passes{o: o, k: k, rules: rules}
	retry := o.clock.NewTimer(0)
	defer retry.Stop()
	listen := kick
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-listen:
		case <-retry.C():
			listen = kick
		case <-replace:
			p.applied = nil
			o.log.Warn("someone changed our nftables table, writing it anew", "table", Table)
		}
		if err := p.pass(); err != nil {
			o.log.Error("the node's network is incomplete, trying again", "after", retryAfter, "err", err)
			// Our own steps are notified like anyone's: until the retry nothing may wake us.
			listen = nil
			retry.Reset(retryAfter)
			continue
		}
		select {
		case <-o.ready:
		default:
			close(o.ready)
		}
	}
}

// passes is what one pass leaves for the next.
type passes struct {
	o        *Overlay
	k        *kernel
	rules    *nft.Conn
	applied  *nft.Table
	problems string
	steps    string
}

func (p *passes) pass() error {
	peers := Peers(p.o.nodes.Snapshot())
	err := p.routes(peers)
	table := Egress(p.o.settings, peers)
	if p.applied != nil {
		if change, ok := nft.Diff(p.applied, table); ok {
			if err2 := p.rules.Apply(change); err2 == nil {
				p.applied = table
				return err
			}
		}
	}
	if err2 := p.rules.Replace(table); err2 != nil {
		p.applied = nil
		return errors.Join(err, err2)
	}
	p.applied = table
	return err
}

func (p *passes) routes(peers []Peer) error {
	links, err := p.k.links()
	if err != nil {
		return err
	}
	s := p.o.settings
	want := Want(s, peers, links)
	actual, err := p.k.read(s, want)
	if err != nil {
		return err
	}
	if now := strings.Join(want.Problems, "; "); now != p.problems {
		p.problems = now
		p.o.log.Warn("some nodes cannot be reached", "problems", now)
	}
	ops := Plan(want, actual)
	steps := ""
	for _, op := range ops {
		p.o.log.Debug("network", "op", op.String())
		steps += op.String() + "\n"
	}
	again := steps != "" && steps == p.steps
	p.steps = steps
	if again {
		return fmt.Errorf("the kernel does not keep what was set: %s", strings.ReplaceAll(steps, "\n", "; "))
	}
	return p.k.apply(ops, s.Device)
}

// follow turns changes of nodes into kicks.
func (o *Overlay) follow(ctx context.Context, poke func()) {
	_, stream := o.nodes.Follow()
	defer stream.Close()
	for {
		events, err := stream.Next(ctx)
		if err != nil {
			return
		}
		for _, e := range events {
			if e.Type != client.Modified || !samePeer(e.Old.(*corev1.Node), e.Object.(*corev1.Node)) {
				poke()
				break
			}
		}
	}
}

func samePeer(a, b *corev1.Node) bool {
	x, y := peerOf(a), peerOf(b)
	return slices.Equal(x.IPs, y.IPs) && slices.Equal(x.PodCIDRs, y.PodCIDRs)
}

// Peers reads the nodes of a snapshot.
func Peers(s client.Snapshot) []Peer {
	var out []Peer
	for obj := range s.All("") {
		if n, ok := obj.(*corev1.Node); ok {
			out = append(out, peerOf(n))
		}
	}
	return out
}

func peerOf(n *corev1.Node) Peer {
	p := Peer{Name: n.Name}
	for _, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if ip, err := netip.ParseAddr(a.Address); err == nil {
			p.IPs = append(p.IPs, ip.Unmap())
		}
	}
	p.PodCIDRs = PodCIDRs(n)
	return p
}

// PodCIDRs returns the node's pod ranges.
func PodCIDRs(n *corev1.Node) []netip.Prefix {
	texts := n.Spec.PodCIDRs
	if len(texts) == 0 && n.Spec.PodCIDR != "" {
		texts = []string{n.Spec.PodCIDR}
	}
	var out []netip.Prefix
	for _, s := range texts {
		if cidr, err := netip.ParsePrefix(s); err == nil {
			out = append(out, cidr.Masked())
		}
	}
	return out
}

// subscribe turns the kernel's notifications about what is ours into kicks, so that drift is repaired at once.
func (o *Overlay) subscribe(ctx context.Context, poke func(), failed func(error)) error {
	lost := func(err error) {
		if ctx.Err() == nil {
			failed(fmt.Errorf("reading netlink notifications: %w", err))
		}
	}
	routes := make(chan netlink.RouteUpdate, 64)
	err := netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: lost})
	if err != nil {
		return fmt.Errorf("subscribing to routes: %w", err)
	}
	links := make(chan netlink.LinkUpdate, 64)
	err = netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: lost})
	if err != nil {
		return fmt.Errorf("subscribing to interfaces: %w", err)
	}
	addrs := make(chan netlink.AddrUpdate, 64)
	err = netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: lost})
	if err != nil {
		return fmt.Errorf("subscribing to addresses: %w", err)
	}
	neighbours := make(chan netlink.NeighUpdate, 64)
	err = netlink.NeighSubscribeWithOptions(neighbours, ctx.Done(), netlink.NeighSubscribeOptions{ErrorCallback: lost})
	if err != nil {
		return fmt.Errorf("subscribing to neighbours: %w", err)
	}
	go drain(routes, poke, func(u netlink.RouteUpdate) bool { return u.Protocol == Protocol })
	go drain(links, poke, func(u netlink.LinkUpdate) bool { return !podLink(u.Link) })
	go drain(addrs, poke, func(netlink.AddrUpdate) bool { return true })
	go drain(neighbours, poke, func(u netlink.NeighUpdate) bool { _, _, ok := ourEntry(u.Neigh); return ok })
	return nil
}

// drain reads until the subscription ends, which closes the channel.
func drain[T any](ch <-chan T, poke func(), relevant func(T) bool) {
	for u := range ch {
		if relevant(u) {
			poke()
		}
	}
}

// podLink tells the interfaces of pods: they come and go all the time and change nothing here.
func podLink(l netlink.Link) bool {
	return l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, "cor")
}
