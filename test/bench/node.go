package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/nodeengine"
)

// nodeCommand is this program's name for what it does inside upstream's node.
const nodeCommand = "node"

// upstreamNode is the inside of the node that upstream's programs run in.
type upstreamNode struct {
	agent  config.Agent
	engine *nodeengine.Engine
	log    *slog.Logger
}

// runNode prepares the node, waits for its turn, and then keeps upstream's programs running until one of them ends.
func runNode(ctx context.Context, log *slog.Logger) error {
	n := &upstreamNode{agent: config.DefaultAgent(local.NodeName(1)), log: log}
	var err error
	if n.engine, err = nodeengine.New(ctx, &n.agent, log); err != nil {
		return err
	}
	if err := n.prepare(ctx); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	if err := os.WriteFile(n.data(preparedPipe), []byte{1}, 0); err != nil {
		return fmt.Errorf("saying that the node is prepared: %w", err)
	}
	if _, err := os.ReadFile(n.data(goPipe)); err != nil {
		return fmt.Errorf("waiting for the start: %w", err)
	}
	return n.run(ctx)
}

func (n *upstreamNode) data(name string) string { return filepath.Join(n.agent.DataDir, name) }

// prepare writes the programs' configurations and puts the images into containerd, which then ends: its start is timed.
func (n *upstreamNode) prepare(ctx context.Context) error {
	if err := n.writeConfigs(); err != nil {
		return err
	}
	if err := os.MkdirAll("/opt/cni", 0o755); err != nil {
		return err
	}
	if err := os.Symlink(n.program(""), "/opt/cni/bin"); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.engine.Run(ctx) })
	group.Go(func() error {
		defer cancel()
		return n.engine.Seed(ctx)
	})
	return group.Wait()
}

func (n *upstreamNode) program(name string) string {
	return filepath.Join(n.agent.ProgramsDir(), upstreamDir, name)
}

// run starts etcd, the API server and containerd at once, and the others when they are ready.
func (n *upstreamNode) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(name string, args ...string) {
		group.Go(func() error { return n.keep(ctx, name, args) })
	}
	group.Go(func() error { return n.engine.Run(ctx) })
	start("etcd", n.etcdArgs()...)
	start("kube-apiserver", n.apiserverArgs()...)
	group.Go(func() error {
		if err := untilReady(ctx); err != nil {
			return err
		}
		if err := n.engine.Ready(ctx); err != nil {
			return err
		}
		start("kube-controller-manager", n.controllerManagerArgs()...)
		start("kube-scheduler", n.schedulerArgs()...)
		start("kubelet", n.kubeletArgs()...)
		start("kube-proxy", "--config="+n.data("kube-proxy.yaml"), "--hostname-override="+local.NodeName(1))
		return nil
	})
	return group.Wait()
}

// keep runs a program. It is not meant to end.
func (n *upstreamNode) keep(ctx context.Context, name string, args []string) error {
	log, err := os.Create(n.data(name + ".log"))
	if err != nil {
		return fmt.Errorf("making the log of %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, n.program(name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	began := time.Now()
	err = cmd.Run()
	n.log.Error("a program ended", "program", name, "after", time.Since(began), "error", err)
	return fmt.Errorf("%s ended: %w", name, errors.Join(err, ctx.Err()))
}

// untilReady asks until the API server says that it is ready; nothing tells a client when a server begins to listen.
func untilReady(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{
		// Only the answer's code is looked at, and nothing is sent.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, localURL()+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the API server: %w", err)
		}
	}
}
