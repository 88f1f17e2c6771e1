package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/scheduler"
)

func node(name, cpu string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("8Gi"),
			corev1.ResourcePods: resource.MustParse("110"),
		}},
	}
}

func pod(name, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{SchedulerName: "default-scheduler", Containers: []corev1.Container{{
			Name:      "c",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
		}}},
	}
}

type recorder struct {
	mu   sync.Mutex
	told []string
}

func (r *recorder) Event(obj api.Object, _, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, fmt.Sprintf("%s %s: %s", obj.GetName(), reason, message))
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.told...)
}

// run starts a scheduler in a bubble of virtual time and stops it when body returns.
// The fake is made inside the bubble, or waiting on it would not count as idle.
func run(t *testing.T, objects []api.Object, body func(t *testing.T, fake *clientfake.Client, told *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(clientfake.Catalogue(), objects...)
		told := &recorder{}
		s := scheduler.New(scheduler.Config{
			Client: fake, Events: told, Pick: func(int) int { return 0 }, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		body(t, fake, told)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

var pods = schema.GroupResource{Resource: "pods"}

func whereIs(t *testing.T, fake *clientfake.Client, name string) string {
	t.Helper()
	p, err := client.Get[*corev1.Pod](t.Context(), fake, pods, "a", name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Spec.NodeName
}

func create(t *testing.T, fake *clientfake.Client, p *corev1.Pod) {
	t.Helper()
	if _, err := fake.Write(t.Context(), client.Write{Verb: client.Create, Resource: pods, Namespace: "a", Object: p}); err != nil {
		t.Fatal(err)
	}
}

func TestBindsWhatIsThereAndWhatComes(t *testing.T) {
	run(t, []api.Object{node("n1", "2"), pod("early", "1")}, func(t *testing.T, fake *clientfake.Client, told *recorder) {
		create(t, fake, pod("late", "1"))
		other := pod("not-mine", "1")
		other.Spec.SchedulerName = "another"
		create(t, fake, other)
		gated := pod("gated", "1")
		gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}}
		create(t, fake, gated)
		synctest.Wait()
		for name, want := range map[string]string{"early": "n1", "late": "n1", "not-mine": "", "gated": ""} {
			if got := whereIs(t, fake, name); got != want {
				t.Errorf("%s is on %q, want %q", name, got, want)
			}
		}
		if got := told.all(); len(got) != 2 || got[0] != "early Scheduled: Successfully assigned a/early to n1" {
			t.Errorf("events: %q", got)
		}
	})
}

func TestWaitsForRoomThenTakesIt(t *testing.T) {
	run(t, []api.Object{node("n1", "2"), pod("first", "2")}, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		create(t, fake, pod("second", "2"))
		synctest.Wait()
		p, err := client.Get[*corev1.Pod](t.Context(), fake, pods, "a", "second")
		if err != nil {
			t.Fatal(err)
		}
		if p.Spec.NodeName != "" || len(p.Status.Conditions) != 1 ||
			p.Status.Conditions[0].Message != "0/1 nodes are available: 1 Insufficient cpu. "+
				"preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod." {
			t.Fatalf("second is on %q: %+v", p.Spec.NodeName, p.Status.Conditions)
		}
		fake.Remove(pods, "a", "first")
		until(t, func() bool { return whereIs(t, fake, "second") != "" })
	})
}

func TestRefusedBindingIsTriedAgain(t *testing.T) {
	run(t, []api.Object{node("n1", "2")}, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		var refusals atomic.Int32
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if w.Subresource == "binding" && refusals.Add(1) <= 2 {
				return nil, false, errors.New("refused")
			}
			return nil, false, nil
		})
		create(t, fake, pod("p", "2"))
		until(t, func() bool { return whereIs(t, fake, "p") != "" })
		if n := refusals.Load(); n != 3 {
			t.Errorf("the binding was tried %d times, want 3", n)
		}
	})
}
