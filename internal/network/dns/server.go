package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/network/services"
)

// Config of a Server.
type Config struct {
	// IPs are the addresses to answer at, port 53.
	IPs []netip.Addr
	// Domain is the cluster's domain, such as cluster.local.
	Domain string
	// Reverse are the ranges of pods and services.
	Reverse []netip.Prefix
	// ResolvConf names the file with the node's own resolvers.
	ResolvConf string
	// Port replaces 53 in tests.
	Port   int
	Client client.Interface
	Logger *slog.Logger
	Clock  clock.Clock
	// Exchange replaces the network in tests.
	Exchange Exchange
}

// Server answers the pods of a node.
type Server struct {
	zone    Zone
	port    int
	index   *Index
	feed    *services.Feed
	forward *forwarder
	log     *slog.Logger
	ready   chan struct{}
	once    sync.Once // closes ready
}

// recordTTL is short: endpoints of headless services move, and clients do not ask again before it passed.
const recordTTL = 5

// New prepares a server.
func New(c Config) (*Server, error) {
	feed, err := services.NewFeed(c.Client)
	if err != nil {
		return nil, err
	}
	conf := &resolvConf{path: c.ResolvConf, own: c.IPs}
	if c.Exchange == nil {
		c.Exchange = exchange
	}
	if c.Port == 0 {
		c.Port = 53
	}
	return &Server{
		zone: Zone{
			Domain: strings.ToLower(strings.Trim(c.Domain, ".")) + ".", Reverse: c.Reverse, Servers: c.IPs, TTL: recordTTL,
		},
		port: c.Port, index: NewIndex(), feed: feed, forward: newForwarder(conf.get, c.Exchange, c.Clock.Now),
		log: c.Logger, ready: make(chan struct{}),
	}, nil
}

// Ready is closed once the server answers, knowing all services.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends. The sockets are made in the network namespace of the calling goroutine's thread.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.feed.Start(ctx); err != nil {
		return err
	}
	s.update()
	servers, err := s.listen(ctx)
	if err != nil {
		return err
	}
	failed := make(chan error, len(servers))
	var serving, started sync.WaitGroup
	for _, srv := range servers {
		started.Add(1)
		srv.NotifyStartedFunc = started.Done
		serving.Go(func() { failed <- srv.ActivateAndServe() })
	}
	started.Wait() // a server that has not started cannot be shut down
	defer func() {
		for _, srv := range servers {
			_ = srv.Shutdown()
		}
		serving.Wait()
	}()
	s.once.Do(func() { close(s.ready) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("serving DNS: %w", err)
		case <-s.feed.Changed():
			s.update()
		}
	}
}

// update brings the index up to date.
func (s *Server) update() {
	for key := range s.feed.Take() {
		s.index.Set(key, Compile(s.feed.Read(key)))
	}
}

// listen opens a UDP and a TCP socket for each address. The addresses need not be on the machine yet.
func (s *Server) listen(ctx context.Context) ([]*dns.Server, error) {
	lc := net.ListenConfig{Control: freebind}
	var out []*dns.Server
	fail := func(addr string, err error) ([]*dns.Server, error) {
		for _, srv := range out {
			if srv.Listener != nil {
				_ = srv.Listener.Close()
			} else {
				_ = srv.PacketConn.Close()
			}
		}
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	for _, ip := range s.zone.Servers {
		addr := netip.AddrPortFrom(ip, uint16(s.port)).String()
		pc, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return fail(addr, err)
		}
		out = append(out, &dns.Server{PacketConn: pc, Handler: s, UDPSize: 4096})
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return fail(addr, err)
		}
		out = append(out, &dns.Server{Listener: l, Handler: s, IdleTimeout: func() time.Duration { return 10 * time.Second }})
	}
	return out, nil
}

// freebind lets a socket have an address that the machine does not have yet.
func freebind(network, _ string, c syscall.RawConn) error {
	level, opt := unix.SOL_IP, unix.IP_FREEBIND
	if strings.HasSuffix(network, "6") {
		level, opt = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	var err error
	ctrl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, 1) })
	return errors.Join(ctrl, err)
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), maxWait+500*time.Millisecond)
	defer cancel()
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	if resp := s.Handle(ctx, req, udp); resp != nil {
		_ = w.WriteMsg(resp) // the client is gone
	}
}

// Handle answers a query. It returns nil for what must not be answered.
func (s *Server) Handle(ctx context.Context, req *dns.Msg, udp bool) *dns.Msg {
	if req.Response {
		return nil
	}
	resp := new(dns.Msg)
	resp.SetReply(req)
	resp.RecursionAvailable = true
	limit := dns.MinMsgSize
	opt := req.IsEdns0()
	if opt != nil {
		limit = int(min(max(opt.UDPSize(), dns.MinMsgSize), 4096))
	}
	switch {
	case opt != nil && opt.Version() != 0:
		resp.Rcode = dns.RcodeBadVers
	case req.Opcode != dns.OpcodeQuery:
		resp.Rcode = dns.RcodeNotImplemented
	case len(req.Question) != 1:
		resp.Rcode = dns.RcodeFormatError
	default:
		s.fill(ctx, resp, req, opt != nil && opt.Do())
	}
	if opt != nil {
		// A larger rcode's upper bits go into this record when the message is packed.
		resp.SetEdns0(udpSize, opt.Do())
	}
	if !udp {
		limit = dns.MaxMsgSize
	}
	resp.Truncate(limit)
	return resp
}

// fill answers the one question of a query.
func (s *Server) fill(ctx context.Context, resp, req *dns.Msg, dnssec bool) {
	q := req.Question[0]
	switch {
	case q.Qclass != dns.ClassINET:
		resp.Rcode = dns.RcodeRefused
		return
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		resp.Rcode = dns.RcodeRefused
		return
	case q.Qtype == dns.TypeANY: // RFC 8482: a small answer instead of everything
		resp.Answer = []dns.RR{&dns.HINFO{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 3600}, Cpu: "RFC8482",
		}}
		return
	}
	r := Answer(s.index, s.zone, q)
	if !r.Outside {
		resp.Authoritative = true
		resp.Rcode, resp.Answer, resp.Ns, resp.Extra = r.Rcode, r.Answer, r.Authority, r.Extra
		rotate(resp.Answer, int(req.Id))
		if r.Chase != "" {
			s.chase(ctx, resp, r.Chase, q.Qtype, dnssec)
		}
		return
	}
	if !req.RecursionDesired {
		resp.Rcode = dns.RcodeRefused
		return
	}
	s.recurse(ctx, resp, q, dnssec)
}

func (s *Server) recurse(ctx context.Context, resp *dns.Msg, q dns.Question, dnssec bool) {
	got, err := s.forward.resolve(ctx, q.Name, q.Qtype, dnssec)
	if err != nil {
		s.log.Debug("cannot resolve", "name", q.Name, "type", dns.TypeToString[q.Qtype], "err", err)
		resp.Rcode = dns.RcodeServerFailure
		return
	}
	resp.Rcode, resp.AuthenticatedData = got.Rcode&0xf, got.AuthenticatedData
	resp.Answer, resp.Ns = got.Answer, got.Ns
	resp.Extra = slices.DeleteFunc(got.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	for _, rr := range resp.Answer {
		// Clients that mix upper and lower case as a safeguard check that their spelling comes back.
		if h := rr.Header(); strings.EqualFold(h.Name, q.Name) {
			h.Name = q.Name
		}
	}
}

// chase adds the records of an alias's target outside of the cluster.
func (s *Server) chase(ctx context.Context, resp *dns.Msg, target string, qtype uint16, dnssec bool) {
	got, err := s.forward.resolve(ctx, target, qtype, dnssec)
	switch {
	case err != nil:
		s.log.Debug("cannot resolve", "name", target, "type", dns.TypeToString[qtype], "err", err)
		resp.Rcode = dns.RcodeServerFailure
	default:
		resp.Authoritative = false
		resp.Rcode = got.Rcode & 0xf
		resp.Answer = append(resp.Answer, got.Answer...)
		if len(got.Answer) == 0 {
			resp.Ns = append(resp.Ns, got.Ns...)
		}
	}
}

// rotate lets clients that take the first address spread. Records after an alias keep their order.
func rotate(rrs []dns.RR, by int) {
	if len(rrs) < 2 || rrs[0].Header().Rrtype == dns.TypeCNAME {
		return
	}
	by %= len(rrs)
	slices.Reverse(rrs[:by])
	slices.Reverse(rrs[by:])
	slices.Reverse(rrs)
}
