package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"coracle.dev/coracle/internal/cluster/local"
)

// toolImage is built from the program in tool and exists on the nodes only.
const toolImage = "e2e.coracle.dev/tool:1"

// nodeArgs let a lost node be noticed soon, and history be forgotten soon.
func nodeArgs() []string {
	return []string{
		"--server-arg=--node-monitor-grace-period=5s", "--server-arg=--node-lease-duration=4s",
		"--agent-arg=--node-lease-duration=4s", "--server-arg=--etcd-compaction-interval=10s",
	}
}

// shared is the cluster that all tests use; nil when the tests can't run here, for the reason whyNot.
var (
	shared *cluster
	whyNot error
)

// cluster is a running local cluster.
type cluster struct {
	binary, dataDir, name string
	config                *rest.Config
	kubernetes.Interface
}

func TestMain(m *testing.M) {
	if whyNot = able(); whyNot != nil {
		os.Exit(m.Run())
	}
	code, err := withCluster(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// able tells why there can be no cluster here.
func able() error {
	if os.Geteuid() != 0 {
		return errors.New("local clusters need root")
	}
	for _, name := range []string{"CORACLE", "IMAGES"} {
		if os.Getenv(name) == "" {
			return fmt.Errorf("$%s is not set; run these tests with make e2e", name)
		}
	}
	return nil
}

// withCluster makes the shared cluster around the tests, removes it, and looks for what is left of it.
func withCluster(tests func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "coracle-e2e-")
	if err != nil {
		return 1, err
	}
	c := &cluster{binary: os.Getenv("CORACLE"), dataDir: filepath.Join(dir, "data"), name: "e2e"}
	defer c.removeWhenInterrupted(dir)()
	before, err := machineLinks()
	if err != nil {
		return 1, err
	}
	var found traces
	defer func() {
		// Everything is removed whatever went wrong, and only then judged.
		_, downErr := c.coracle(context.Background(), "down")
		left := found.left()
		if after, linkErr := machineLinks(); linkErr != nil || after != before {
			left = append(left, fmt.Sprintf("network devices: before %s, after %s (%v)", before, after, linkErr))
		}
		for _, what := range left {
			err = errors.Join(err, fmt.Errorf("left behind after coracle down: %s", what))
		}
		err = errors.Join(err, downErr, os.RemoveAll(dir))
	}()
	if err := c.start(); err != nil {
		return 1, err
	}
	shared = c
	code = tests()
	found, err = c.traces()
	return code, err
}

// removeWhenInterrupted removes what was made when the tests are ended by a signal. Call what it returns when that is no
// longer wanted.
func (c *cluster) removeWhenInterrupted(dir string) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	go func() {
		if _, interrupted := <-signals; !interrupted {
			return
		}
		names, _ := local.List(c.dataDir)
		for _, name := range names {
			if _, err := local.Down(context.Background(), c.dataDir, name); err != nil {
				fmt.Fprintln(os.Stderr, "e2e:", err)
			}
		}
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// start builds the image and starts the cluster with it.
func (c *cluster) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if out, err := c.coracle(ctx, "image", "build", filepath.Join(os.Getenv("IMAGES"), "tool"), "--file", "tool/Dockerfile",
		"--tag", toolImage); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if err := c.up(ctx); err != nil {
		return err
	}
	return c.connect(filepath.Join(c.dataDir, "clusters", c.name, "kubeconfig"))
}

// connect makes the clients.
func (c *cluster) connect(kubeconfig string) error {
	var err error
	if c.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c.config.QPS = -1 // The tests' own haste is not what is tested.
	if c.Interface, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

// up starts what of the cluster does not run.
func (c *cluster) up(ctx context.Context) error {
	out, err := c.coracle(ctx, append([]string{"up", "--nodes", "3", "--api-port", c.freePort(), "--offline"}, nodeArgs()...)...)
	if err != nil {
		return fmt.Errorf("%w\n%s%s", err, out, c.logs())
	}
	return nil
}

// freePort lets a cluster that exists keep its port, and a new one take any.
func (c *cluster) freePort() string {
	if s, err := c.state(); err == nil && s.APIPort != 0 {
		return fmt.Sprint(s.APIPort)
	}
	return fmt.Sprint(unusedPort())
}

// coracle runs a subcommand on the cluster.
func (c *cluster) coracle(ctx context.Context, args ...string) (string, error) {
	args = append(args, "--data-dir", c.dataDir, "--name", c.name)
	out, err := exec.CommandContext(ctx, c.binary, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("coracle %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// state is what coracle writes down about a cluster.
type state struct {
	APIPort int     `json:"apiPort"`
	Network process `json:"network"`
	Nodes   []struct {
		Init process `json:"init"`
	} `json:"nodes"`
}

func (c *cluster) state() (*state, error) {
	data, err := os.ReadFile(filepath.Join(c.dataDir, "clusters", c.name, "cluster.json"))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's state: %w", err)
	}
	s := &state{}
	return s, json.Unmarshal(data, s)
}

// logs returns the ends of the nodes' logs.
func (c *cluster) logs() string {
	const most = 4000
	var out strings.Builder
	files, _ := filepath.Glob(filepath.Join(c.dataDir, "clusters", c.name, "nodes", "*", "log"))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		fmt.Fprintf(&out, "\n--- %s\n%s", file, data[max(0, len(data)-most):])
	}
	return out.String()
}
