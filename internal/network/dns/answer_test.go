package dns

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/network/nettest"
	"coracle.dev/coracle/internal/network/services"
)

var _ = flag.Bool("rewrite", false, "bring golden files up to date")

func zone() Zone {
	return Zone{
		Domain: "cluster.local.", TTL: 5, Servers: []netip.Addr{netip.MustParseAddr("10.43.0.10")},
		Reverse: []netip.Prefix{
			netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("10.43.0.0/16"), netip.MustParsePrefix("fd42::/48"),
		},
	}
}

func format(r Result) string {
	var b strings.Builder
	switch {
	case r.Outside:
		b.WriteString(" outside")
	default:
		b.WriteString(" " + dns.RcodeToString[r.Rcode])
	}
	if r.Chase != "" {
		b.WriteString(", chase " + r.Chase)
	}
	b.WriteString("\n")
	for _, section := range []struct {
		name string
		rrs  []dns.RR
	}{{"", r.Answer}, {"authority: ", r.Authority}, {"extra: ", r.Extra}} {
		for _, rr := range section.rrs {
			fmt.Fprintf(&b, "\t%s%s\n", section.name, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	return b.String()
}

func TestAnswers(t *testing.T) {
	nettest.Golden(t, func(t *testing.T, input func(string) []byte) string {
		x := NewIndex()
		all := nettest.Documents[discoveryv1.EndpointSlice](t, input("slices.yaml"))
		for _, svc := range nettest.Documents[corev1.Service](t, input("services.yaml")) {
			key := svc.Namespace + "/" + svc.Name
			var own []*discoveryv1.EndpointSlice
			for _, s := range all {
				if services.Of(s) == key {
					own = append(own, s)
				}
			}
			x.Set(key, Compile(svc, own))
		}
		var b strings.Builder
		for line := range strings.Lines(string(input("queries"))) {
			typ, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			q := dns.Question{Name: name, Qtype: dns.StringToType[typ], Qclass: dns.ClassINET}
			b.WriteString(strings.TrimSpace(line) + format(Answer(x, zone(), q)))
		}
		return b.String()
	})
}

// TestIndexForgets draws updates: the index then equals one that saw the last state of each service only.
func TestIndexForgets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x, last := NewIndex(), map[string]*Entry{}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			ns := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "ns")
			name := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name")
			var e *Entry
			if rapid.Bool().Draw(rt, "there") {
				ip := netip.AddrFrom4([4]byte{10, 43, 0, byte(rapid.IntRange(1, 3).Draw(rt, "ip"))})
				e = &Entry{Namespace: ns, Name: name, Addrs: []netip.Addr{ip}}
				if rapid.Bool().Draw(rt, "headless") {
					e.Headless, e.Hosts = true, map[string][]netip.Addr{"h": {ip}}
				}
			}
			x.Set(ns+"/"+name, e)
			last[ns+"/"+name] = e
		}
		want := NewIndex()
		for key, e := range last {
			want.Set(key, e)
		}
		x.serial, want.serial = 0, 0
		dump := func(x *Index) string { return fmt.Sprint(len(x.entries), x.namespaces, x.pointers) }
		if got, want := dump(x), dump(want); got != want {
			rt.Fatalf("got %s, want %s", got, want)
		}
	})
}

func newServer(t testing.TB, ex Exchange) (*Server, *nettest.Client) {
	t.Helper()
	c := nettest.NewClient()
	s, err := New(Config{
		IPs: zone().Servers, Domain: "cluster.local", Reverse: zone().Reverse, Client: c, Logger: slog.New(slog.DiscardHandler),
		Clock: clock.RealClock{}, Exchange: ex, ResolvConf: resolvConfFile(t, "nameserver 192.0.2.53\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.index.Set("default/web", Compile(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.43.0.20", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}, nil))
	big := &Entry{Namespace: "default", Name: "big", Headless: true, Hosts: map[string][]netip.Addr{}}
	for i := range 200 {
		big.Addrs = append(big.Addrs, netip.AddrFrom4([4]byte{10, 42, 9, byte(i)}))
	}
	s.index.Set("default/big", big)
	return s, c
}

func query(name string, typ uint16) *dns.Msg {
	m := new(dns.Msg)
	return m.SetQuestion(name, typ)
}

func TestHandle(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, c := range []struct {
		name  string
		edit  func(m *dns.Msg)
		q     string
		qtype uint16
		tcp   bool
		check func(r *dns.Msg) bool
	}{
		{"plain", nil, "web.default.svc.cluster.local.", dns.TypeA, false, func(r *dns.Msg) bool {
			return r.Authoritative && r.RecursionAvailable && len(r.Answer) == 1 && r.IsEdns0() == nil
		}},
		{"the spelling comes back", nil, "wEb.deFault.svc.cluster.LOCAL.", dns.TypeA, false, func(r *dns.Msg) bool {
			return r.Question[0].Name == "wEb.deFault.svc.cluster.LOCAL." && r.Answer[0].Header().Name == r.Question[0].Name
		}},
		{
			"EDNS is answered with EDNS", func(m *dns.Msg) { m.SetEdns0(4096, true) },
			"web.default.svc.cluster.local.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.IsEdns0() != nil && r.IsEdns0().Do() },
		},
		{
			"EDNS of another version", func(m *dns.Msg) { m.SetEdns0(4096, false); m.IsEdns0().SetVersion(1) },
			"web.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.Rcode == dns.RcodeBadVers },
		},
		{
			"too large for UDP", nil, "big.default.svc.cluster.local.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.Truncated && r.Len() <= 512 },
		},
		{
			"larger with EDNS", func(m *dns.Msg) { m.SetEdns0(1232, false) }, "big.default.svc.cluster.local.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.Truncated && r.Len() > 512 && r.Len() <= 1232 },
		},
		{
			"whole over TCP", nil, "big.default.svc.cluster.local.", dns.TypeA, true,
			func(r *dns.Msg) bool { return !r.Truncated && len(r.Answer) == 200 },
		},
		{
			"another class", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, "web.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.Rcode == dns.RcodeRefused },
		},
		{
			"zone transfer", nil, "cluster.local.", dns.TypeAXFR, true,
			func(r *dns.Msg) bool { return r.Rcode == dns.RcodeRefused },
		},
		{
			"any", nil, "web.default.svc.cluster.local.", dns.TypeANY, false,
			func(r *dns.Msg) bool { return len(r.Answer) == 1 && r.Answer[0].Header().Rrtype == dns.TypeHINFO },
		},
		{
			"update", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, "web.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.Rcode == dns.RcodeNotImplemented },
		},
		{
			"no recursion wanted", func(m *dns.Msg) { m.RecursionDesired = false }, "example.org.", dns.TypeA, false,
			func(r *dns.Msg) bool { return r.Rcode == dns.RcodeRefused },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := query(c.q, c.qtype)
			if c.edit != nil {
				c.edit(m)
			}
			r := s.Handle(context.Background(), m, !c.tcp)
			if r == nil || r.Id != m.Id || !c.check(r) {
				t.Errorf("got %v", r)
			}
			if _, err := r.Pack(); err != nil {
				t.Errorf("does not pack: %v", err)
			}
		})
	}
	if r := s.Handle(context.Background(), &dns.Msg{MsgHdr: dns.MsgHdr{Response: true}}, true); r != nil {
		t.Error("a response was answered")
	}
}

func TestRotationSpreadsAndLosesNothing(t *testing.T) {
	s, _ := newServer(t, nil)
	first := map[string]bool{}
	for id := range 50 {
		m := query("big.default.svc.cluster.local.", dns.TypeA)
		m.Id = uint16(id)
		r := s.Handle(context.Background(), m, false)
		seen := map[string]bool{}
		for _, rr := range r.Answer {
			seen[rr.(*dns.A).A.String()] = true
		}
		if len(seen) != 200 {
			t.Fatalf("%d addresses", len(seen))
		}
		first[r.Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) != 50 {
		t.Errorf("%d different first addresses of 50 answers", len(first))
	}
}

// FuzzHandle feeds arbitrary bytes, as they come from the network.
func FuzzHandle(f *testing.F) {
	for _, m := range []*dns.Msg{
		query("web.default.svc.cluster.local.", dns.TypeA), query("_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV),
		query("20.0.43.10.in-addr.arpa.", dns.TypePTR), query("example.org.", dns.TypeMX),
		query("7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.4.d.f.ip6.arpa.", dns.TypePTR),
		query("10-42-0-7.default.pod.cluster.local.", dns.TypeA), query(".", dns.TypeNS),
	} {
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, _ := newServer(f, func(_ context.Context, _ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
		return new(dns.Msg).SetReply(m), nil
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(dns.Msg)
		if m.Unpack(data) != nil {
			return
		}
		for _, udp := range []bool{true, false} {
			r := s.Handle(context.Background(), m, udp)
			if r == nil {
				continue
			}
			b, err := r.Pack()
			if err == nil && udp && len(b) > 4096 {
				t.Errorf("an answer of %d bytes over UDP", len(b))
			}
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	s, _ := newServer(b, nil)
	m := query("web.default.svc.cluster.local.", dns.TypeA)
	b.ReportAllocs()
	for b.Loop() {
		s.Handle(context.Background(), m, true)
	}
}
