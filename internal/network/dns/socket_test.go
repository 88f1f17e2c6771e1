package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/network/nettest"
)

// TestOverSockets asks a server in a namespace from a pod's namespace, over UDP and TCP. The address appears after the server.
func TestOverSockets(t *testing.T) {
	nettest.RequireRoot(t)
	node := nettest.NewNS(t)
	pod := nettest.Pod(t, node, "a", "10.42.0.5")
	s, c := newServer(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(func() error { return s.Run(ctx) }) }()
	defer func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("server ended with %v", err)
		}
	}()
	select {
	case <-s.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("server ended: %v", err)
	}
	node.Do(t, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 43, 0, 10), Mask: net.CIDRMask(32, 32)}})
	})
	ask := func(network, name string) (*dns.Msg, error) {
		var conn *dns.Conn
		err := pod.Run(func() (err error) {
			conn, err = dns.Dial(network, "10.43.0.10:53")
			return err
		})
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		r, _, err := (&dns.Client{Net: network}).ExchangeWithConn(query(name, dns.TypeA), conn)
		return r, err
	}
	for _, network := range []string{"udp", "tcp"} {
		r, err := ask(network, "big.default.svc.cluster.local.")
		if err != nil || r.Truncated != (network == "udp") {
			t.Errorf("%s: %v %v", network, r, err)
		}
	}
	c.Of("services").Put(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "new"}, Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.99"},
	})
	nettest.WaitFor(t, pod, func() error {
		r, err := ask("udp", "new.default.svc.cluster.local.")
		if err == nil && len(r.Answer) != 1 {
			err = fmt.Errorf("no answer: %v", r)
		}
		return err
	})
}
