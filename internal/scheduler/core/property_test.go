package core_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/scheduler/core"
	"coracle.dev/coracle/internal/scheduler/plugins"
)

// Small worlds: few labels, zones and namespaces, so that rules meet often.

func drawSelector(t *rapid.T) *metav1.LabelSelector {
	if rapid.IntRange(0, 5).Draw(t, "selects") == 0 {
		return &metav1.LabelSelector{}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "app")}}
}

func drawTerms(t *rapid.T) []corev1.PodAffinityTerm {
	var terms []corev1.PodAffinityTerm
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2}).Draw(t, "terms") {
		term := corev1.PodAffinityTerm{
			TopologyKey: rapid.SampledFrom([]string{"zone", "host"}).Draw(t, "key"), LabelSelector: drawSelector(t),
		}
		switch rapid.IntRange(0, 3).Draw(t, "of") {
		case 1:
			term.Namespaces = []string{"y"}
		case 2:
			term.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "red"}}
		}
		terms = append(terms, term)
	}
	return terms
}

func drawPod(t *rapid.T, name, node string) *core.Pod {
	pod := aPod(name, rapid.SampledFrom([]int64{0, 0, 300, 900}).Draw(t, "asks"), node).Pod
	pod.Namespace = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "namespace")
	pod.Labels = map[string]string{"app": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "app")}
	priority := rapid.Int32Range(0, 3).Draw(t, "priority")
	pod.Spec.Priority = &priority
	if rapid.IntRange(0, 9).Draw(t, "going") == 0 && node != "" {
		pod.DeletionTimestamp = &metav1.Time{}
	}
	if rapid.IntRange(0, 4).Draw(t, "port") == 0 {
		pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}}
	}
	pod.Spec.Affinity = &corev1.Affinity{
		PodAffinity:     &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: drawTerms(t)},
		PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: drawTerms(t)},
	}
	if rapid.IntRange(0, 4).Draw(t, "picky") == 0 {
		pod.Spec.NodeSelector = map[string]string{"zone": "1"}
	}
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "constraints") {
		honour := rapid.SampledFrom([]corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore})
		affinity, taints := honour.Draw(t, "affinity"), honour.Draw(t, "taints")
		pod.Spec.TopologySpreadConstraints = append(pod.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: rapid.Int32Range(1, 2).Draw(t, "skew"), TopologyKey: rapid.SampledFrom([]string{"zone", "host"}).Draw(t, "over"),
			WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: drawSelector(t), NodeAffinityPolicy: &affinity,
			NodeTaintsPolicy: &taints, MinDomains: rapid.SampledFrom([]*int32{nil, ptr(2), ptr(3)}).Draw(t, "domains"),
		})
	}
	return core.NewPod(pod)
}

func ptr(n int32) *int32 { return &n }

func drawNode(t *rapid.T, name string) *corev1.Node {
	node := aNode(name, rapid.SampledFrom([]int64{1000, 2000}).Draw(t, "cpu"))
	node.Labels = map[string]string{}
	if zone := rapid.IntRange(0, 3).Draw(t, "zone"); zone > 0 {
		node.Labels["zone"] = fmt.Sprint(zone)
	}
	if rapid.IntRange(0, 5).Draw(t, "named") > 0 {
		node.Labels["host"] = name
	}
	if rapid.IntRange(0, 4).Draw(t, "tainted") == 0 {
		node.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
	}
	node.Spec.Unschedulable = rapid.IntRange(0, 6).Draw(t, "cordoned") == 0
	return node
}

// world is a cluster with the pods that are on it.
type world struct {
	*core.Cluster
	placed []*core.Pod
	nodes  []*corev1.Node
}

func drawWorld(t *rapid.T) *world {
	w := &world{Cluster: core.NewCluster()}
	w.SetNamespace("x", labels.Set{"team": "red"})
	w.SetNamespace("y", labels.Set{"team": "blue"})
	for i := range rapid.IntRange(1, 5).Draw(t, "nodes") {
		w.nodes = append(w.nodes, drawNode(t, fmt.Sprint("n", i)))
		w.SetNode(w.nodes[i])
	}
	for i := range rapid.IntRange(0, 8).Draw(t, "pods") {
		p := drawPod(t, fmt.Sprint("p", i), rapid.SampledFrom(w.nodes).Draw(t, "on").Name)
		w.placed = append(w.placed, p)
		w.SetPod(p)
	}
	return w
}

func schedule(profile *core.Profile, pod *core.Pod, w *world) core.Decision {
	return profile.Schedule(pod, w.View(), core.Options{Pick: func(int) int { return 0 }})
}

// TestAdjustIsPrepare: a state that was adjusted for pods put on a node and taken off it judges every node as one that was
// prepared with them there or gone.
func TestAdjustIsPrepare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		pod := drawPod(t, "new", "")
		node, _ := w.Node(rapid.SampledFrom(w.nodes).Draw(t, "node").Name)
		var changed []*core.Pod
		after := core.NewCluster()
		after.SetNamespace("x", labels.Set{"team": "red"})
		after.SetNamespace("y", labels.Set{"team": "blue"})
		for _, n := range w.nodes {
			after.SetNode(n)
		}
		for _, p := range w.placed {
			if p.Spec.NodeName == node.Name && rapid.Bool().Draw(t, "goes") {
				changed = append(changed, p)
				continue
			}
			after.SetPod(p)
		}
		gone := len(changed)
		for i := range rapid.IntRange(0, 2).Draw(t, "come") {
			p := drawPod(t, fmt.Sprint("come", i), node.Name)
			changed = append(changed, p)
			after.SetPod(p)
		}
		for _, weighted := range plugins.Default() {
			adjuster, ok := weighted.Plugin.(core.Adjuster)
			if !ok {
				continue
			}
			prepare := func(view core.View) any {
				state, rejection := weighted.Plugin.(core.Preparer).Prepare(pod, view)
				if rejection != nil {
					t.Fatal(rejection.Reasons)
				}
				return state
			}
			adjusted, fresh := prepare(w.View()), prepare(after.View())
			for i, p := range changed {
				sign := int64(1)
				if i < gone {
					sign = -1
				}
				adjusted = adjuster.Adjust(adjusted, pod, node, p, sign)
			}
			for _, n := range after.Nodes() {
				f := weighted.Plugin.(core.Filter)
				got, want := f.Filter(adjusted, pod, n), f.Filter(fresh, pod, n)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("%s on %s: adjusted says %v, prepared %v", weighted.Plugin.Name(), n.Name, got, want)
				}
			}
		}
	})
}

// TestPreemptionSuffices: when the victims are gone the pod fits where it was promised; all are less important than it, and none
// of them could have stayed.
func TestPreemptionSuffices(t *testing.T) {
	profile := core.NewProfile(plugins.Default()...)
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		pod := drawPod(t, "new", "")
		d := schedule(profile, pod, w)
		if d.Node != "" {
			return
		}
		opts := core.Options{Pick: func(int) int { return 0 }}
		pre := profile.Preempt(pod, w.View(), &d, nil, opts)
		if pre.Node == "" {
			if pre.Note == "" {
				t.Fatal("refused without a word")
			}
			return
		}
		for _, v := range pre.Victims {
			if v.Priority() >= pod.Priority() || v.Spec.NodeName != pre.Node {
				t.Fatalf("%s (%d on %s) had to go for %d on %s", v.Name, v.Priority(), v.Spec.NodeName, pod.Priority(), pre.Node)
			}
			w.RemovePod(v.UID)
		}
		opts.Promised = pre.Node
		if got := profile.Schedule(pod, w.View(), opts); got.Node != pre.Node {
			t.Fatalf("went to %q after an eviction from %s: %s", got.Node, pre.Node, got.Diagnosis.Message())
		}
		// The one that was judged last is the least important: all others were away for it already.
		last := pre.Victims[len(pre.Victims)-1]
		w.SetPod(last)
		if got := profile.Schedule(pod, w.View(), opts); got.Node == pre.Node {
			t.Fatalf("%s went though there was room beside it", last.Name)
		}
	})
}

// TestWakesWhatItHelps: a change that makes a place for a pod is one that its rejecters say could help.
func TestWakesWhatItHelps(t *testing.T) {
	profile := core.NewProfile(plugins.Default()...)
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		pod := drawPod(t, "new", "")
		before := schedule(profile, pod, w)
		if before.Node != "" {
			return
		}
		c := drawChange(t, w)
		c.Namespaces = w.Namespaces()
		if after := schedule(profile, pod, w); after.Node != "" && !profile.Helps(pod, before.Diagnosis.Plugins, c) {
			t.Fatalf("it has a place on %s now and sleeps on; it was rejected: %s", after.Node, before.Diagnosis.Message())
		}
	})
}

func drawChange(t *rapid.T, w *world) *core.Change {
	kind := rapid.SampledFrom([]string{
		"node comes", "node changes", "node goes", "pod comes", "pod changes", "pod goes", "namespace",
	}).Draw(t, "kind")
	if len(w.placed) == 0 && (kind == "pod changes" || kind == "pod goes") {
		kind = "pod comes"
	}
	pick := func() *core.Pod { return rapid.SampledFrom(w.placed).Draw(t, "pod") }
	switch kind {
	case "node comes":
		node := drawNode(t, "another")
		w.SetNode(node)
		at, _ := w.Node(node.Name)
		return &core.Change{Node: node, At: at}
	case "node changes":
		old := rapid.SampledFrom(w.nodes).Draw(t, "node")
		node := drawNode(t, old.Name)
		w.SetNode(node)
		at, _ := w.Node(node.Name)
		return &core.Change{OldNode: old, Node: node, At: at}
	case "node goes":
		old := rapid.SampledFrom(w.nodes).Draw(t, "node")
		w.RemoveNode(old.Name)
		return &core.Change{OldNode: old}
	case "pod comes":
		p := drawPod(t, "another", rapid.SampledFrom(w.nodes).Draw(t, "on").Name)
		w.SetPod(p)
		return &core.Change{Pod: p}
	case "pod changes":
		old := pick()
		changed := old.DeepCopy()
		changed.Labels = map[string]string{"app": rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "app")}
		if rapid.Bool().Draw(t, "goes") {
			changed.DeletionTimestamp = &metav1.Time{}
		}
		p := core.NewPod(changed)
		w.SetPod(p)
		return &core.Change{OldPod: old, Pod: p}
	case "pod goes":
		old := pick()
		w.RemovePod(old.UID)
		return &core.Change{OldPod: old}
	default:
		w.SetNamespace("y", labels.Set{"team": "red"})
		return &core.Change{Relabelled: true}
	}
}

// TestRulesHoldAsPodsCome: pods placed one after the other never end up against their own rules or each other's.
func TestRulesHoldAsPodsCome(t *testing.T) {
	profile := core.NewProfile(plugins.Default()...)
	rapid.Check(t, func(t *rapid.T) {
		c := core.NewCluster()
		for i := range rapid.IntRange(1, 5).Draw(t, "nodes") {
			node := aNode(fmt.Sprint("n", i), 100000)
			node.Labels = map[string]string{"host": node.Name, "zone": fmt.Sprint(i % 3)}
			c.SetNode(node)
		}
		spread := rapid.Bool().Draw(t, "spread")
		skew := rapid.Int32Range(1, 3).Draw(t, "skew")
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
		for i := range rapid.IntRange(1, 15).Draw(t, "pods") {
			pod := aPod(fmt.Sprint("p", i), 1, "").Pod
			pod.Labels = map[string]string{"app": "a"}
			if spread {
				pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
					MaxSkew: skew, TopologyKey: "zone", WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector,
				}}
			} else {
				pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone", LabelSelector: selector}},
				}}
			}
			p := core.NewPod(pod)
			d := profile.Schedule(p, c.View(), core.Options{Pick: func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }})
			if d.Node != "" {
				c.Assume(p, d.Node)
			}
			if rapid.IntRange(0, 4).Draw(t, "leaves") == 0 && !spread {
				c.RemovePod(types.UID(fmt.Sprint("p", rapid.IntRange(0, i).Draw(t, "who"))))
			}
		}
		count := map[string]int{}
		for _, n := range c.Nodes() {
			count[n.Object.Labels["zone"]] += len(n.Pods)
		}
		lowest, highest := 1<<30, 0
		for _, n := range count {
			lowest, highest = min(lowest, n), max(highest, n)
		}
		if spread && highest-lowest > int(skew) || !spread && highest > 1 {
			t.Fatalf("pods by zone: %v, spread %v with skew %d", count, spread, skew)
		}
	})
}

func hardSpread(selector *metav1.LabelSelector) []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector,
	}}
}

func antiAffinity(selector *metav1.LabelSelector) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: selector},
		},
	}}
}
