package critest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Image says how containers of an image behave.
type Image struct {
	// Absent images must be pulled first; PullError makes that fail.
	Absent    bool
	PullError string
	UID       *int64
	User      string
	// Exits makes a container end by itself, with this code, as soon as it is started.
	Exits *int32
	// StartError makes the start fail.
	StartError string
	// IgnoresStop makes a container live until it is killed.
	IgnoresStop bool
}

// Runtime is the fake. Safe for concurrent use.
type Runtime struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer

	mu          sync.Mutex
	images      map[string]*Image
	sandboxes   []*runtimeapi.PodSandboxStatus
	containers  []*container
	subscribers []chan *runtimeapi.ContainerEventResponse
	calls       []string
	counter     int
	sandboxErr  string
	notReady    bool
	exec        func(container string, command []string) (int32, string, error)
}

type container struct {
	status  *runtimeapi.ContainerStatus
	config  *runtimeapi.ContainerConfig
	sandbox string
	image   *Image
	exited  chan struct{}
}

// New returns a runtime that knows the images.
func New(images map[string]*Image) *Runtime { return &Runtime{images: images} }

// Calls returns the calls that changed something, such as "CreateContainer main/0", in order.
func (r *Runtime) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// FailSandboxes makes every further RunPodSandbox fail with the message; empty lets them succeed.
func (r *Runtime) FailSandboxes(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sandboxErr = message
}

// SetReady sets whether the runtime says that its network is ready.
func (r *Runtime) SetReady(ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notReady = !ready
}

// SetExec sets what ExecSync does.
func (r *Runtime) SetExec(f func(container string, command []string) (int32, string, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exec = f
}

// SetImage adds or replaces an image.
func (r *Runtime) SetImage(name string, image *Image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[name] = image
}

// Exit ends the newest running container of that name with the code, as if it had done so itself.
func (r *Runtime) Exit(name string, code int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range slices.Backward(r.containers) {
		if c.status.Metadata.Name == name && c.status.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
			r.end(c, code, "")
			return true
		}
	}
	return false
}

// KillSandboxes ends every sandbox and all in it, as a crash does.
func (r *Runtime) KillSandboxes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sandboxes {
		s.State = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
		for _, c := range r.containers {
			if c.sandbox == s.Id {
				r.end(c, 137, "")
			}
		}
		r.emit(s, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
}

// Containers returns "name/restarts state" of every container, oldest first.
func (r *Runtime) Containers() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, c := range r.containers {
		out = append(out, fmt.Sprintf("%s/%d %s", c.status.Metadata.Name, c.status.Metadata.Attempt, c.status.State))
	}
	return out
}

// Config returns the configuration of the newest container of that name.
func (r *Runtime) Config(name string) *runtimeapi.ContainerConfig {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range slices.Backward(r.containers) {
		if c.status.Metadata.Name == name {
			return c.config
		}
	}
	return nil
}

// Sandboxes counts the sandboxes.
func (r *Runtime) Sandboxes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sandboxes)
}

func (r *Runtime) subscribe(ctx context.Context, ch chan *runtimeapi.ContainerEventResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subscribers = append(r.subscribers, ch)
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.subscribers = slices.DeleteFunc(r.subscribers, func(c chan *runtimeapi.ContainerEventResponse) bool { return c == ch })
	})
}

// emit tells subscribers that something of the sandbox changed. The caller holds mu.
func (r *Runtime) emit(s *runtimeapi.PodSandboxStatus, kind runtimeapi.ContainerEventType) {
	copied, ok := proto.Clone(s).(*runtimeapi.PodSandboxStatus)
	if !ok {
		return
	}
	for _, ch := range r.subscribers {
		select {
		case ch <- &runtimeapi.ContainerEventResponse{ContainerEventType: kind, PodSandboxStatus: copied}:
		default:
		}
	}
}

// end marks a container as exited. The caller holds mu.
func (r *Runtime) end(c *container, code int32, reason string) {
	if c.status.State == runtimeapi.ContainerState_CONTAINER_EXITED {
		return
	}
	c.status.State = runtimeapi.ContainerState_CONTAINER_EXITED
	c.status.ExitCode, c.status.Reason = code, reason
	c.status.FinishedAt = time.Now().UnixNano()
	close(c.exited)
	if s := r.sandbox(c.sandbox); s != nil {
		r.emit(s, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
}

func (r *Runtime) sandbox(id string) *runtimeapi.PodSandboxStatus {
	for _, s := range r.sandboxes {
		if s.Id == id {
			return s
		}
	}
	return nil
}

func (r *Runtime) container(id string) (*container, error) {
	for _, c := range r.containers {
		if c.status.Id == id {
			return c, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "container %q not found", id)
}

func (r *Runtime) note(format string, args ...any) {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

func (r *Runtime) id(prefix string) string {
	r.counter++
	return fmt.Sprintf("%s%d", prefix, r.counter)
}

func matches(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}
