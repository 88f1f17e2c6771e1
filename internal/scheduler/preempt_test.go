package scheduler_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/scheduler/queue"
)

func prioritised(p *corev1.Pod, priority int32) *corev1.Pod {
	p.Spec.Priority = &priority
	return p
}

func placed(p *corev1.Pod, node string) *corev1.Pod {
	p.Spec.NodeName = node
	return p
}

func get(t *testing.T, fake *clientfake.Client, name string) *corev1.Pod {
	t.Helper()
	p, err := client.Get[*corev1.Pod](t.Context(), fake, pods, "a", name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEvictsForTheMoreImportant follows a preemption to its end: the victim is marked, told and deleted with its grace, the room
// is promised and kept, and taken when the victim is gone.
func TestEvictsForTheMoreImportant(t *testing.T) {
	objects := []api.Object{node("n1", "2"), placed(prioritised(pod("low", "2"), 1), "n1")}
	run(t, objects, func(t *testing.T, fake *clientfake.Client, told *recorder) {
		create(t, fake, prioritised(pod("high", "2"), 10))
		synctest.Wait()
		victim, high := get(t, fake, "low"), get(t, fake, "high")
		if victim.DeletionTimestamp == nil || victim.DeletionGracePeriodSeconds == nil || *victim.DeletionGracePeriodSeconds != 30 {
			t.Errorf("the victim was not deleted with its grace: %+v", victim.ObjectMeta)
		}
		marked := slices.ContainsFunc(victim.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue &&
				c.Reason == corev1.PodReasonPreemptionByScheduler &&
				c.Message == "default-scheduler: preempting to accommodate a higher priority pod"
		})
		if !marked {
			t.Errorf("the victim is not marked: %+v", victim.Status.Conditions)
		}
		if high.Status.NominatedNodeName != "n1" || high.Spec.NodeName != "" {
			t.Errorf("promised %q, on %q", high.Status.NominatedNodeName, high.Spec.NodeName)
		}
		want := "0/1 nodes are available: 1 Insufficient cpu. " +
			"preemption: found a potential placement for pod on node n1, preempting 1 victims"
		if got := high.Status.Conditions[0].Message; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		if !slices.Contains(told.all(), "low Preempted: Preempted by pod "+string(high.UID)+" on node n1") {
			t.Errorf("events: %q", told.all())
		}
		// A less important one does not slip into the room when it is free.
		create(t, fake, prioritised(pod("thief", "1"), 2))
		fake.Remove(pods, "a", "low")
		until(t, func() bool { return whereIs(t, fake, "high") == "n1" })
		if at := whereIs(t, fake, "thief"); at != "" {
			t.Errorf("the thief got onto %s", at)
		}
	})
}

// TestEvictsNoMoreWhileTheyGo: tried again while the victims are going, a pod waits for them.
func TestEvictsNoMoreWhileTheyGo(t *testing.T) {
	objects := []api.Object{
		node("n1", "2"), placed(prioritised(pod("low-1", "2"), 1), "n1"),
		node("n2", "2"), placed(prioritised(pod("low-2", "2"), 1), "n2"),
	}
	run(t, objects, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		create(t, fake, prioritised(pod("high", "2"), 10))
		synctest.Wait()
		create(t, fake, placed(pod("passer-by", "1"), "n1"))
		fake.Remove(pods, "a", "passer-by") // a pod that goes wakes it
		until(t, func() bool {
			return strings.Contains(get(t, fake, "high").Status.Conditions[0].Message,
				"preemption: not eligible due to a terminating pod on the nominated node.")
		})
		deleted := 0
		for _, name := range []string{"low-1", "low-2"} {
			if get(t, fake, name).DeletionTimestamp != nil {
				deleted++
			}
		}
		if deleted != 1 {
			t.Errorf("%d pods were evicted for one", deleted)
		}
	})
}

// TestEvictsNoMoreWhileBeingWritten: tried again before all victims have been told, a pod has no others evicted; what it missed
// meanwhile it makes up for as soon as they have.
func TestEvictsNoMoreWhileBeingWritten(t *testing.T) {
	objects := []api.Object{
		node("n1", "2"), placed(prioritised(pod("low-1", "2"), 1), "n1"),
		node("n2", "2"), placed(prioritised(pod("low-2", "2"), 1), "n2"),
	}
	run(t, objects, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		var deletes atomic.Int32
		proceed := make(chan struct{})
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if w.Verb == client.Delete {
				deletes.Add(1)
				<-proceed
			}
			return nil, false, nil
		})
		create(t, fake, prioritised(pod("high", "2"), 10))
		synctest.Wait()
		tries := func() int {
			n := 0
			for _, w := range fake.Writes() {
				if w.Subresource == "status" && w.Name == "high" {
					n++
				}
			}
			return n
		}
		before := tries()
		create(t, fake, placed(pod("passer-by", "1"), "n1"))
		fake.Remove(pods, "a", "passer-by") // a pod that goes wakes it
		until(t, func() bool { return tries() > before })
		if n := deletes.Load(); n != 1 {
			t.Errorf("%d deletes for one pod's sake", n)
		}
		began := time.Now()
		close(proceed)
		until(t, func() bool {
			return strings.Contains(get(t, fake, "high").Status.Conditions[0].Message, "terminating pod on the nominated node")
		})
		if waited := time.Since(began); waited >= queue.ParkedAtMost {
			t.Errorf("it was parked until its time was up, %v", waited)
		}
	})
}

// TestFailedEvictionIsTriedAgain: when a victim can't be deleted the pod is tried again after its back-off, not only when it has
// been parked for long enough.
func TestFailedEvictionIsTriedAgain(t *testing.T) {
	objects := []api.Object{node("n1", "2"), placed(prioritised(pod("low", "2"), 1), "n1")}
	run(t, objects, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		var tried atomic.Int32
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if w.Verb == client.Delete && tried.Add(1) <= 2 {
				return nil, false, errors.New("refused")
			}
			return nil, false, nil
		})
		began := time.Now()
		create(t, fake, prioritised(pod("high", "2"), 10))
		until(t, func() bool { return get(t, fake, "low").DeletionTimestamp != nil })
		if waited := time.Since(began); tried.Load() != 3 || waited >= queue.ParkedAtMost {
			t.Errorf("%d tries in %v of virtual time", tried.Load(), waited)
		}
	})
}

// TestPromisesAreKept: room that is being made for a pod is not given to a less important one, though it would fit as things are;
// neither before the promise is in the pod's status nor when a scheduler starts and finds it there.
func TestPromisesAreKept(t *testing.T) {
	going := placed(prioritised(pod("low", "2"), 1), "n1")
	going.DeletionTimestamp = &metav1.Time{}
	going.Finalizers = []string{"example.com/stays"}
	going.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
	}}
	promised := prioritised(pod("high", "2"), 10)
	promised.Status.NominatedNodeName = "n1"
	for _, tt := range []struct {
		name    string
		objects []api.Object
		says    string
	}{
		{"before it is written", []api.Object{
			node("n1", "3"), placed(prioritised(pod("low", "2"), 1), "n1"), prioritised(pod("high", "2"), 10),
			prioritised(pod("thief", "1"), 2),
		}, "found a potential placement"},
		{"found at the start", []api.Object{node("n1", "3"), going, promised, prioritised(pod("thief", "1"), 2)}, "not eligible"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, tt.objects, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
				if at := whereIs(t, fake, "thief"); at != "" {
					t.Errorf("the thief is on %s", at)
				}
				if got := get(t, fake, "high").Status.Conditions[0].Message; !strings.Contains(got, tt.says) {
					t.Errorf("it says %q, want %q", got, tt.says)
				}
			})
		})
	}
}

// TestOutbidPromiseIsTakenBack: a still more important pod takes the promised room; the promise goes, in its status too.
func TestOutbidPromiseIsTakenBack(t *testing.T) {
	objects := []api.Object{node("n1", "2"), placed(prioritised(pod("low", "2"), 1), "n1")}
	run(t, objects, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		create(t, fake, prioritised(pod("high", "2"), 10))
		synctest.Wait()
		create(t, fake, prioritised(pod("highest", "2"), 100))
		until(t, func() bool { return get(t, fake, "high").Status.NominatedNodeName == "" })
		fake.Remove(pods, "a", "low")
		until(t, func() bool { return whereIs(t, fake, "highest") == "n1" })
		if at := whereIs(t, fake, "high"); at != "" {
			t.Errorf("high is on %s too", at)
		}
	})
}

// TestSiblingsAreSpread: the pods of one ReplicaSet don't heap up on the node that Pick likes best.
func TestSiblingsAreSpread(t *testing.T) {
	var objects []api.Object
	for _, name := range []string{"n1", "n2", "n3"} {
		n := node(name, "64")
		n.Labels = map[string]string{corev1.LabelHostname: name}
		objects = append(objects, n)
	}
	controls := true
	objects = append(objects, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web", UID: "web"},
		Spec:       appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	})
	run(t, objects, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		on := map[string]int{}
		for _, name := range []string{"w1", "w2", "w3"} {
			p := pod(name, "0")
			p.Labels = map[string]string{"app": "web"}
			p.OwnerReferences = []metav1.OwnerReference{
				{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "web", Controller: &controls},
			}
			create(t, fake, p)
			synctest.Wait()
			on[whereIs(t, fake, name)]++
		}
		if len(on) != 3 {
			t.Errorf("three pods on three nodes: %v", on)
		}
	})
}

// TestWaitsForCompany: a pod that must be near to another gets its place when that one comes.
func TestWaitsForCompany(t *testing.T) {
	n1, n2 := node("n1", "4"), node("n2", "4")
	n1.Labels, n2.Labels = map[string]string{"zone": "a"}, map[string]string{"zone": "b"}
	run(t, []api.Object{n1, n2}, func(t *testing.T, fake *clientfake.Client, _ *recorder) {
		p := pod("follower", "1")
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
				{TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "star"}}},
			},
		}}
		create(t, fake, p)
		synctest.Wait()
		if at := whereIs(t, fake, "follower"); at != "" {
			t.Fatalf("it went to %s with nobody there", at)
		}
		star := pod("star", "1")
		star.Labels = map[string]string{"app": "star"}
		star.Spec.NodeSelector = map[string]string{"zone": "b"}
		create(t, fake, star)
		until(t, func() bool { return whereIs(t, fake, "follower") == "n2" })
	})
}
