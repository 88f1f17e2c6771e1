package proxy

import (
	"coracle.dev/coracle/internal/network/nettest"
		"fmt"

		"os/exec"
	"testing"
	corev1 "k8s.io/api/core/v1"
	)

func TestZZ(t *testing.T) {
	w := newWorld(t)
	nettest.Serve(t, w.b, "0.0.0.0:8080", "b")
	w.service("web", "10.43.0.20", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
	w.endpoints("web", "10.42.0.6")
	w.start()
	w.want(w.a, "10.43.0.20:80", "b from 10.42.0.5")
	w.node.Do(t, func() error {
		out, err := exec.Command("sh", "-c", "nft --version; for c in services prerouting refuse filter-input filter-forward postrouting pick/ip/1/10800s; do echo == $c; nft list chain inet coracle $c; done; for c in services4 endpoints4 node-endpoints4 affinity4 hairpin4; do nft list set inet coracle $c || nft list map inet coracle $c; done; true").CombinedOutput()
		fmt.Println(string(out))
		return err
	})
}

