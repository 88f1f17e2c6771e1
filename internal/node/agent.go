package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/client/events"
	"coracle.dev/coracle/internal/node/cgroup"
	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/image"
	"coracle.dev/coracle/internal/node/lease"
	"coracle.dev/coracle/internal/node/logs"
	"coracle.dev/coracle/internal/node/source"
	"coracle.dev/coracle/internal/node/userns"
	"coracle.dev/coracle/internal/node/volume"
)

// Agent runs the pods of one node.
type Agent struct {
	cfg Config

	runtime  *cri.Client
	conn     *grpc.ClientConn
	images   *image.Manager
	volumes  *volume.Manager
	cgroups  *cgroup.Tree
	users    *userns.Ranges
	source   *source.Source
	recorder *events.Recorder
	logs     *logs.Follower
	making   *gate // lets a few sandboxes be made at once

	// runtimeInfo is set once the runtime answered; nodeUID once the node is registered.
	runtimeInfo  atomic.Pointer[cri.Info]
	handlers     atomic.Pointer[runtimeFeatures]
	networkReady atomic.Bool
	node         atomic.Pointer[v1.Node]
	registered   chan struct{} // closed when node is first set
	registerOnce sync.Once

	mu      sync.Mutex
	workers map[types.UID]*worker
	group   *errgroup.Group
}

// New prepares an agent; nothing happens before Run.
func New(cfg Config) (*Agent, error) {
	if cfg.RuntimeSocket == "" {
		return nil, errors.New("the node has no runtime socket")
	}
	conn, err := cri.Dial(cfg.RuntimeSocket)
	if err != nil {
		return nil, err
	}
	a, err := newAgent(cfg, conn, volume.Kernel{})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	a.conn = conn
	return a, nil
}

// newAgent is New with the connection to the runtime and the kernel's mounts given.
func newAgent(cfg Config, conn grpc.ClientConnInterface, mounter volume.Mounter) (*Agent, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("configuring the node agent: %w", err)
	}
	a := &Agent{
		cfg: cfg, runtime: cri.New(conn), registered: make(chan struct{}), workers: map[types.UID]*worker{},
		making: newGate(max(2*runtime.GOMAXPROCS(0), minMaking), longMaking),
	}
	a.images = image.New(a.runtime.Images, cfg.SerialPulls, cfg.Now)
	a.cgroups = cgroup.Open(cfg.CgroupMount, cfg.CgroupRoot, cfg.Logger)
	a.source = source.New(cfg.Client, a.configChanged, cfg.Now, cfg.Logger)
	a.volumes = volume.New(volume.Config{
		RootDir: cfg.RootDir, Source: a.source, Mounter: mounter, Now: cfg.Now, Logger: cfg.Logger,
	})
	a.recorder = events.New(events.Config{
		Client: cfg.Client, Component: "kubelet", Host: cfg.NodeName, Now: cfg.Now, Logger: cfg.Logger,
	})
	a.logs = logs.NewFollower(cfg.Logger)
	return a, nil
}

// Run runs the node's pods until ctx ends. Containers run on afterwards.
func (a *Agent) Run(ctx context.Context) error {
	if a.conn != nil {
		defer a.conn.Close()
	}
	if err := a.makeDirs(); err != nil {
		return err
	}
	if err := a.cgroups.Setup(); err != nil {
		// Pods without limits are better than none; each complaint was logged.
		a.cfg.Logger.Warn("the control groups of pods can't be made", "err", err)
	}
	users, err := userns.Open(filepath.Join(a.cfg.RootDir, "pods"), a.cfg.MaxPods)
	if err != nil {
		return err
	}
	a.users = users
	group, ctx := errgroup.WithContext(ctx)
	a.group = group
	keeper := &lease.Keeper{
		Client: a.cfg.Client, Node: a.cfg.NodeName, UID: a.nodeUID, Duration: a.cfg.LeaseDuration, Every: a.cfg.LeaseRenew,
		Retry: leaseRetry, Now: a.cfg.Now, Logger: a.cfg.Logger,
	}
	for _, part := range []func(context.Context) error{
		a.recorder.Run,     // writes events
		a.runNodeStatus,    // registers the node and keeps its status
		a.runOwnNode,       // follows what others say of the node
		keeper.Run,         // renews the lease
		a.runPods,          // follows the node's pods
		a.runRuntimeEvents, // follows the runtime
		a.runServer,        // the kubelet API
		a.logs.Run,         // watches log files for readers
		a.runLogRotation,   // keeps log files small
		a.collector().Run,  // keeps images from filling the disk
	} {
		group.Go(func() error { return part(ctx) })
	}
	return group.Wait()
}

func (a *Agent) makeDirs() error {
	for dir, perm := range map[string]os.FileMode{
		filepath.Join(a.cfg.RootDir, "pods"): 0o750, a.cfg.PodLogsDir: 0o755, a.cfg.ContainerLogsDir: 0o755,
	} {
		if err := os.MkdirAll(dir, perm); err != nil {
			return fmt.Errorf("making the agent's folders: %w", err)
		}
	}
	return nil
}

func (a *Agent) nodeUID() types.UID {
	if n := a.node.Load(); n != nil {
		return n.UID
	}
	return ""
}

// configChanged is told by the source that something that the pod refers to changed.
func (a *Agent) configChanged(uid types.UID) {
	if w := a.worker(uid); w != nil {
		w.configChanged()
	}
}

func (a *Agent) worker(uid types.UID) *worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.workers[uid]
}

// all returns the workers of now.
func (a *Agent) all() []*worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*worker, 0, len(a.workers))
	for _, w := range a.workers {
		all = append(all, w)
	}
	return all
}
