package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/programs"
)

// system is something that can be started and measured.
type system interface {
	title() string
	// start returns when the node is Ready, and how long that took from the moment the first process was started. What it
	// made is removed by stop, also after an error.
	start(ctx context.Context) (*cluster, time.Duration, error)
	stop(ctx context.Context) error
}

// cluster is a running system.
type cluster struct {
	init int // the node's first process
	// extra are further processes of the system, outside the node.
	extra []int
	// ignored are programs in the node that are not the system's.
	ignored []string

	kubeconfig string
}

// connect returns a client with a connection of its own, made in the node's network.
func (c *cluster) connect() (*kubernetes.Clientset, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cfg.Host = fmt.Sprintf("https://%s:%d", local.NodeAddress(1), config.DefaultSecurePort)
	// client-go shares transports between equal configurations, but never those with a Dial function.
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, c.init, network, address)
	}
	cfg.Proxy = http.ProxyURL(nil)
	cfg.QPS = -1
	cfg.ContentType, cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"
	return newClientset(cfg)
}

func newClientset(cfg *rest.Config) (*kubernetes.Clientset, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing a client: %w", err)
	}
	return client, nil
}

// dialIn connects from the network of a process.
func dialIn(ctx context.Context, pid int, network, address string) (net.Conn, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("opening the node's network: %w", err)
	}
	defer namespace.Close()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine and no other runs in that namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("entering the node's network: %w", err)}
			return
		}
		// Without a fallback address the dial stays on this thread.
		dialer := net.Dialer{FallbackDelay: -1}
		conn, err := dialer.DialContext(ctx, network, address)
		done <- result{conn: conn, err: err}
	}()
	r := <-done
	return r.conn, r.err
}

// unpackPrograms puts the helper programs where both systems' nodes find them.
func unpackPrograms(ctx context.Context, dir string) (string, error) {
	set, err := programs.Carried()
	if err != nil {
		return "", err
	}
	return set.ForNodes().Unpack(ctx, (&config.Common{DataDir: dir}).ProgramsDir())
}

// ours is Coracle, by its own command.
type ours struct{ binary, dir, name string }

func (s *ours) title() string { return "Coracle" }

func (s *ours) flags() []string { return []string{"--data-dir", s.dir, "--name", s.name} }

func (s *ours) start(ctx context.Context) (*cluster, time.Duration, error) {
	began := time.Now()
	err := command(ctx, s.binary, append([]string{"up"}, s.flags()...)...)
	took := time.Since(began)
	if err != nil {
		return nil, 0, err
	}
	c, err := describe(ctx, s.dir, s.name)
	if err != nil {
		return nil, 0, err
	}
	c.extra = holders(filepath.Join(s.dir, "clusters", s.name))
	return c, took, nil
}

func (s *ours) stop(ctx context.Context) error {
	return command(ctx, s.binary, append([]string{"down"}, s.flags()...)...)
}

// describe finds the node's first process and the kubeconfig of a local cluster.
func describe(ctx context.Context, dir, name string) (*cluster, error) {
	status, err := local.Describe(ctx, dir, name)
	if err != nil {
		return nil, err
	}
	if len(status.Nodes) != 1 || status.Nodes[0].PID == 0 {
		return nil, fmt.Errorf("the node of %s does not run", name)
	}
	return &cluster{init: status.Nodes[0].PID, kubeconfig: status.Kubeconfig}, nil
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w\n%s", filepath.Base(name), args, err, out)
	}
	return nil
}

// podImage is a program that waits and ignores SIGTERM, so that a pod uses its whole grace period.
const podImage = "bench.coracle.dev/wait:1"

// buildImage builds the pods' image without any tool but Coracle's own, and keeps it where new nodes find it.
func buildImage(ctx context.Context, binary, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	return command(ctx, binary, "image", "build", filepath.Join(filepath.Dir(self), "wait"), "--tag", podImage,
		"--data-dir", dir, "--name", "none")
}
