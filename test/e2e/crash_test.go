package e2e

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
)

// TestCrashes kills the processes of nodes while pods run. They come back, and no pod has noticed.
func TestCrashes(t *testing.T) {
	s := newSpace(t)
	s.apply("web.yaml", "APP=web", "REPLICAS=6", "TOLERATED=300")
	s.running("web", 6)
	web := s.service("web").Spec.ClusterIP
	for _, node := range []string{"node-1", "node-2"} {
		s.apply("pod.yaml", "POD=visitor-"+node, "NODE="+node, fmt.Sprintf(`ARGS=["visit", "http://%s/"]`, web))
	}
	for _, node := range []string{"node-1", "node-2"} {
		s.running("visitor-"+node, 1)
		s.tool("visitor-"+node, "until", "one", "http://"+web+"/") // From here on every visit must succeed.
	}
	before := s.containers()
	if len(before) != 8 {
		t.Fatalf("there are %d containers: %v", len(before), before)
	}
	for _, test := range []struct {
		name    string
		node    int // from 1 on
		program string
	}{
		{"server", 1, "coracle"},
		{"agent", 2, "coracle"},
		{"containerd", 3, "containerd"},
		{"containerd of the server's node", 1, "containerd"},
	} {
		s.part(test.name, func(s *space) {
			victim := s.victim(test.node, test.program)
			w := s.writes(s.ctx)
			w.acknowledged(s, 5)
			kill(s.T, victim)
			w.acknowledged(s, 5)
			s.alive(test.node)
			w.check(s)
			if again := s.victim(test.node, test.program); again == victim {
				s.Errorf("the process %v lives on", victim)
			}
		})
	}
	if after := s.containers(); !maps.Equal(before, after) {
		t.Errorf("containers before: %v\nafter: %v", before, after)
	}
	s.running("web", 6)
	for _, node := range []string{"node-1", "node-2"} {
		if got := s.tool("visitor-"+node, "get", "http://localhost:8080/visits"); !regexp.MustCompile(`^went [1-9]\d* failed 0$`).MatchString(got) {
			s.Errorf("the visits from %s: %s\n%s", node, got, s.kubectl("logs", "visitor-"+node))
		}
	}
}

// victim finds a process of a node: the agent, which is a child of the node's first process, or a child of that.
func (s *space) victim(node int, program string) process {
	s.Helper()
	state, err := s.state()
	if err != nil {
		s.Fatal(err)
	}
	p := child(s.T, state.Nodes[node-1].Init.PID, "coracle")
	if program != "coracle" {
		p = child(s.T, p.PID, program)
	}
	return p
}

// containers returns, by pod and container, the identifier and how often it was restarted.
func (s *space) containers() map[string]string {
	s.Helper()
	list, err := s.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "app in (web, visitor-node-1, visitor-node-2)"})
	if err != nil {
		s.Fatal(err)
	}
	found := map[string]string{}
	for _, pod := range list.Items {
		for _, c := range pod.Status.ContainerStatuses {
			found[fmt.Sprintf("%s (%s) %s", pod.Name, pod.UID, c.Name)] = fmt.Sprintf("%s restarts=%d", c.ContainerID, c.RestartCount)
		}
	}
	return found
}

// alive waits until a node's agent does its work: it reports, and it starts a pod and ends it again.
func (s *space) alive(number int) {
	s.Helper()
	node := fmt.Sprintf("node-%d", number)
	began := time.Now()
	untilIn(s, corev1.NamespaceNodeLease, "a heartbeat of "+node, s.CoordinationV1().RESTClient(), "leases",
		func(list []*coordinationv1.Lease) bool {
			for _, lease := range list {
				if lease.Name == node && lease.Spec.RenewTime != nil {
					return lease.Spec.RenewTime.After(began)
				}
			}
			return false
		})
	name := "probe-" + node
	s.apply("pod.yaml", "POD="+name, "NODE="+node, `ARGS=["serve"]`)
	s.running(name, 1)
	s.holds(s.tool(name, "get", "http://localhost:8080/"), name)
	s.kubectl("delete", "pod", name, "--timeout=90s")
}

// writer writes ConfigMaps one after the other, through whatever happens to the server, and remembers what was acknowledged.
type writer struct {
	stop  context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	names []string
	told  map[string]int // by an informer that lives as long as the writer: how often an object was added
	more  chan struct{}  // wakes who waits for either
}

func (s *space) writes(ctx context.Context) *writer {
	ctx, stop := context.WithCancel(ctx)
	w := &writer{stop: stop, ended: make(chan struct{}), told: map[string]int{}, more: make(chan struct{}, 1)}
	s.Cleanup(stop)
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: listWatch(s.core(), "configmaps", s.ns), ObjectType: &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: func(o any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told[o.(*corev1.ConfigMap).Name]++
			w.wake()
		}},
	})
	go informer.RunWithContext(s.ctx)
	client := s.CoreV1().ConfigMaps(s.ns)
	go func() {
		defer close(w.ended)
		for n := 0; ctx.Err() == nil; n++ {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "written-", Labels: map[string]string{"written": "yes"}}}
			// A server that is away refuses at once; the pause keeps the tries few.
			_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
				made, err := client.Create(ctx, cm, metav1.CreateOptions{})
				if err == nil {
					w.add(made.Name)
				}
				return err == nil, nil
			})
		}
	}()
	return w
}

func (w *writer) add(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = append(w.names, name)
	w.wake()
}

func (w *writer) wake() {
	select {
	case w.more <- struct{}{}:
	default: // Somebody will look already.
	}
}

// untold lists what was acknowledged and not told, or told twice.
func (w *writer) untold() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.names), func(name string) bool { return w.told[name] == 1 })
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.names)
}

// acknowledged waits for so many further acknowledgements.
func (w *writer) acknowledged(s *space, further int) {
	s.Helper()
	want := w.count() + further
	w.await(s, fmt.Sprintf("%d acknowledged writes", want), func() bool { return w.count() >= want })
}

func (w *writer) await(s *space, what string, done func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for !done() {
		select {
		case <-w.more:
		case <-ctx.Done():
			s.Fatalf("waiting for %s: %d were acknowledged, not told once: %v", what, w.count(), w.untold())
		}
	}
}

// check ends the writing and looks for everything that was acknowledged.
func (w *writer) check(s *space) {
	s.Helper()
	w.stop()
	<-w.ended
	client := s.CoreV1().ConfigMaps(s.ns)
	for _, name := range w.names {
		if _, err := client.Get(s.ctx, name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			s.Errorf("the write of %s was acknowledged and is lost", name)
		} else if err != nil {
			s.Fatal(err)
		}
	}
	w.await(s, "the informer", func() bool { return len(w.untold()) == 0 })
	s.Logf("%d acknowledged writes are there", len(w.names))
	if err := client.DeleteCollection(s.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "written=yes"}); err != nil {
		s.Error(err)
	}
	until(s, "no written objects", s.core(), "configmaps", func(list []*corev1.ConfigMap) bool {
		for _, cm := range list {
			if cm.Labels["written"] != "" {
				return false
			}
		}
		return true
	})
}
