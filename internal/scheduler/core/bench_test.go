package core_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/scheduler/core"
	"coracle.dev/coracle/internal/scheduler/plugins"
)

// BenchmarkSchedule decides on one pod in a cluster of 1,000 nodes with 30 pods each.
func BenchmarkSchedule(b *testing.B) {
	c := core.NewCluster()
	for i := range 1000 {
		node := aNode(fmt.Sprint("n", i), 100000)
		node.Labels = map[string]string{"kubernetes.io/hostname": node.Name, "topology.kubernetes.io/zone": fmt.Sprint(i % 3)}
		c.SetNode(node)
		for j := range 30 {
			pod := aPod(fmt.Sprint("p", i, "-", j), 10, node.Name).Pod
			pod.Labels = map[string]string{"app": fmt.Sprint("app", j)}
			c.SetPod(core.NewPod(pod))
		}
	}
	profile := core.NewProfile(plugins.Default()...)
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app1"}}
	for _, tt := range []struct {
		name     string
		siblings labels.Selector
		shape    func(p *core.Pod)
	}{
		{name: "alone"},
		{name: "siblings", siblings: labels.SelectorFromSet(web.MatchLabels)},
		{name: "spread", shape: func(p *core.Pod) { p.Spec.TopologySpreadConstraints = hardSpread(web) }},
		{name: "anti-affinity", shape: func(p *core.Pod) { p.Spec.Affinity = antiAffinity(web) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			p := aPod("new", 10, "")
			p.Labels = map[string]string{"app": "app1"}
			if tt.shape != nil {
				tt.shape(p)
				p = core.NewPod(p.Pod)
			}
			for b.Loop() {
				view := c.View()
				view.Siblings = tt.siblings
				profile.Schedule(p, view, core.Options{Pick: func(int) int { return 0 }})
			}
		})
	}
}
