package critest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Version answers as containerd does.
func (r *Runtime) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "v0.0.0-test", RuntimeApiVersion: "v1"}, nil
}

// Status says whether runtime and network are ready.
func (r *Runtime) Status(context.Context, *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &runtimeapi.StatusResponse{Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
		{Type: "RuntimeReady", Status: true}, {Type: "NetworkReady", Status: !r.notReady, Message: "cni plugin not initialized"},
	}}}, nil
}

// RunPodSandbox makes a sandbox with an address of its own.
func (r *Runtime) RunPodSandbox(
	_ context.Context, q *runtimeapi.RunPodSandboxRequest,
) (*runtimeapi.RunPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("RunPodSandbox %s/%d", q.Config.Metadata.Name, q.Config.Metadata.Attempt)
	if r.sandboxErr != "" {
		return nil, status.Error(codes.Unknown, r.sandboxErr)
	}
	s := &runtimeapi.PodSandboxStatus{
		Id: r.id("sandbox-"), Metadata: q.Config.Metadata, State: runtimeapi.PodSandboxState_SANDBOX_READY,
		CreatedAt: time.Now().UnixNano(), Labels: q.Config.Labels, Annotations: q.Config.Annotations,
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: fmt.Sprintf("10.42.0.%d", r.counter)},
	}
	r.sandboxes = append(r.sandboxes, s)
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: s.Id}, nil
}

// StopPodSandbox stops a sandbox and all in it.
func (r *Runtime) StopPodSandbox(
	_ context.Context, q *runtimeapi.StopPodSandboxRequest,
) (*runtimeapi.StopPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sandbox(q.PodSandboxId); s != nil {
		r.note("StopPodSandbox %s/%d", s.Metadata.Name, s.Metadata.Attempt)
		s.State = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
		for _, c := range r.containers {
			if c.sandbox == s.Id {
				r.end(c, 137, "")
			}
		}
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

// RemovePodSandbox removes a sandbox and all in it.
func (r *Runtime) RemovePodSandbox(
	_ context.Context, q *runtimeapi.RemovePodSandboxRequest,
) (*runtimeapi.RemovePodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sandbox(q.PodSandboxId); s != nil {
		r.note("RemovePodSandbox %s/%d", s.Metadata.Name, s.Metadata.Attempt)
	}
	r.sandboxes = slices.DeleteFunc(r.sandboxes, func(s *runtimeapi.PodSandboxStatus) bool { return s.Id == q.PodSandboxId })
	r.containers = slices.DeleteFunc(r.containers, func(c *container) bool { return c.sandbox == q.PodSandboxId })
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

// PodSandboxStatus returns one sandbox.
func (r *Runtime) PodSandboxStatus(
	_ context.Context, q *runtimeapi.PodSandboxStatusRequest,
) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandbox(q.PodSandboxId)
	if s == nil {
		return nil, status.Errorf(codes.NotFound, "sandbox %q not found", q.PodSandboxId)
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: proto.Clone(s).(*runtimeapi.PodSandboxStatus)}, nil
}

// ListPodSandbox lists sandboxes.
func (r *Runtime) ListPodSandbox(
	_ context.Context, q *runtimeapi.ListPodSandboxRequest,
) (*runtimeapi.ListPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := &runtimeapi.ListPodSandboxResponse{}
	for _, s := range r.sandboxes {
		if matches(s.Labels, q.GetFilter().GetLabelSelector()) {
			answer.Items = append(answer.Items, &runtimeapi.PodSandbox{
				Id: s.Id, Metadata: s.Metadata, State: s.State, CreatedAt: s.CreatedAt, Labels: s.Labels,
			})
		}
	}
	return answer, nil
}

// CreateContainer makes a container.
func (r *Runtime) CreateContainer(
	_ context.Context, q *runtimeapi.CreateContainerRequest,
) (*runtimeapi.CreateContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := q.Config.Metadata
	r.note("CreateContainer %s/%d", m.Name, m.Attempt)
	image := r.images[q.Config.Image.GetUserSpecifiedImage()]
	if image == nil {
		return nil, status.Errorf(codes.NotFound, "image %q not found", q.Config.Image.GetImage())
	}
	c := &container{
		status: &runtimeapi.ContainerStatus{
			Id: r.id("container-"), Metadata: m, State: runtimeapi.ContainerState_CONTAINER_CREATED,
			CreatedAt: time.Now().UnixNano(), Image: q.Config.Image, ImageRef: q.Config.Image.GetImage(),
			Labels: q.Config.Labels, Annotations: q.Config.Annotations, Mounts: q.Config.Mounts,
		},
		config: q.Config, sandbox: q.PodSandboxId, image: image, exited: make(chan struct{}),
	}
	r.containers = append(r.containers, c)
	return &runtimeapi.CreateContainerResponse{ContainerId: c.status.Id}, nil
}

// StartContainer starts a container; what it then does its image says.
func (r *Runtime) StartContainer(
	_ context.Context, q *runtimeapi.StartContainerRequest,
) (*runtimeapi.StartContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.container(q.ContainerId)
	if err != nil {
		return nil, err
	}
	r.note("StartContainer %s/%d", c.status.Metadata.Name, c.status.Metadata.Attempt)
	if c.image.StartError != "" {
		r.end(c, 128, "StartError")
		return nil, status.Error(codes.Unknown, c.image.StartError)
	}
	c.status.State = runtimeapi.ContainerState_CONTAINER_RUNNING
	c.status.StartedAt = time.Now().UnixNano()
	if s := r.sandbox(c.sandbox); s != nil {
		r.emit(s, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	}
	if c.image.Exits != nil {
		r.end(c, *c.image.Exits, "")
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

// StopContainer stops a container; one that ignores the signal lives until the timeout.
func (r *Runtime) StopContainer(
	ctx context.Context, q *runtimeapi.StopContainerRequest,
) (*runtimeapi.StopContainerResponse, error) {
	r.mu.Lock()
	c, err := r.container(q.ContainerId)
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	r.note("StopContainer %s/%d timeout=%d", c.status.Metadata.Name, c.status.Metadata.Attempt, q.Timeout)
	if !c.image.IgnoresStop {
		r.end(c, 143, "")
	}
	r.mu.Unlock()
	timer := time.NewTimer(time.Duration(q.Timeout) * time.Second)
	defer timer.Stop()
	select {
	case <-c.exited:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end(c, 137, "")
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

// RemoveContainer removes a container.
func (r *Runtime) RemoveContainer(
	_ context.Context, q *runtimeapi.RemoveContainerRequest,
) (*runtimeapi.RemoveContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, err := r.container(q.ContainerId); err == nil {
		r.note("RemoveContainer %s/%d", c.status.Metadata.Name, c.status.Metadata.Attempt)
	}
	r.containers = slices.DeleteFunc(r.containers, func(c *container) bool { return c.status.Id == q.ContainerId })
	return &runtimeapi.RemoveContainerResponse{}, nil
}

// ListContainers lists containers.
func (r *Runtime) ListContainers(
	_ context.Context, q *runtimeapi.ListContainersRequest,
) (*runtimeapi.ListContainersResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := &runtimeapi.ListContainersResponse{}
	for _, c := range r.containers {
		if matches(c.status.Labels, q.GetFilter().GetLabelSelector()) {
			answer.Containers = append(answer.Containers, &runtimeapi.Container{
				Id: c.status.Id, PodSandboxId: c.sandbox, Metadata: c.status.Metadata, State: c.status.State,
				CreatedAt: c.status.CreatedAt, Labels: c.status.Labels, Annotations: c.status.Annotations,
			})
		}
	}
	return answer, nil
}

// ContainerStatus returns one container.
func (r *Runtime) ContainerStatus(
	_ context.Context, q *runtimeapi.ContainerStatusRequest,
) (*runtimeapi.ContainerStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.container(q.ContainerId)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ContainerStatusResponse{Status: proto.Clone(c.status).(*runtimeapi.ContainerStatus)}, nil
}

// ExecSync does what SetExec said; else it succeeds.
func (r *Runtime) ExecSync(_ context.Context, q *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	r.mu.Lock()
	c, err := r.container(q.ContainerId)
	f := r.exec
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if f == nil {
		return &runtimeapi.ExecSyncResponse{}, nil
	}
	code, out, err := f(c.status.Metadata.Name, q.Cmd)
	return &runtimeapi.ExecSyncResponse{ExitCode: code, Stdout: []byte(out)}, err
}

// ImageStatus says whether an image is there.
func (r *Runtime) ImageStatus(_ context.Context, q *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := q.Image.GetImage()
	image := r.images[name]
	if image == nil || image.Absent {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	answer := &runtimeapi.Image{Id: name, RepoTags: []string{name}, Username: image.User}
	if image.UID != nil {
		answer.Uid = &runtimeapi.Int64Value{Value: *image.UID}
	}
	return &runtimeapi.ImageStatusResponse{Image: answer}, nil
}

// PullImage pulls an image, if it can be.
func (r *Runtime) PullImage(_ context.Context, q *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := q.Image.GetImage()
	r.note("PullImage %s", name)
	image := r.images[name]
	if image == nil {
		return nil, status.Errorf(codes.NotFound, "failed to pull and unpack image %q: not found", name)
	}
	if image.PullError != "" {
		return nil, status.Error(codes.Unknown, image.PullError)
	}
	image.Absent = false
	return &runtimeapi.PullImageResponse{ImageRef: name}, nil
}

// ListImages lists the images that are there.
func (r *Runtime) ListImages(context.Context, *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := &runtimeapi.ListImagesResponse{}
	for name, image := range r.images {
		if !image.Absent {
			answer.Images = append(answer.Images, &runtimeapi.Image{Id: name, RepoTags: []string{name}, Size: 1000})
		}
	}
	return answer, nil
}
