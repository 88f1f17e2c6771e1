package core_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/scheduler/core"
	"coracle.dev/coracle/internal/scheduler/plugins"
)

func aNode(name string, milli int64) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI), corev1.ResourcePods: resource.MustParse("5"),
		}},
	}
}

func aPod(uid string, milli int64, node string) *core.Pod {
	return core.NewPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: uid, UID: types.UID(uid)},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "c",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI),
			}},
		}}},
	})
}

// TestNeverOvercommits places, observes, loses and removes pods at random. Whatever happens, no node holds more than it can,
// and a node's sums are those of its pods.
func TestNeverOvercommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cluster := core.NewCluster()
		profile := core.NewProfile(plugins.Default()...)
		for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			cluster.SetNode(aNode(fmt.Sprint("n", i), rapid.Int64Range(0, 2000).Draw(t, "cpu")))
		}
		live := map[string]*core.Pod{}
		next := 0
		anyPod := func(t *rapid.T) string {
			if len(live) == 0 {
				t.Skip("no pods")
			}
			ids := make([]string, 0, len(live))
			for i := range next {
				if id := fmt.Sprint("p", i); live[id] != nil {
					ids = append(ids, id)
				}
			}
			return rapid.SampledFrom(ids).Draw(t, "pod")
		}
		t.Repeat(map[string]func(*rapid.T){
			"place": func(t *rapid.T) {
				p := aPod(fmt.Sprint("p", next), rapid.Int64Range(0, 900).Draw(t, "asks"), "")
				next++
				d := profile.Schedule(p, cluster.View(), core.Options{
					Start: rapid.IntRange(0, 10).Draw(t, "start"), Pick: func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") },
				})
				if d.Node != "" {
					cluster.Assume(p, d.Node)
					live[p.Name] = aPod(p.Name, p.Requests.MilliCPU, d.Node)
				} else if d.Diagnosis.Message() == "" {
					t.Fatal("refused without a word")
				}
			},
			"observe": func(t *rapid.T) { cluster.SetPod(live[anyPod(t)]) },
			"observe stale": func(t *rapid.T) {
				p := live[anyPod(t)]
				if cluster.Assumed(p.UID) {
					cluster.SetPod(aPod(p.Name, p.Requests.MilliCPU, ""))
				}
			},
			"binding failed": func(t *rapid.T) {
				id := anyPod(t)
				if cluster.Assumed(types.UID(id)) {
					cluster.Forget(types.UID(id))
					delete(live, id)
				}
			},
			"remove": func(t *rapid.T) {
				id := anyPod(t)
				cluster.RemovePod(types.UID(id))
				delete(live, id)
			},
			"": func(t *rapid.T) {
				held := 0
				for _, n := range cluster.Nodes() {
					var cpu int64
					for _, p := range n.Pods {
						cpu += p.Requests.MilliCPU
					}
					held += len(n.Pods)
					if cpu != n.Requested.MilliCPU || int64(len(n.Pods)) != n.Requested.Pods {
						t.Fatalf("%s: sums %+v, pods say %d in %d", n.Name, n.Requested, cpu, len(n.Pods))
					}
					if cpu > n.Allocatable.MilliCPU || len(n.Pods) > 5 {
						t.Fatalf("%s is overcommitted: %dm in %d pods", n.Name, cpu, len(n.Pods))
					}
				}
				if held != len(live) {
					t.Fatalf("%d pods counted, %d live", held, len(live))
				}
			},
		})
	})
}

// TestNodesAreImmutable: what a decision reads does not change under it.
func TestNodesAreImmutable(t *testing.T) {
	c := core.NewCluster()
	c.SetNode(aNode("n", 1000))
	before := c.Nodes()[0]
	c.Assume(aPod("a", 100, ""), "n")
	if len(before.Pods) != 0 || before.Requested.MilliCPU != 0 {
		t.Fatalf("an older picture changed: %+v", before)
	}
	c.RemoveNode("n")
	if len(c.Nodes()) != 0 {
		t.Fatal("a removed node is still offered")
	}
	c.SetNode(aNode("n", 1000))
	if n := c.Nodes()[0]; len(n.Pods) != 1 {
		t.Fatalf("pods of a node that came back are forgotten: %+v", n)
	}
}
