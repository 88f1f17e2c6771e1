package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"

	"coracle.dev/coracle/internal/cluster/local"
)

// byHand lets two bare nodes run what the documentation says for two machines, and nothing else: `coracle server`, and
// `coracle agent` with the token that the server wrote.
type byHand struct{ tokenFile string }

// Prepare implements local.Content.
func (b *byHand) Prepare(number int, dataDir string) ([]string, error) {
	const program = "/usr/local/bin/coracle"
	if number == 1 {
		b.tokenFile = filepath.Join(dataDir, "server", "token")
		return []string{program, "server"}, nil
	}
	token, err := appearing(b.tokenFile)
	if err != nil {
		return nil, err
	}
	server := fmt.Sprintf("https://%s:6443", local.NodeAddress(1))
	return []string{program, "agent", "--server", server, "--token", strings.TrimSpace(token)}, nil
}

// appearing waits for a file and returns what is in it.
func appearing(path string) (string, error) {
	var data []byte
	err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		var err error
		data, err = os.ReadFile(path)
		return err == nil && len(data) > 0, nil
	})
	if err != nil {
		return "", fmt.Errorf("waiting for %s: %w", path, err)
	}
	return string(data), nil
}

// TestByHand makes a cluster of two machines with their own commands, and stops them as an administrator would.
func TestByHand(t *testing.T) {
	if whyNot != nil {
		t.Skip(whyNot)
	}
	c := &cluster{binary: shared.binary, dataDir: shared.dataDir, name: "hand"}
	startByHand(t, c)
	s := newSpaceIn(t, c)
	for number := 1; number <= 2; number++ {
		s.node(local.NodeName(number), "its readiness", func(node *corev1.Node) bool { return nodeReady(node) == corev1.ConditionTrue })
	}
	s.apply("web.yaml", "APP=web", "REPLICAS=2", "TOLERATED=300")
	s.apply("pod.yaml", "POD=visitor-node-2", "NODE=node-2", `ARGS=["visit", "http://web/"]`)
	pods := s.running("web", 2)
	s.running("visitor-node-2", 1)
	for _, pod := range pods {
		s.tool("visitor-node-2", "until", pod.Name, "http://web/")
	}
	before := s.containers()
	for number := 1; number <= 2; number++ {
		s.part("a clean stop of "+local.NodeName(number), func(s *space) {
			end(s.T, s.victim(number, "coracle"), unix.SIGTERM)
			s.alive(number)
			log, err := os.ReadFile(filepath.Join(s.dataDir, "clusters", s.name, "nodes", local.NodeName(number), "log"))
			if err != nil {
				s.Fatal(err)
			}
			s.holds(string(log), "the agent ended (exit status 0)")
		})
	}
	if after := s.containers(); !maps.Equal(before, after) {
		t.Errorf("containers before: %v\nafter: %v", before, after)
	}
	for _, pod := range pods {
		s.tool("visitor-node-2", "until", pod.Name, "http://web/")
	}
}

// startByHand starts the nodes; the test's end removes them and looks for what is left.
func startByHand(t *testing.T, c *cluster) {
	t.Helper()
	programs, err := filepath.Glob(filepath.Join(c.dataDir, "bin", "*", "coracle-init"))
	if err != nil || len(programs) != 1 {
		t.Fatalf("the helper programs are %v (%v)", programs, err)
	}
	var found traces
	t.Cleanup(func() {
		if _, err := local.Down(context.Background(), c.dataDir, c.name); err != nil {
			t.Errorf("removing the nodes: %v", err)
		}
		for _, what := range found.left() {
			t.Errorf("left behind: %s", what)
		}
	})
	made, err := local.Up(t.Context(), local.Options{
		DataDir: c.dataDir, Name: c.name, Nodes: 2, APIPort: unusedPort(), Offline: true,
		Programs: filepath.Dir(programs[0]), Binary: c.binary, Content: &byHand{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if found, err = c.traces(); err != nil {
			t.Error(err)
		}
	})
	// The server's own kubeconfig, with the address by which this machine reaches it.
	nodeData := filepath.Join(c.dataDir, "clusters", c.name, "nodes", "node-1", "data")
	config, err := clientcmd.LoadFromFile(filepath.Join(nodeData, "server", "pki", "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = made.Server
	}
	if err := clientcmd.WriteToFile(*config, made.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	if err := c.connect(made.Kubeconfig); err != nil {
		t.Fatal(err)
	}
}
