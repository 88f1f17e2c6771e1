package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func resolvConfFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// world answers questions with one A record, or as told, and counts.
type outside struct {
	mu    sync.Mutex
	asked []string
	reply func(network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error)
}

func (o *outside) exchange(_ context.Context, network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	o.mu.Lock()
	o.asked = append(o.asked, network+" "+server.Addr().String())
	o.mu.Unlock()
	return o.reply(network, server, m)
}

func a(m *dns.Msg, ttl int) *dns.Msg {
	r := new(dns.Msg).SetReply(m)
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN A 192.0.2.80", m.Question[0].Name, ttl))
	if err != nil {
		panic(err)
	}
	r.Answer = []dns.RR{rr}
	return r
}

func negative(m *dns.Msg, ttl, minimum int) *dns.Msg {
	r := new(dns.Msg).SetRcode(m, dns.RcodeNameError)
	rr, err := dns.NewRR(fmt.Sprintf("org. %d IN SOA ns. host. 1 2 3 4 %d", ttl, minimum))
	if err != nil {
		panic(err)
	}
	r.Ns = []dns.RR{rr}
	return r
}

func two() Upstreams {
	return Upstreams{Timeout: time.Second, Attempts: 2, Servers: []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53"),
	}}
}

func TestForwardOrder(t *testing.T) {
	first := func(s netip.AddrPort) bool { return s.Addr() == two().Servers[0].Addr() }
	for _, c := range []struct {
		name  string
		reply func(network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error)
		asked []string
		rcode int
		err   bool
	}{
		{
			"the first answers", func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) { return a(m, 60), nil },
			[]string{"udp 192.0.2.1"},
			dns.RcodeSuccess, false,
		},
		{"the first is down", func(_ string, s netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			if first(s) {
				return nil, errors.New("down")
			}
			return a(m, 60), nil
		}, []string{"udp 192.0.2.1", "udp 192.0.2.2"}, dns.RcodeSuccess, false},
		{"the first fails", func(_ string, s netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			if first(s) {
				return new(dns.Msg).SetRcode(m, dns.RcodeServerFailure), nil
			}
			return a(m, 60), nil
		}, []string{"udp 192.0.2.1", "udp 192.0.2.2"}, dns.RcodeSuccess, false},
		{"no such name is an answer", func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			return negative(m, 60, 60), nil
		}, []string{"udp 192.0.2.1"}, dns.RcodeNameError, false},
		{
			"all are down", func(string, netip.AddrPort, *dns.Msg) (*dns.Msg, error) { return nil, errors.New("down") },
			[]string{"udp 192.0.2.1", "udp 192.0.2.2", "udp 192.0.2.1", "udp 192.0.2.2"},
			0, true,
		},
		{"cut over UDP", func(network string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			r := a(m, 60)
			r.Truncated = network == "udp"
			return r, nil
		}, []string{"udp 192.0.2.1", "tcp 192.0.2.1"}, dns.RcodeSuccess, false},
		{"an answer to something else is none", func(_ string, s netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			r := a(m, 60)
			if first(s) {
				r.Question[0].Name = "evil.org."
			}
			return r, nil
		}, []string{"udp 192.0.2.1", "udp 192.0.2.2"}, dns.RcodeSuccess, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &outside{reply: c.reply}
			f := newForwarder(two, o.exchange, time.Now)
			r, err := f.resolve(context.Background(), "example.org.", dns.TypeA, false)
			if (err != nil) != c.err || err == nil && r.Rcode != c.rcode {
				t.Errorf("got %v %v", r, err)
			}
			if !reflect.DeepEqual(o.asked, c.asked) {
				t.Errorf("asked %v, want %v", o.asked, c.asked)
			}
		})
	}
}

func TestCacheHonoursTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outside{}
		f := newForwarder(two, o.exchange, time.Now)
		ask := func(want uint32) {
			t.Helper()
			r, err := f.resolve(context.Background(), "Example.org.", dns.TypeA, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := append(r.Answer, r.Ns...)[0].Header().Ttl; got != want {
				t.Errorf("TTL %d, want %d", got, want)
			}
		}
		o.reply = func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) { return a(m, 60), nil }
		ask(60)
		time.Sleep(20 * time.Second)
		ask(40)
		time.Sleep(40 * time.Second)
		o.reply = func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) { return negative(m, 100, 30), nil }
		ask(100) // asked again
		time.Sleep(29 * time.Second)
		ask(71)
		time.Sleep(2 * time.Second)
		ask(100)
		if len(o.asked) != 3 {
			t.Errorf("asked %d times", len(o.asked))
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(2, time.Now)
	for i := range 3 {
		c.put(cacheKey{name: fmt.Sprint(i)}, a(query("example.org.", dns.TypeA), 60))
		c.get(cacheKey{name: "0"}) // used all the time
	}
	for name, want := range map[string]bool{"0": true, "1": false, "2": true} {
		if got := c.get(cacheKey{name: name}) != nil; got != want {
			t.Errorf("entry %s is there: %v", name, got)
		}
	}
	if len(c.entries) != 2 || c.order.Len() != 2 {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestEqualQuestionsAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := &outside{reply: func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			<-release
			return a(m, 0), nil // not for the cache
		}}
		f := newForwarder(two, o.exchange, time.Now)
		var ok atomic.Int32
		for range 10 {
			go func() {
				if _, err := f.resolve(context.Background(), "example.org.", dns.TypeA, false); err == nil {
					ok.Add(1)
				}
			}()
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		if ok.Load() != 10 || len(o.asked) != 1 {
			t.Errorf("%d answers of %d questions", ok.Load(), len(o.asked))
		}
	})
}

// TestLoopEnds: the node's resolver sends its questions back to this server.
func TestLoopEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *Server
		asked := 0
		s, _ = newServer(t, func(ctx context.Context, _ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
			asked++
			r := s.Handle(ctx, m, true)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return r, nil
		})
		r := s.Handle(context.Background(), query("example.org.", dns.TypeA), true)
		if r.Rcode != dns.RcodeServerFailure || asked > 4 {
			t.Errorf("rcode %s after %d questions", dns.RcodeToString[r.Rcode], asked)
		}
	})
}

func TestForwardedNameKeepsTheSpelling(t *testing.T) {
	o := &outside{reply: func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) { return a(m, 60), nil }}
	s, _ := newServer(t, o.exchange)
	for range 2 { // from the resolver, then from memory
		r := s.Handle(context.Background(), query("eXample.ORG.", dns.TypeA), true)
		if r.Rcode != dns.RcodeSuccess || r.Authoritative || r.Answer[0].Header().Name != "eXample.ORG." {
			t.Errorf("got %v", r)
		}
	}
	if len(o.asked) != 1 {
		t.Errorf("asked %v", o.asked)
	}
}

func TestAliasToTheOutsideIsChased(t *testing.T) {
	o := &outside{reply: func(_ string, _ netip.AddrPort, m *dns.Msg) (*dns.Msg, error) { return a(m, 60), nil }}
	s, _ := newServer(t, o.exchange)
	s.index.Set("default/ext", &Entry{Namespace: "default", Name: "ext", External: "example.org."})
	r := s.Handle(context.Background(), query("ext.default.svc.cluster.local.", dns.TypeA), true)
	if len(r.Answer) != 2 || r.Answer[0].Header().Rrtype != dns.TypeCNAME || r.Answer[1].Header().Name != "example.org." {
		t.Errorf("got %v", r)
	}
}

func TestParseResolvConf(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("10.43.0.10")}
	for _, c := range []struct {
		name, data string
		want       Upstreams
	}{
		{"empty", "", Upstreams{Timeout: 2 * time.Second, Attempts: 2}},
		{
			"usual", "# c\nsearch a b\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\noptions timeout:1 attempts:3 rotate ndots:5\n",
			Upstreams{Timeout: time.Second, Attempts: 3, Servers: []netip.AddrPort{
				netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[fe80::1%eth0]:53"),
			}},
		},
		{"itself", "nameserver 10.43.0.10\nnameserver ::ffff:10.43.0.10\n", Upstreams{Timeout: 2 * time.Second, Attempts: 2}},
		{
			"nonsense", "nameserver\nnameserver x\noptions timeout:x attempts:-4 timeout:99\n;nameserver 1.1.1.1\n",
			Upstreams{Timeout: 4 * time.Second, Attempts: 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ParseResolvConf(c.data, own); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestResolvConfIsReadAgain(t *testing.T) {
	r := &resolvConf{path: resolvConfFile(t, "nameserver 192.0.2.1\n")}
	if got := r.get().Servers; len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	if err := os.WriteFile(r.path, []byte("nameserver 192.0.2.1\nnameserver 192.0.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.get().Servers; len(got) != 2 {
		t.Errorf("after a change: %v", got)
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	if got := r.get().Servers; len(got) != 2 {
		t.Errorf("without a file: %v", got)
	}
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\noptions timeout:1 attempts:3\n")
	f.Fuzz(func(t *testing.T, data string) {
		u := ParseResolvConf(data, nil)
		if u.Attempts < 1 || u.Timeout <= 0 {
			t.Errorf("got %+v", u)
		}
	})
}
