package e2e

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestLostNode loses a node with all its processes. Its pods run elsewhere, until it comes back without them.
func TestLostNode(t *testing.T) {
	s := newSpace(t)
	s.apply("web.yaml", "APP=web", "REPLICAS=3", "TOLERATED=1")
	s.apply("pod.yaml", "POD=client", "NODE=node-1", `ARGS=["wait"]`)
	var lost *corev1.Pod
	for _, pod := range s.running("web", 3) {
		if pod.Spec.NodeName == "node-3" {
			lost = pod
		}
	}
	if lost == nil {
		t.Fatal("no pod is on node-3")
	}
	s.running("client", 1)
	s.serving("all pods", "web", 3)
	state, err := s.state()
	if err != nil {
		t.Fatal(err)
	}
	kill(t, state.Nodes[2].Init)

	s.part("it is unknown and tainted", func(s *space) {
		s.node("node-3", "its loss noticed", func(node *corev1.Node) bool {
			return nodeReady(node) == corev1.ConditionUnknown && tainted(node, corev1.TaintEffectNoExecute) &&
				tainted(node, corev1.TaintEffectNoSchedule)
		})
		s.holds(s.kubectl("get", "nodes"), "NotReady")
	})
	s.part("its pods run elsewhere", func(s *space) {
		s.pods("three ready pods elsewhere", "web", func(list []*corev1.Pod) bool {
			well := 0
			for _, pod := range list {
				if pod.Spec.NodeName != "node-3" && ready(pod) {
					well++
				}
			}
			return well == 3
		})
		if slices.Contains(s.serving("the pods elsewhere", "web", 3), lost.Name) {
			s.Errorf("%s is lost and serves", lost.Name)
		}
		s.tool("client", "without", lost.Name, "30", "http://web/")
	})
	s.part("it comes back", func(s *space) {
		if err := s.up(s.ctx); err != nil {
			s.Fatal(err)
		}
		s.node("node-3", "its return", func(node *corev1.Node) bool {
			return nodeReady(node) == corev1.ConditionTrue && len(node.Spec.Taints) == 0
		})
		s.running("web", 3) // The lost pod is gone for good.
		s.alive(3)
	})
}

// node waits until the condition is true of a node.
func (s *space) node(name, what string, done func(*corev1.Node) bool) {
	s.Helper()
	untilIn(s, corev1.NamespaceAll, name+": "+what, s.core(), "nodes", func(list []*corev1.Node) bool {
		for _, node := range list {
			if node.Name == name {
				return done(node)
			}
		}
		return false
	})
}

func nodeReady(node *corev1.Node) corev1.ConditionStatus {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return ""
}

func tainted(node *corev1.Node, effect corev1.TaintEffect) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool {
		return taint.Key == corev1.TaintNodeUnreachable && taint.Effect == effect
	})
}
