package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// maxInFlight bounds the questions to resolvers at one time; more are answered SERVFAIL at once.
const maxInFlight = 1000

// maxWait bounds one question over all resolvers and attempts.
const maxWait = 4500 * time.Millisecond

// udpSize is the size of answers over UDP that meets no fragmentation anywhere (the DNS flag day's figure).
const udpSize = 1232

// Exchange asks one server once.
type Exchange func(ctx context.Context, network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error)

func exchange(ctx context.Context, network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Net: network, UDPSize: udpSize}
	r, _, err := c.ExchangeContext(ctx, m, server.String())
	return r, err
}

// forwarder resolves names of others. Safe for concurrent use.
type forwarder struct {
	upstreams func() Upstreams
	exchange  Exchange
	cache     *cache
	group     singleflight.Group
	slots     chan struct{}
}

func newForwarder(upstreams func() Upstreams, ex Exchange, now func() time.Time) *forwarder {
	return &forwarder{
		upstreams: upstreams, exchange: ex, cache: newCache(cacheEntries, now), slots: make(chan struct{}, maxInFlight),
	}
}

var errBusy = errors.New("too many questions in flight")

// resolve returns an answer, from memory or from a resolver. Equal questions are asked once at a time: should a resolver send its
// questions back to this server, they end there instead of going round.
func (f *forwarder) resolve(ctx context.Context, name string, qtype uint16, dnssec bool) (*dns.Msg, error) {
	k := cacheKey{strings.ToLower(name), qtype, dnssec}
	if msg := f.cache.get(k); msg != nil {
		return msg, nil
	}
	result := f.group.DoChan(fmt.Sprint(k.qtype, k.dnssec, k.name), func() (any, error) {
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
		default:
			return nil, errBusy
		}
		// The question outlives the client that happened to ask first: others may be waiting.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxWait)
		defer cancel()
		msg, err := f.ask(ctx, k)
		if err == nil {
			f.cache.put(k, msg)
		}
		return msg, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*dns.Msg).Copy(), nil
	}
}

// ask tries the resolvers in order, each for the configured time, as often as configured.
func (f *forwarder) ask(ctx context.Context, k cacheKey) (*dns.Msg, error) {
	u := f.upstreams()
	if len(u.Servers) == 0 {
		return nil, errors.New("the node has no resolver")
	}
	m := new(dns.Msg)
	m.SetQuestion(k.name, k.qtype)
	m.SetEdns0(udpSize, k.dnssec)
	var failure *dns.Msg
	var errs []error
	for range u.Attempts {
		for _, server := range u.Servers {
			r, err := f.askOne(ctx, server, m, u.Timeout)
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("asking %s: %w", server, err))
			case r.Rcode == dns.RcodeSuccess || r.Rcode == dns.RcodeNameError:
				return r, nil
			default:
				failure = r
			}
			if ctx.Err() != nil {
				return nil, errors.Join(errs...)
			}
		}
	}
	if failure != nil {
		return failure, nil
	}
	return nil, errors.Join(errs...)
}

func (f *forwarder) askOne(ctx context.Context, server netip.AddrPort, m *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m = m.Copy()
	m.Id = dns.Id()
	r, err := f.exchange(ctx, "udp", server, m)
	if err == nil && r.Truncated {
		r, err = f.exchange(ctx, "tcp", server, m)
	}
	if err != nil {
		return nil, err
	}
	if r.Id != m.Id || !r.Response || len(r.Question) != 1 || !strings.EqualFold(r.Question[0].Name, m.Question[0].Name) ||
		r.Question[0].Qtype != m.Question[0].Qtype {
		return nil, errors.New("the answer is to another question")
	}
	return r, nil
}
