package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/node/cri/critest"
)

// bench is an agent on a fake API server and a fake runtime, in a synctest bubble.
type bench struct {
	t       *testing.T
	dir     string
	api     *clientfake.Client
	runtime *critest.Runtime
	stop    context.CancelFunc
	done    chan error
}

// noMounts is a volume.Mounter for folders that are just folders.
type noMounts struct{}

func (noMounts) Tmpfs(string, int64) error      { return nil }
func (noMounts) Bind(int, string) error         { return nil }
func (noMounts) Unmount(string) error           { return nil }
func (noMounts) Below(string) ([]string, error) { return nil, nil }

func newBench(t *testing.T, images map[string]*critest.Image) *bench {
	b := &bench{t: t, dir: t.TempDir(), api: clientfake.New(nil), runtime: critest.New(images)}
	b.api.SetClock(time.Now)
	b.api.Intercept(func(w client.Write) (runtime.Object, bool, error) {
		if w.Subresource == "token" {
			answer := w.Object.(*authenticationv1.TokenRequest).DeepCopy()
			answer.Status = authenticationv1.TokenRequestStatus{
				Token: "token", ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour)),
			}
			return answer, true, nil
		}
		return nil, w.Resource.Resource == "leases" || w.Resource.Resource == "events", nil
	})
	return b
}

// start runs an agent; calling it again after halt is a restart.
func (b *bench) start() {
	b.t.Helper()
	a, err := newAgent(Config{
		NodeName: "n1", Client: b.api, RuntimeSocket: "fake", RootDir: filepath.Join(b.dir, "kubelet"),
		PodLogsDir: filepath.Join(b.dir, "pods"), NodeIPs: []string{"192.0.2.1"}, Listen: "-",
		CgroupMount: filepath.Join(b.dir, "cgroup"), Logger: slog.New(slog.DiscardHandler),
		Now: time.Now, Rand: func() float64 { return 0 },
	}, b.runtime.Conn(), noMounts{})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	b.stop, b.done = cancel, make(chan error, 1)
	go func() { b.done <- a.Run(ctx) }()
	synctest.Wait()
}

func (b *bench) halt() {
	b.t.Helper()
	b.stop()
	if err := <-b.done; err != nil {
		b.t.Errorf("the agent ended with %v", err)
	}
}

// run starts an agent in a bubble and ends it after the test.
func run(t *testing.T, images map[string]*critest.Image, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, images)
		b.start()
		test(b)
		b.halt()
	})
}

func (b *bench) create(text string) {
	b.t.Helper()
	var p v1.Pod
	if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
		b.t.Fatal(err)
	}
	p.Namespace, p.Spec.NodeName, p.Generation = "default", "n1", 1
	p.Status.Phase = v1.PodPending
	b.api.Load(&p)
	synctest.Wait()
}

func (b *bench) configMap(name, key, value string) {
	b.api.Load(&v1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{key: value},
	})
}

func (b *bench) pod(name string) *v1.Pod {
	b.t.Helper()
	p, err := client.Get[*v1.Pod](context.Background(), b.api, kinds.Pods(), "default", name)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// change updates a pod as a user does.
func (b *bench) change(name string, f func(*v1.Pod)) {
	p := b.pod(name).DeepCopy()
	f(p)
	b.api.Load(p)
	synctest.Wait()
}

// delete begins a graceful deletion as the API server does.
func (b *bench) delete(name string, grace int64) {
	b.change(name, func(p *v1.Pod) {
		at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	})
}

func (b *bench) exists(name string) bool {
	_, err := client.Get[*v1.Pod](context.Background(), b.api, kinds.Pods(), "default", name)
	return err == nil
}

func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// state is a container's state in a word or two.
func (b *bench) state(name, container string) string {
	for _, st := range slices.Concat(b.pod(name).Status.InitContainerStatuses, b.pod(name).Status.ContainerStatuses) {
		if st.Name != container {
			continue
		}
		switch {
		case st.State.Running != nil:
			return fmt.Sprintf("running %d", st.RestartCount)
		case st.State.Terminated != nil:
			return fmt.Sprintf("%s %d", st.State.Terminated.Reason, st.State.Terminated.ExitCode)
		case st.State.Waiting != nil:
			return st.State.Waiting.Reason
		}
	}
	return ""
}

func (b *bench) expect(name, container, want string) {
	b.t.Helper()
	if got := b.state(name, container); got != want {
		b.t.Errorf("container %s of %s: %s, want %s", container, name, got, want)
	}
}

func ready(p *v1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

const plain = `
metadata: {name: web, uid: u1}
spec:
  restartPolicy: Always
  containers: [{name: main, image: "app:1", imagePullPolicy: IfNotPresent, terminationMessagePath: /dev/termination-log}]
`

func TestPodLivesAndDies(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {Absent: true}}, func(b *bench) {
		b.create(plain)
		p := b.pod("web")
		if p.Status.Phase != v1.PodRunning || !ready(p) || p.Status.PodIP == "" || p.Status.HostIP != "192.0.2.1" {
			t.Errorf("status %+v", p.Status)
		}
		b.expect("web", "main", "running 0")
		b.delete("web", 30)
		if b.exists("web") {
			t.Errorf("the pod is still there: %+v", b.pod("web").Status)
		}
		want := []string{
			"RunPodSandbox web/0", "PullImage app:1", "CreateContainer main/0", "StartContainer main/0", "StopContainer main/0 timeout=30",
			"StopPodSandbox web/0", "RemoveContainer main/0", "RemovePodSandbox web/0",
		}
		if got := b.runtime.Calls(); !slices.Equal(got, want) {
			t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, left := range []string{"kubelet/pods/*", "pods/*", "containers/*"} {
			if found, _ := filepath.Glob(filepath.Join(b.dir, left)); len(found) > 0 {
				t.Errorf("left behind: %q", found)
			}
		}
	})
}

func TestCrashLoop(t *testing.T) {
	one := int32(1)
	run(t, map[string]*critest.Image{"app:1": {Exits: &one}}, func(b *bench) {
		b.create(plain)
		// The first restart is at once, the following after 10, 20, 40 seconds.
		b.expect("web", "main", "CrashLoopBackOff")
		if n := len(b.runtime.Calls()); n != 5 {
			t.Errorf("calls %q", b.runtime.Calls())
		}
		for _, c := range []struct {
			after    time.Duration
			restarts int32
		}{{9 * time.Second, 1}, {2 * time.Second, 2}, {18 * time.Second, 2}, {2 * time.Second, 3}, {41 * time.Second, 4}} {
			b.wait(c.after)
			if got := b.pod("web").Status.ContainerStatuses[0].RestartCount; got != c.restarts {
				t.Errorf("after another %v: %d restarts, want %d", c.after, got, c.restarts)
			}
		}
		if got := b.runtime.Containers(); len(got) != 2 {
			t.Errorf("kept %q", got)
		}
	})
}

func TestImageArrivesLate(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {Absent: true, PullError: "no such host"}}, func(b *bench) {
		b.create(plain)
		b.expect("web", "main", "ErrImagePull")
		b.wait(6 * time.Second)
		b.expect("web", "main", "ImagePullBackOff")
		b.runtime.SetImage("app:1", &critest.Image{Absent: true})
		b.wait(5 * time.Second)
		b.expect("web", "main", "running 0")
	})
}

func TestMissingConfigArrives(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(`
metadata: {name: web, uid: u1}
spec:
  restartPolicy: Always
  volumes: [{name: cm, configMap: {name: settings}}]
  containers:
  - name: main
    image: "app:1"
    env: [{name: X, valueFrom: {secretKeyRef: {name: keys, key: x}}}]
    volumeMounts: [{name: cm, mountPath: /cm}]
`)
		if b.runtime.Sandboxes() != 0 {
			t.Error("a sandbox was made without volumes")
		}
		b.configMap("settings", "a", "1")
		synctest.Wait()
		b.expect("web", "main", "CreateContainerConfigError")
		if got := b.pod("web").Status.ContainerStatuses[0].State.Waiting.Message; got != `secret "keys" not found` {
			t.Errorf("message %q", got)
		}
		b.api.Load(&v1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "keys"}, Data: map[string][]byte{"x": []byte("1")},
		})
		synctest.Wait()
		b.expect("web", "main", "running 0")

		file := filepath.Join(b.dir, "kubelet/pods/u1/volumes/kubernetes.io~configmap/cm/a")
		b.configMap("settings", "a", "2")
		synctest.Wait()
		if data, err := os.ReadFile(file); string(data) != "2" {
			t.Errorf("the running pod's file has %q, %v", data, err)
		}
	})
}

func TestAgentRestartAdopts(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(strings.Replace(plain, "name: main,", "name: main, readinessProbe: {exec: {command: [x]}, periodSeconds: 5},", 1))
		if !ready(b.pod("web")) {
			t.Fatalf("status %+v", b.pod("web").Status)
		}
		before := len(b.runtime.Calls())
		b.halt()
		b.api.ResetWrites()
		b.start()
		b.wait(time.Minute)
		if got := b.runtime.Calls(); len(got) != before {
			t.Errorf("the new agent did %q", got[before:])
		}
		for _, w := range b.api.Writes() {
			if w.Resource.Resource == "pods" {
				t.Errorf("the new agent wrote %s", w.PatchData)
			}
		}
		b.halt()
		// While no agent looks, the pod is deleted for good.
		b.api.Remove(kinds.Pods(), "default", "web")
		b.start()
		if b.runtime.Sandboxes() != 0 || len(b.runtime.Containers()) != 0 {
			t.Errorf("an orphan remains: %q", b.runtime.Containers())
		}
	})
}

func TestContainerExitsWhileNoAgentLooks(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(plain)
		b.halt()
		b.runtime.Exit("main", 3)
		b.start()
		b.expect("web", "main", "running 1")
		last := b.pod("web").Status.ContainerStatuses[0].LastTerminationState.Terminated
		if last == nil || last.ExitCode != 3 {
			t.Errorf("last state %+v", last)
		}
	})
}

func TestStubbornContainerIsKilledInTime(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {IgnoresStop: true}}, func(b *bench) {
		b.create(plain)
		b.delete("web", 30)
		b.wait(10 * time.Second)
		if !b.exists("web") {
			t.Fatal("gone too early")
		}
		// A second, more impatient deletion shortens the grace.
		b.delete("web", 1)
		b.wait(2 * time.Second)
		if b.exists("web") {
			t.Errorf("still there; calls %q", b.runtime.Calls())
		}
	})
}

func TestLivenessRestarts(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(strings.Replace(plain, "name: main,",
			"name: main, livenessProbe: {exec: {command: [x]}, periodSeconds: 2, failureThreshold: 2, "+
				"terminationGracePeriodSeconds: 7},", 1))
		b.runtime.SetExec(func(string, []string) (int32, string, error) { return 1, "sick", nil })
		b.wait(5 * time.Second)
		b.expect("web", "main", "running 1")
		if !slices.Contains(b.runtime.Calls(), "StopContainer main/0 timeout=7") {
			t.Errorf("calls %q", b.runtime.Calls())
		}
	})
}

func TestHooks(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(strings.Replace(plain, "name: main,",
			"name: main, lifecycle: {postStart: {sleep: {seconds: 3}}, preStop: {sleep: {seconds: 4}}},", 1))
		b.expect("web", "main", "ContainerCreating")
		b.wait(4 * time.Second)
		b.expect("web", "main", "running 0")
		b.delete("web", 30)
		b.wait(3 * time.Second)
		if !b.exists("web") {
			t.Fatal("the preStop hook was not waited for")
		}
		b.wait(2 * time.Second)
		if b.exists("web") || !slices.Contains(b.runtime.Calls(), "StopContainer main/0 timeout=26") {
			t.Errorf("calls %q", b.runtime.Calls())
		}
	})
}

func TestJob(t *testing.T) {
	zero := int32(0)
	run(t, map[string]*critest.Image{"app:1": {Exits: &zero}}, func(b *bench) {
		b.create(strings.Replace(plain, "Always", "Never", 1))
		p := b.pod("web")
		if p.Status.Phase != v1.PodSucceeded || b.state("web", "main") != "Completed 0" {
			t.Errorf("status %+v", p.Status)
		}
		if len(b.runtime.Containers()) != 1 {
			t.Error("the container's record is gone")
		}
	})
}

func TestSandboxDies(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(plain)
		first := b.pod("web").Status.PodIP
		b.runtime.KillSandboxes()
		b.wait(time.Second)
		b.expect("web", "main", "running 1")
		if p := b.pod("web"); p.Status.PodIP == first {
			t.Errorf("the address is still %s", first)
		}
	})
}

func TestNodeRegistersAndFollowsTheRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.runtime.SetReady(false)
		b.start()
		status := func() v1.ConditionStatus {
			n, err := client.Get[*v1.Node](t.Context(), b.api, kinds.Nodes(), "", "n1")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range n.Status.Conditions {
				if c.Type == v1.NodeReady {
					return c.Status
				}
			}
			return ""
		}
		if got := status(); got != v1.ConditionFalse {
			t.Errorf("ready is %s without a network", got)
		}
		b.runtime.SetReady(true)
		b.wait(time.Second)
		if got := status(); got != v1.ConditionTrue {
			t.Errorf("ready is %s", got)
		}
		b.api.ResetWrites()
		b.wait(time.Minute)
		for _, w := range b.api.Writes() {
			if w.Resource.Resource == "nodes" {
				t.Errorf("written though nothing changed: %s", w.PatchData)
			}
		}
		b.halt()
	})
}

func TestRefusedPod(t *testing.T) {
	run(t, map[string]*critest.Image{"app:1": {}}, func(b *bench) {
		b.create(strings.Replace(plain, "restartPolicy: Always", "nodeSelector: {disk: ssd}", 1))
		p := b.pod("web")
		if p.Status.Phase != v1.PodFailed || p.Status.Reason != "NodeAffinity" {
			t.Errorf("status %+v", p.Status)
		}
		if len(b.runtime.Calls()) > 0 {
			t.Errorf("calls %q", b.runtime.Calls())
		}
	})
}
