package local

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/cluster/imagebuild"
	"coracle.dev/coracle/internal/cluster/programs"
)

func TestContainerdInANode(t *testing.T) {
	set, err := programs.Carried()
	if err != nil {
		t.Skip(err)
	}
	content := &testContent{}
	opts := world(t, content)
	opts.Nodes = 1
	folder, err := set.Unpack(t.Context(), filepath.Dir(opts.Programs))
	if err != nil {
		t.Fatal(err)
	}
	content.args = []string{playContainerd, filepath.Join(dataInNode, "bin", filepath.Base(folder))}
	if _, err := Up(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	first, _ := content.next(t, 1)

	client := criClient(t, opts)
	version, err := client.Version(t.Context(), &cri.VersionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s", version.RuntimeName, version.RuntimeVersion)
	images := cri.NewImageServiceClient(criConn(t, opts))
	pause, err := images.ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: imagebuild.PauseImage}})
	if err != nil || pause.Image == nil || !pause.Image.Pinned {
		t.Errorf("the pause image: %v, %v", pause, err)
	}
	sandbox, config := runSandbox(t, client)
	before := sandboxPID(t, client, sandbox)
	container := runContainer(t, client, sandbox, config)
	started := containerStart(t, client, container)

	// containerd is killed: it is started again and finds the sandbox as it was.
	killProgram(t, opts, 1, "containerd")
	restarted := criClient(t, opts)
	waitVersion(t, restarted)
	if after := sandboxPID(t, restarted, sandbox); after != before {
		t.Errorf("after containerd was killed the sandbox's process was %d and is %d", before, after)
	}

	// The agent is killed, and containerd with it.
	killAgent(t, opts, 1)
	second, _ := content.next(t, 1)
	if second.PID == first.PID {
		t.Errorf("containerd was %d and still is", first.PID)
	}
	adopted := criClient(t, opts)
	if again := containerStart(t, adopted, container); again != started {
		t.Errorf("the container was started at %d and at %d", started, again)
	}
	if after := sandboxPID(t, adopted, sandbox); after != before {
		t.Errorf("after the agent was killed the sandbox's process was %d and is %d", before, after)
	}
	if _, err := adopted.StopPodSandbox(t.Context(), &cri.StopPodSandboxRequest{PodSandboxId: sandbox}); err != nil {
		t.Error(err)
	}
	if _, err := adopted.RemovePodSandbox(t.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: sandbox}); err != nil {
		t.Error(err)
	}
}

func criConn(t *testing.T, opts Options) *grpc.ClientConn {
	t.Helper()
	sockets, err := ContainerdSockets(opts.DataDir, opts.Name)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+sockets[NodeName(1)], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func criClient(t *testing.T, opts Options) cri.RuntimeServiceClient {
	t.Helper()
	return cri.NewRuntimeServiceClient(criConn(t, opts))
}

// waitVersion returns when the runtime serves; gRPC connects again and again by itself.
func waitVersion(t *testing.T, client cri.RuntimeServiceClient) {
	t.Helper()
	if _, err := client.Version(t.Context(), &cri.VersionRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

func runSandbox(t *testing.T, client cri.RuntimeServiceClient) (string, *cri.PodSandboxConfig) {
	t.Helper()
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "one", Namespace: "default", Uid: "uid-1"},
		LogDirectory: "/var/log/pods/one",
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/besteffort/poduid-1",
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
			},
		},
	}
	r, err := client.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return r.PodSandboxId, config
}

// runContainer starts a container as a careful user would: no root, no capabilities, read-only, with a system call filter and
// a memory limit.
func runContainer(t *testing.T, client cri.RuntimeServiceClient, sandbox string, in *cri.PodSandboxConfig) string {
	t.Helper()
	r, err := client.CreateContainer(t.Context(), &cri.CreateContainerRequest{
		PodSandboxId: sandbox, SandboxConfig: in, Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "main"}, Image: &cri.ImageSpec{Image: imagebuild.PauseImage},
			LogPath: "main/0.log",
			Linux: &cri.LinuxContainerConfig{
				Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, CpuShares: 10, OomScoreAdj: 1000},
				SecurityContext: &cri.LinuxContainerSecurityContext{
					RunAsUser: &cri.Int64Value{Value: 1000}, ReadonlyRootfs: true, NoNewPrivs: true,
					NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
					Capabilities:     &cri.Capability{DropCapabilities: []string{"ALL"}},
					Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
				},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: r.ContainerId}); err != nil {
		t.Fatal(err)
	}
	return r.ContainerId
}

// containerStart returns when a container was started, in nanoseconds. It must be running.
func containerStart(t *testing.T, client cri.RuntimeServiceClient, id string) int64 {
	t.Helper()
	r, err := client.ContainerStatus(t.Context(), &cri.ContainerStatusRequest{ContainerId: id}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Fatalf("the container is %s: %s", r.Status.State, r.Status.Message)
	}
	return r.Status.StartedAt
}

// sandboxPID returns what the runtime knows about a sandbox's process, which must be ready.
func sandboxPID(t *testing.T, client cri.RuntimeServiceClient, id string) int {
	t.Helper()
	r, err := client.PodSandboxStatus(t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true},
		grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status.State != cri.PodSandboxState_SANDBOX_READY {
		t.Fatalf("the sandbox is %s", r.Status.State)
	}
	var info struct{ PID int }
	if err := json.Unmarshal([]byte(r.Info["info"]), &info); err != nil || info.PID == 0 {
		t.Fatalf("the runtime does not tell the sandbox's process: %s (%v)", r.Info["info"], err)
	}
	return info.PID
}
