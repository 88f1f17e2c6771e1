package cri

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// View is what the runtime has of one pod, newest first.
type View struct {
	Sandboxes  []pod.Sandbox
	Containers []pod.Container
}

// Owner names the pod that something in the runtime belongs to.
type Owner struct {
	UID, Namespace, Name string
}

// Owners returns the pods that the runtime has anything of.
func (c *Client) Owners(ctx context.Context) (map[string]Owner, error) {
	list, err := c.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing sandboxes: %w", err)
	}
	owners := map[string]Owner{}
	for _, s := range list.Items {
		if uid := s.Labels[LabelPodUID]; uid != "" {
			owners[uid] = Owner{UID: uid, Namespace: s.Labels[LabelPodNamespace], Name: s.Labels[LabelPodName]}
		}
	}
	return owners, nil
}

// Observe looks at everything the runtime has of a pod.
func (c *Client) Observe(ctx context.Context, uid string) (View, error) {
	var v View
	selector := map[string]string{LabelPodUID: uid}
	sandboxes, err := c.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{
		Filter: &runtimeapi.PodSandboxFilter{LabelSelector: selector},
	})
	if err != nil {
		return v, fmt.Errorf("listing sandboxes: %w", err)
	}
	for _, s := range sandboxes.Items {
		o := pod.Sandbox{
			ID: s.Id, Attempt: s.Metadata.GetAttempt(), Created: time.Unix(0, s.CreatedAt),
			Ready: s.State == runtimeapi.PodSandboxState_SANDBOX_READY,
		}
		if o.Ready {
			if o.IPs, err = c.ips(ctx, s.Id); err != nil {
				return v, err
			}
		}
		v.Sandboxes = append(v.Sandboxes, o)
	}
	slices.SortFunc(v.Sandboxes, func(a, b pod.Sandbox) int {
		return cmp.Or(cmp.Compare(b.Attempt, a.Attempt), b.Created.Compare(a.Created))
	})
	containers, err := c.ListContainers(ctx, &runtimeapi.ListContainersRequest{
		Filter: &runtimeapi.ContainerFilter{LabelSelector: selector},
	})
	if err != nil {
		return v, fmt.Errorf("listing containers: %w", err)
	}
	for _, s := range containers.Containers {
		o, ok, err := c.container(ctx, s)
		if err != nil {
			return v, err
		}
		if ok {
			v.Containers = append(v.Containers, o)
		}
	}
	slices.SortFunc(v.Containers, func(a, b pod.Container) int {
		return cmp.Or(cmp.Compare(b.Restarts, a.Restarts), b.Created.Compare(a.Created))
	})
	return v, nil
}

// ips returns a ready sandbox's addresses, which never change.
func (c *Client) ips(ctx context.Context, id string) ([]string, error) {
	c.mu.Lock()
	ips, known := c.addresses[id]
	c.mu.Unlock()
	if known {
		return ips, nil
	}
	s, err := c.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	if NotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for sandbox %s: %w", id, err)
	}
	if n := s.Status.GetNetwork(); n.GetIp() != "" {
		ips = append(ips, n.Ip)
		for _, more := range n.AdditionalIps {
			ips = append(ips, more.Ip)
		}
		c.mu.Lock()
		c.addresses[id] = ips
		c.mu.Unlock()
	}
	return ips, nil
}

func (c *Client) container(ctx context.Context, listed *runtimeapi.Container) (pod.Container, bool, error) {
	c.mu.Lock()
	o, known := c.exited[listed.Id]
	c.mu.Unlock()
	if known {
		return o, true, nil
	}
	s, err := c.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: listed.Id})
	if NotFound(err) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("asking for container %s: %w", listed.Id, err)
	}
	o = fromStatus(s.Status)
	o.SandboxID = listed.PodSandboxId
	if o.State == pod.Exited {
		o.Message = exitMessage(s.Status)
		c.mu.Lock()
		c.exited[listed.Id] = o
		c.mu.Unlock()
	}
	return o, true, nil
}

// Forget drops what is remembered of removed containers and sandboxes.
func (c *Client) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.exited, id)
	delete(c.addresses, id)
}

// fromStatus turns the runtime's words into an observation.
func fromStatus(s *runtimeapi.ContainerStatus) pod.Container {
	o := pod.Container{
		ID: s.Id, Name: s.Metadata.GetName(), Hash: s.Annotations[annotationHash], Created: time.Unix(0, s.CreatedAt),
		Image: s.Image.GetImage(), ImageID: cmp.Or(s.ImageRef, s.ImageId),
		User: fromUser(s.User),
	}
	if n, err := strconv.ParseInt(s.Annotations[annotationRestartCount], 10, 32); err == nil {
		o.Restarts = int32(n)
	} else {
		o.Restarts = int32(s.Metadata.GetAttempt())
	}
	switch s.State {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		o.State = pod.Created
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		o.State = pod.Running
		o.Started = time.Unix(0, s.StartedAt)
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		o.State = pod.Exited
		o.ExitCode, o.Reason = s.ExitCode, s.Reason
		o.Started, o.Finished = time.Unix(0, s.StartedAt), time.Unix(0, s.FinishedAt)
	default:
		o.State = pod.Unknown
	}
	return o
}

func fromUser(u *runtimeapi.ContainerUser) *v1.ContainerUser {
	if u.GetLinux() == nil {
		return nil
	}
	return &v1.ContainerUser{Linux: &v1.LinuxContainerUser{
		UID: u.Linux.Uid, GID: u.Linux.Gid, SupplementalGroups: u.Linux.SupplementalGroups,
	}}
}
