package local

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestNodes(t *testing.T) {
	content := &testContent{args: []string{playReporter}}
	opts := world(t, content)
	cluster, err := Up(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	for number := 1; number <= 2; number++ {
		r, _ := content.next(t, number)
		if r.Hostname != NodeName(number) {
			t.Errorf("the host name is %q", r.Hostname)
		}
		if r.PID == 1 {
			t.Error("the agent is the node's first process")
		}
		if !strings.HasPrefix(r.Neighbour, "node-1 ") {
			t.Errorf("%s heard %q from node-1", r.Hostname, r.Neighbour)
		}
		for _, line := range strings.Split(strings.TrimSpace(r.Cgroups), "\n") {
			if path := line[strings.LastIndex(line, ":")+1:]; path != "/" && path != "/init" {
				t.Errorf("the agent sees its cgroup as %s", line)
			}
		}
	}
	if _, err := os.Stat("/etc/written-by-a-node"); err == nil {
		t.Error("a node wrote into the machine's /etc")
	}
	if got := ask(t, cluster.Server); !strings.HasPrefix(got, "node-1 ") {
		t.Errorf("the machine hears %q on %s", got, cluster.Server)
	}
	t.Run("up again changes nothing", func(t *testing.T) {
		before := load(t, opts)
		if _, err := Up(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		if after := load(t, opts); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("was %v, is %v", before, after)
		}
	})
	t.Run("a killed agent comes back", func(t *testing.T) {
		killAgent(t, opts, 2)
		content.next(t, 2)
	})
	t.Run("the bridge keeps its hardware address", func(t *testing.T) {
		err := inNetwork(load(t, opts).Network, func() error {
			bridge, err := netlink.LinkByName(bridgeName)
			if err == nil && bridge.Attrs().HardwareAddr.String() != holderMAC {
				t.Errorf("it is %s, want %s", bridge.Attrs().HardwareAddr, holderMAC)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a lost node comes back", func(t *testing.T) {
		if err := load(t, opts).Nodes[1].Init.end(t.Context(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := Up(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		content.next(t, 2)
	})
	t.Run("a lost network comes back with all nodes", func(t *testing.T) {
		if err := load(t, opts).Network.end(t.Context(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		again, err := Up(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		content.next(t, 1)
		content.next(t, 2)
		if again.Server != cluster.Server {
			t.Errorf("the server was %s and is %s", cluster.Server, again.Server)
		}
	})
	t.Run("the agent is asked to end", func(t *testing.T) {
		if err := load(t, opts).Nodes[1].Init.end(t.Context(), unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("down, and down again", func(t *testing.T) {
		if found, err := Down(t.Context(), opts.DataDir, opts.Name); err != nil || !found {
			t.Errorf("down: found %v, %v", found, err)
		}
		if found, err := Down(t.Context(), opts.DataDir, opts.Name); err != nil || found {
			t.Errorf("down again: found %v, %v", found, err)
		}
	})
}

func TestUpThatFailsLeavesNothing(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(opts *Options) context.Context
	}{
		{"no such binary", func(opts *Options) context.Context {
			opts.Binary = "/no/such/file"
			return context.Background()
		}},
		{"interrupted", func(opts *Options) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			opts.Progress = func(text string) {
				if text == "starting node-1" {
					cancel()
				}
			}
			return ctx
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := world(t, &testContent{args: []string{playReporter}})
			ctx := tt.spoil(&opts)
			if _, err := Up(ctx, opts); err == nil {
				t.Fatal("no error")
			}
			if names, err := List(opts.DataDir); err != nil || len(names) != 0 {
				t.Errorf("left: %v, %v", names, err)
			}
		})
	}
}

func load(t *testing.T, opts Options) *state {
	t.Helper()
	s, err := clusterPaths(opts.DataDir, opts.Name).load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// killAgent kills a node's agent.
func killAgent(t *testing.T, opts Options, number int) {
	t.Helper()
	killProgram(t, opts, number, filepath.Base(binaryInNode))
}

// killProgram kills a program in a node, and returns when its process has ended.
func killProgram(t *testing.T, opts Options, number int, name string) {
	t.Helper()
	p, err := identify(findProcess(t, opts, number, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.end(t.Context(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// findProcess looks for a program among the processes in a node's PID namespace.
func findProcess(t *testing.T, opts Options, number int, name string) int {
	t.Helper()
	init := load(t, opts).Nodes[number-1].Init.PID
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range processes {
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		in, _ := os.Readlink(filepath.Join(dir, "ns", "pid"))
		if string(comm) == name+"\n" && in == namespace {
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no %s runs in %s", name, NodeName(number))
	return 0
}

func ask(t *testing.T, server string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}
