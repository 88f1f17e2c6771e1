package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/handler"
	"coracle.dev/coracle/internal/node/naming"
	"coracle.dev/coracle/internal/node/pod"
	"coracle.dev/coracle/internal/node/userns"
)

// job is one operation with all it needs, apart from the worker's loop.
type job struct {
	agent   *Agent
	worker  *worker
	pod     *v1.Pod
	op      pod.Op
	sandbox pod.Sandbox
	ips     []string
	// targets are the running containers' IDs by name.
	targets map[string]string
	// hooked remembers the containers whose preStop hook has run.
	hooked  *sync.Map
	started time.Time
}

// do performs the operation.
func (j *job) do(ctx context.Context) error {
	a, rt := j.agent, j.agent.runtime
	switch j.op.Do {
	case pod.MountVolumes:
		_, err := j.worker.mount(ctx, j.pod, j.worker.facts(j.pod, j.ips))
		return err
	case pod.CreateSandbox:
		return j.createSandbox(ctx)
	case pod.StartContainer:
		return j.startContainer(ctx)
	case pod.StopContainer:
		return j.stopContainer(ctx)
	case pod.RemoveContainer:
		return j.removeContainer(ctx)
	case pod.StopSandbox:
		_, err := rt.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: j.op.ID})
		return ignoreMissing(err, "stopping the sandbox")
	case pod.RemoveSandbox:
		_, err := rt.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: j.op.ID})
		return ignoreMissing(err, "removing the sandbox")
	case pod.Release:
		if err := a.volumes.Unmount(j.pod.UID); err != nil {
			return err
		}
		return a.cgroups.RemovePod(string(j.pod.UID))
	case pod.DeletePod:
		return j.deletePod(ctx)
	case pod.Forget:
		return j.forget()
	}
	return fmt.Errorf("an operation without a hand: %v", j.op)
}

func ignoreMissing(err error, what string) error {
	if err == nil || cri.NotFound(err) {
		return nil
	}
	if cri.Canceled(err) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// createSandbox makes the pod's group and sandbox.
func (j *job) createSandbox(ctx context.Context) error {
	config, err := j.sandboxConfig(j.op.Attempt)
	if err != nil {
		return err
	}
	if _, err := j.agent.cgroups.MakePod(j.pod); err != nil {
		j.agent.cfg.Logger.Warn("a pod runs without its own control group", "kind", "Pod", "namespace", j.pod.Namespace,
			"name", j.pod.Name, "err", err)
		config.Linux.CgroupParent = ""
	}
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil { //nolint:gosec // log collectors read it
		return fmt.Errorf("making the folder of logs: %w", err)
	}
	handler, err := j.agent.runtimeHandler(ctx, j.pod)
	if err != nil {
		return err
	}
	leave, err := j.agent.making.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	_, err = j.agent.runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	return err
}

// sandboxConfig returns the sandbox's configuration, which container creation repeats.
func (j *job) sandboxConfig(attempt uint32) (*runtimeapi.PodSandboxConfig, error) {
	a := j.agent
	hostname, err := naming.Kernel(j.pod, a.cfg.ClusterDomain)
	if err != nil {
		return nil, err
	}
	dns, warnings := naming.DNS(j.pod, a.naming())
	for _, w := range warnings {
		a.recorder.Event(j.pod, v1.EventTypeWarning, "DNSConfigForming", w)
	}
	users, err := j.users()
	if err != nil {
		return nil, err
	}
	return cri.SandboxConfig(j.pod, cri.SandboxInput{
		Users: users, Attempt: attempt, Hostname: hostname, DNS: dns, LogsDir: a.cfg.PodLogsDir,
		CgroupParent: a.cgroups.ParentOf(j.pod),
	}), nil
}

// users returns the mappings of a pod with its own user namespace; nil for others.
func (j *job) users() (*runtimeapi.UserNamespace, error) {
	if j.pod.Spec.HostUsers == nil || *j.pod.Spec.HostUsers {
		return nil, nil
	}
	if !j.agent.features().users {
		return nil, errors.New("the pod asks for its own user namespace (hostUsers: false), which the runtime does not offer")
	}
	start, err := j.agent.users.Take(j.pod.UID)
	if err != nil {
		return nil, err
	}
	ids := []*runtimeapi.IDMapping{{HostId: start, ContainerId: 0, Length: userns.Length}}
	return &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}, nil
}

// naming reads the node's own resolver configuration anew each time: it may change.
func (a *Agent) naming() naming.Node {
	n := naming.Node{Domain: a.cfg.ClusterDomain, Servers: a.cfg.ClusterDNS}
	if text, err := os.ReadFile(a.cfg.ResolvConf); err == nil {
		n.Host = naming.ParseResolver(string(text))
	}
	if text, err := os.ReadFile("/etc/hosts"); err == nil {
		n.HostsFile = string(text)
	}
	return n
}

// minAfterHook is what a container gets to stop when its preStop hook used the time up, in seconds.
const minAfterHook = 2

// stopContainer runs the preStop hook and stops the container in the time that is left.
func (j *job) stopContainer(ctx context.Context) error {
	a := j.agent
	deadline := j.op.Deadline
	if deadline.IsZero() {
		deadline = j.started.Add(time.Duration(j.op.Grace) * time.Second)
	}
	left := func() time.Duration { return deadline.Sub(a.cfg.Now()) }
	hooked := j.preStop(ctx, left())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	seconds := int64((left() + time.Second - 1) / time.Second)
	if hooked {
		seconds = max(seconds, minAfterHook)
	}
	_, err := a.runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: j.op.ID, Timeout: max(seconds, 0)})
	return ignoreMissing(err, "stopping container "+j.op.Container)
}

// preStop runs the hook once per container and says whether there is one.
func (j *job) preStop(ctx context.Context, left time.Duration) bool {
	e, ok := pod.Find(j.pod, j.op.Container)
	if !ok || e.Lifecycle == nil || e.Lifecycle.PreStop == nil {
		return false
	}
	if _, done := j.hooked.Load(j.op.ID); done || left <= 0 {
		return true
	}
	hookCtx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	ip := ""
	if len(j.ips) > 0 {
		ip = j.ips[0]
	}
	hook := handler.Hook{Pod: j.pod, Container: e.Container, ContainerID: j.op.ID, IP: ip, Handler: e.Lifecycle.PreStop}
	err := hook.Run(hookCtx, j.agent.execSync)
	if ctx.Err() != nil {
		return true
	}
	j.hooked.Store(j.op.ID, struct{}{})
	if err != nil {
		j.agent.containerEvent(j.pod, e.Name, v1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
		j.worker.log.Warn("a preStop hook failed", "container", e.Name, "err", err)
	}
	return true
}

// removeContainer removes a container, its log with all that was rotated, and its termination message.
func (j *job) removeContainer(ctx context.Context) error {
	a := j.agent
	status, err := a.runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: j.op.ID})
	if err != nil && !cri.NotFound(err) {
		return fmt.Errorf("asking for container %s: %w", j.op.ID, err)
	}
	_, err = a.runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: j.op.ID})
	if err := ignoreMissing(err, "removing container "+j.op.Container); err != nil {
		return err
	}
	if path := status.GetStatus().GetLogPath(); path != "" {
		rotated, err := filepath.Glob(path + "*")
		if err != nil {
			return fmt.Errorf("looking for logs: %w", err)
		}
		for _, file := range rotated {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("removing a log: %w", err)
			}
		}
	}
	link := a.containerLogLink(j.pod, j.op.Container, j.op.ID)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the link to a log: %w", err)
	}
	return nil
}

// deletePod removes the API object for good, if it is still the same pod.
func (j *job) deletePod(ctx context.Context) error {
	zero := int64(0)
	_, err := j.agent.cfg.Client.Write(ctx, client.Write{
		Verb: client.Delete, Resource: kinds.Pods(), Namespace: j.pod.Namespace, Name: j.pod.Name,
		Delete: metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: uidOf(j.pod)}},
	})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("deleting the pod: %w", err)
}

func uidOf(p *v1.Pod) *types.UID {
	uid := p.UID
	return &uid
}

// forget removes the pod's folders.
func (j *job) forget() error {
	if err := j.agent.volumes.Forget(j.pod.UID); err != nil {
		return err
	}
	j.agent.users.Drop(j.pod.UID)
	if j.pod.Name == "" {
		return nil
	}
	if err := os.RemoveAll(cri.LogDirectory(j.agent.cfg.PodLogsDir, j.pod)); err != nil {
		return fmt.Errorf("removing the pod's logs: %w", err)
	}
	return nil
}
