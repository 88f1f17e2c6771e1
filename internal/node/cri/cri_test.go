package cri

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/node/cri/critest"
	"coracle.dev/coracle/internal/node/pod"
)

func podOf(t *testing.T, spec string) *v1.Pod {
	t.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1", Labels: map[string]string{"app": "web"}}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func container(t *testing.T, p *v1.Pod, in ContainerInput) *runtimeapi.ContainerConfig {
	t.Helper()
	e, _ := pod.Find(p, "main")
	c, err := ContainerConfig(p, e, in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSandboxConfig(t *testing.T) {
	p := podOf(t, `
securityContext: {fsGroup: 5, supplementalGroups: [6], runAsUser: 7, sysctls: [{name: net.a, value: "1"}]}
shareProcessNamespace: true
containers:
- {name: main, ports: [{containerPort: 80, hostPort: 8080, protocol: UDP}], securityContext: {privileged: true}}
`)
	c := SandboxConfig(p, SandboxInput{Attempt: 2, Hostname: "h", LogsDir: "/var/log/pods", CgroupParent: "/kubepods/podu1"})
	if c.Metadata.Attempt != 2 || c.Hostname != "h" || c.LogDirectory != "/var/log/pods/shop_web_u1" {
		t.Errorf("got %v", c)
	}
	if c.Labels["app"] != "web" || c.Labels[LabelPodUID] != "u1" {
		t.Errorf("labels %v", c.Labels)
	}
	if len(p.Labels) != 1 {
		t.Error("the pod's own labels were changed")
	}
	s := c.Linux.SecurityContext
	if !s.Privileged || s.NamespaceOptions.Pid != runtimeapi.NamespaceMode_POD || len(s.SupplementalGroups) != 2 ||
		s.RunAsUser.Value != 7 {
		t.Errorf("security %v", s)
	}
	if m := c.PortMappings[0]; m.HostPort != 8080 || m.Protocol != runtimeapi.Protocol_UDP {
		t.Errorf("ports %v", c.PortMappings)
	}
	if c.Linux.Sysctls["net.a"] != "1" {
		t.Errorf("sysctls %v", c.Linux.Sysctls)
	}
	p = podOf(t, `{hostNetwork: true, hostPID: true, hostIPC: true, containers: [{name: main}]}`)
	host := SandboxConfig(p, SandboxInput{Hostname: "h"})
	n := host.Linux.SecurityContext.NamespaceOptions
	if node := runtimeapi.NamespaceMode_NODE; host.Hostname != "" || n.Network != node || n.Pid != node || n.Ipc != node {
		t.Errorf("host namespaces: %v", host)
	}
}

func TestContainerSecurity(t *testing.T) {
	p := podOf(t, `
securityContext: {runAsUser: 1, runAsGroup: 2, seccompProfile: {type: RuntimeDefault}}
containers:
- name: main
  securityContext:
    runAsUser: 10
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {add: [NET_ADMIN], drop: [ALL]}
    seccompProfile: {type: Localhost, localhostProfile: a/b.json}
`)
	s := container(t, p, ContainerInput{SeccompRoot: "/seccomp"}).Linux.SecurityContext
	if s.RunAsUser.Value != 10 || s.RunAsGroup.Value != 2 || !s.ReadonlyRootfs || !s.NoNewPrivs || s.Privileged {
		t.Errorf("got %v", s)
	}
	if s.Seccomp.LocalhostRef != "/seccomp/a/b.json" || s.Capabilities.AddCapabilities[0] != "NET_ADMIN" || len(s.MaskedPaths) == 0 {
		t.Errorf("got %v", s)
	}
	p.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: new(bool)}
	*p.Spec.Containers[0].SecurityContext.Privileged = true
	if s := container(t, p, ContainerInput{}).Linux.SecurityContext; !s.Privileged || len(s.MaskedPaths) > 0 {
		t.Errorf("privileged: %v", s)
	}
}

func TestRunAsNonRoot(t *testing.T) {
	root, other := int64(0), int64(5)
	for _, c := range []struct {
		name, spec string
		in         ContainerInput
		refused    string
	}{
		{"own user is root", `{runAsNonRoot: true, runAsUser: 0}`, ContainerInput{}, "runAsUser breaks non-root policy"},
		{"own user", `{runAsNonRoot: true, runAsUser: 5}`, ContainerInput{ImageUID: &root}, ""},
		{"image is root", `{runAsNonRoot: true}`, ContainerInput{ImageUID: &root}, "image will run as root"},
		{"image has a name", `{runAsNonRoot: true}`, ContainerInput{ImageUser: "app"}, "non-numeric user (app)"},
		{"image has a number", `{runAsNonRoot: true}`, ContainerInput{ImageUID: &other}, ""},
		{"not asked for", `{}`, ContainerInput{ImageUID: &root}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := podOf(t, `{containers: [{name: main, securityContext: `+c.spec+`}]}`)
			e, _ := pod.Find(p, "main")
			_, err := ContainerConfig(p, e, c.in)
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestResources(t *testing.T) {
	for _, c := range []struct {
		name, spec                 string
		shares, quota, memory, oom int64
	}{
		{"nothing", `{}`, 2, 0, 0, 1000},
		{"request", `{requests: {cpu: 250m, memory: 256Mi}}`, 256, 0, 0, 750},
		{"limit stands for the request", `{limits: {cpu: 500m}}`, 512, 50_000, 0, 999},
		{"tiny limit", `{limits: {cpu: 1m}}`, 2, 1000, 0, 999},
		{"guaranteed", `{requests: {cpu: "1", memory: 1Mi}, limits: {cpu: "1", memory: 1Mi}}`, 1024, 100_000, 1 << 20, -997},
		{"all of the memory", `{requests: {memory: 1Gi}}`, 2, 0, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := podOf(t, `{containers: [{name: main, resources: `+c.spec+`}]}`)
			r := container(t, p, ContainerInput{MemoryCapacity: 1 << 30}).Linux.Resources
			if r.CpuShares != c.shares || r.CpuQuota != c.quota || r.MemoryLimitInBytes != c.memory || r.OomScoreAdj != c.oom {
				t.Errorf("got %v", r)
			}
		})
	}
}

func TestStopSignal(t *testing.T) {
	for name, want := range map[v1.Signal]runtimeapi.Signal{
		"SIGUSR1": runtimeapi.Signal_SIGNAL_SIGUSR1, "SIGRTMIN+3": runtimeapi.Signal_SIGNAL_SIGRTMINPLUS3,
		"SIGRTMAX-1": runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS1, "nonsense": runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT,
	} {
		if got := toSignal(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestObserve(t *testing.T) {
	r := critest.New(map[string]*critest.Image{"app:1": {}})
	c := New(r.Conn())
	ctx := context.Background()
	p := podOf(t, `{containers: [{name: main, image: "app:1"}]}`)
	made, err := c.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: SandboxConfig(p, SandboxInput{})})
	if err != nil {
		t.Fatal(err)
	}
	for restarts := range uint32(2) {
		created, err := c.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
			PodSandboxId: made.PodSandboxId, Config: container(t, p, ContainerInput{Restarts: restarts, ImageRef: "app:1"}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: created.ContainerId}); err != nil {
			t.Fatal(err)
		}
		if restarts == 0 {
			r.Exit("main", 4)
		}
	}
	v, err := c.Observe(ctx, "u1")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Sandboxes) != 1 || !v.Sandboxes[0].Ready || len(v.Sandboxes[0].IPs) != 1 {
		t.Errorf("sandboxes %+v", v.Sandboxes)
	}
	if len(v.Containers) != 2 || v.Containers[0].State != pod.Running || v.Containers[0].Restarts != 1 ||
		v.Containers[1].ExitCode != 4 {
		t.Errorf("containers %+v", v.Containers)
	}
	e, _ := pod.Find(p, "main")
	if v.Containers[0].Hash != pod.SpecHash(e.Container) || v.Containers[0].SandboxID != made.PodSandboxId {
		t.Errorf("container %+v", v.Containers[0])
	}
	if other, err := c.Observe(ctx, "u2"); err != nil || len(other.Sandboxes)+len(other.Containers) > 0 {
		t.Errorf("another pod has %+v, %v", other, err)
	}
}

func TestExitMessage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	said := write("said", "bye")
	empty := write("empty", "")
	long := write("long", strings.Repeat("x", 5000))
	log := write("log",
		"2026-01-01T00:00:00Z stderr F first\n2026-01-01T00:00:01Z stdout P sec\n2026-01-01T00:00:01Z stdout F ond\n")
	status := func(file, policy string, code int32) *runtimeapi.ContainerStatus {
		return &runtimeapi.ContainerStatus{
			ExitCode: code, LogPath: log, Mounts: []*runtimeapi.Mount{{ContainerPath: "/dev/log", HostPath: file}},
			Annotations: map[string]string{annotationMessagePath: "/dev/log", annotationMessagePolicy: policy},
		}
	}
	for _, c := range []struct {
		name, want string
		s          *runtimeapi.ContainerStatus
	}{
		{"file", "bye", status(said, "File", 1)},
		{"nothing", "", status(empty, "File", 1)},
		{"bounded", strings.Repeat("x", 4096), status(long, "File", 0)},
		{"log", "first\nsecond\n", status(empty, "FallbackToLogsOnError", 1)},
		{"success has no fallback", "", status(empty, "FallbackToLogsOnError", 0)},
		{"file before log", "bye", status(said, "FallbackToLogsOnError", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitMessage(c.s); got != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
