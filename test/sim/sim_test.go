package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/controllers/replicaset"
	"coracle.dev/coracle/internal/reconcile"
)

var (
	seeds = flag.Uint64("seeds", 100, "how many histories to run")
	scan  = flag.Bool("scan", false, "count the seeds that fail with a rule switched off")
)

var (
	epoch     = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	pods      = schema.GroupResource{Resource: "pods"}
	sets      = schema.GroupResource{Group: "apps", Resource: "replicasets"}
	resources = []schema.GroupResource{pods, sets}
)

// history runs one seed and returns its fingerprint, or what went wrong.
func history(seed uint64, r rules) (uint64, error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld()
	replicas := int32(1 + rng.IntN(5))
	set := newSet(replicas)
	w.put(sets, set.Namespace, set.Name, set)
	c, key := replicaset.New(), reconcile.KeyOf(set)
	p := newProcess(w, rng, r, c, key)
	for range 300 {
		switch n := rng.IntN(100); {
		case n < 2:
			w.note("crash")
			p = newProcess(w, rng, r, c, key)
		case n < 4 && replicas < 9:
			replicas++ // only ever up, so that the most that was ever asked is what is asked now
			scale(w, replicas)
		case n < 20:
			environment(w, rng)
		case n < 55:
			p.catchUp()
		default:
			if err := p.step(); err != nil {
				return w.trace, err
			}
		}
		if n := w.activePods(); n > int(replicas) {
			return w.trace, fmt.Errorf("%d pods at revision %d, %d were asked for", n, w.revision, replicas)
		}
	}
	return w.trace, converges(w, p, replicas)
}

// converges lets the process work without further accidents from outside and looks at the result.
func converges(w *world, p *process, replicas int32) error {
	for range 800 {
		p.catchUp()
		if err := p.step(); err != nil {
			return err
		}
		if n := w.activePods(); n > int(replicas) {
			return fmt.Errorf("%d pods at the end, %d were asked for", n, replicas)
		}
	}
	if n := w.activePods(); n != int(replicas) {
		return fmt.Errorf("%d pods at the end, %d were asked for", n, replicas)
	}
	return nil
}

func newSet(replicas int32) *appsv1.ReplicaSet {
	labels := map[string]string{"app": "web"}
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "set", Generation: 1},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
		},
	}
}

func scale(w *world, replicas int32) {
	obj, _ := w.get(sets, "shop", "web")
	set, ok := obj.(*appsv1.ReplicaSet)
	if !ok {
		return
	}
	set = set.DeepCopy()
	set.Spec.Replicas = &replicas
	set.Generation++
	w.put(sets, set.Namespace, set.Name, set)
}

func TestReplicaSet(t *testing.T) {
	for seed := range *seeds {
		first, err := history(seed, rules{first: true, second: true})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if again, _ := history(seed, rules{first: true, second: true}); again != first {
			t.Fatalf("seed %d does not repeat itself", seed)
		}
	}
}

// TestRulesAreNeeded holds seeds that create too many pods when a rule is off. When a change to the simulation moves them,
// "go test -run Rules -scan" lists others.
func TestRulesAreNeeded(t *testing.T) {
	for _, tc := range []struct {
		name string
		off  rules
		seed uint64
	}{
		{"without rule 1", rules{second: true}, 0},
		{"without rule 2", rules{first: true}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if *scan {
				failed := []uint64{}
				for seed := range *seeds {
					if _, err := history(seed, tc.off); err != nil {
						failed = append(failed, seed)
					}
				}
				t.Logf("%d of %d seeds fail, the first %v", len(failed), *seeds, failed[:min(10, len(failed))])
			}
			if _, err := history(tc.seed, tc.off); err == nil {
				t.Errorf("seed %d creates no pod too many", tc.seed)
			} else {
				t.Logf("seed %d: %v", tc.seed, err)
			}
			if _, err := history(tc.seed, rules{first: true, second: true}); err != nil {
				t.Errorf("seed %d with both rules: %v", tc.seed, err)
			}
		})
	}
}
