package local

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/imagebuild"
	"coracle.dev/coracle/internal/cluster/runtime"
)

// The test binary plays the agent too: nodes run it with one of these arguments.
const (
	playReporter   = "play-reporter"
	playContainerd = "play-containerd"
)

func TestMain(m *testing.M) {
	if len(os.Args) >= 2 {
		var err error
		switch os.Args[1] {
		case playReporter:
			err = reporter()
		case playContainerd:
			err = containerdAgent(os.Args[2])
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, os.Args[1], err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const dataInNode = "/var/lib/coracle"

// report is what an agent in a node tells the test, over a socket in the node's data folder.
type report struct {
	Hostname string
	PID      int
	Cgroups  string
	Mounts   int
	// Neighbour is what the first node's agent said over the network.
	Neighbour string
	Problem   string
}

// reporter tells about itself when it starts, and serves its name on the API server's port.
func reporter() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	conn, err := net.Dial("unix", filepath.Join(dataInNode, "events.sock"))
	if err != nil {
		return err
	}
	r := report{PID: os.Getpid()}
	r.Hostname, _ = os.Hostname()
	cgroups, _ := os.ReadFile("/proc/self/cgroup")
	r.Cgroups = string(cgroups)
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	r.Mounts = strings.Count(string(mounts), "\n")
	if err := os.WriteFile("/etc/written-by-a-node", []byte(r.Hostname), 0o600); err != nil {
		r.Problem = err.Error()
	}
	listener, err := net.Listen("tcp", ":6443")
	if err != nil {
		return err
	}
	go func() {
		for {
			peer, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(peer, "%s %d\n", r.Hostname, r.PID)
			peer.Close()
		}
	}()
	if peer, err := net.Dial("tcp", NodeAddress(1).String()+":6443"); err != nil {
		r.Problem = err.Error()
	} else {
		r.Neighbour, _ = bufio.NewReader(peer).ReadString('\n')
	}
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return err
	}
	<-ctx.Done()
	_, err = io.WriteString(conn, "bye\n")
	return err
}

// containerdAgent runs containerd as the node's agent does, and tells when it is ready.
func containerdAgent(programs string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	conn, err := net.Dial("unix", filepath.Join(dataInNode, "events.sock"))
	if err != nil {
		return err
	}
	cfg := runtime.Config{
		Binaries: programs, Root: dataInNode + "/agent/containerd", State: "/run/coracle/containerd",
		CNIConfDir: dataInNode + "/agent/cni/net.d", RegistryConfigDir: dataInNode + "/agent/registries",
		PauseImage: imagebuild.PauseImage, RestrictOOMScoreAdj: runtime.RestrictsOOMScore(),
		LogFile: dataInNode + "/agent/containerd.log",
	}
	if cfg.Snapshotter, err = runtime.ChooseSnapshotter(cfg.Root); err != nil {
		return err
	}
	s := runtime.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	err = s.Ready(ctx)
	if err == nil {
		err = putPauseImage(ctx, cfg)
	}
	r := report{PID: s.PID()}
	if err != nil {
		r.Problem = err.Error()
	}
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return err
	}
	return <-ended
}

func putPauseImage(ctx context.Context, cfg runtime.Config) error {
	images, err := runtime.OpenImages(cfg.Socket(), cfg.Snapshotter)
	if err != nil {
		return err
	}
	defer images.Close()
	return images.Ensure(ctx, imagebuild.PauseImage, "", func() (io.ReadCloser, error) {
		archive, err := imagebuild.Pause(filepath.Join(cfg.Binaries, "pause"))
		return io.NopCloser(strings.NewReader(string(archive))), err
	})
}

// testContent runs the test binary in the nodes and receives what it reports.
type testContent struct {
	args   []string
	events map[int]net.Listener
}

func (c *testContent) Prepare(number int, dataDir string) ([]string, error) {
	path := filepath.Join(dataDir, "events.sock")
	if c.events[number] == nil {
		listener, err := net.Listen("unix", path)
		if err != nil {
			return nil, err
		}
		c.events[number] = listener
	}
	return append([]string{binaryInNode}, c.args...), nil
}

// next waits for the next start of a node's agent.
func (c *testContent) next(t *testing.T, number int) (report, *bufio.Reader) {
	t.Helper()
	conn, err := c.events[number].Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	reader := bufio.NewReader(conn)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the agent of node %d ended before it reported: %v", number, err)
	}
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	if r.Problem != "" {
		t.Fatalf("node %d reports: %s", number, r.Problem)
	}
	return r, reader
}

// world prepares options for a test cluster, and checks afterwards that nothing of it is left on the machine.
func world(t *testing.T, content *testContent) Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making namespaces needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Socket paths are short, so the folder must have a short name too.
	dataDir, err := os.MkdirTemp("/tmp", "coracle-test-")
	if err != nil {
		t.Fatal(err)
	}
	content.events = map[int]net.Listener{}
	opts := Options{
		DataDir: dataDir, Name: "t" + strings.ToLower(dataDir[len(dataDir)-6:]), Nodes: 2, Offline: true, Content: content,
		Programs: testPrograms(t, dataDir), Binary: self,
	}
	before := traces(t, opts.DataDir, opts.Name)
	t.Cleanup(func() {
		for _, listener := range content.events {
			listener.Close()
		}
		if _, err := Down(context.Background(), opts.DataDir, opts.Name); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dataDir); err != nil {
			t.Error(err)
		}
		for what, had := range before {
			if has := traces(t, opts.DataDir, opts.Name)[what]; has != had {
				t.Errorf("left behind: %s was\n%s\nand is\n%s", what, had, has)
			}
		}
	})
	return opts
}

// testPrograms makes the folder of helper programs: those that were built, and a fresh coracle-init.
func testPrograms(t *testing.T, dataDir string) string {
	t.Helper()
	dir := filepath.Join(dataDir, "bin", "set")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "build", "-o", dir, "coracle.dev/coracle/cmd/coracle-init").CombinedOutput()
	if err != nil {
		t.Fatalf("building coracle-init: %v\n%s", err, out)
	}
	return dir
}

// traces lists what a local cluster could leave on the machine. Other tests use the machine at the same time, so only what
// bears this cluster's name counts; network devices are compared where nobody else runs, in test/e2e.
func traces(t *testing.T, dataDir, name string) map[string]string {
	t.Helper()
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for line := range strings.Lines(string(mountinfo)) {
		if strings.Contains(line, dataDir) {
			mounts = append(mounts, line)
		}
	}
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/coracle/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"mounts": strings.Join(mounts, ""), "cgroups": strings.Join(cgroups, "\n")}
}
