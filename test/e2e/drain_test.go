package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestDrain empties a node, as far as a disruption budget lets it.
func TestDrain(t *testing.T) {
	s := newSpace(t)
	s.apply("web.yaml", "APP=web", "REPLICAS=3", "TOLERATED=300")
	s.kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=3")
	s.running("web", 3)
	s.kubectl("wait", "poddisruptionbudget/web", "--for=jsonpath={.status.currentHealthy}=3", "--timeout=90s")
	t.Cleanup(func() { s.run(context.Background(), "", "uncordon", "node-2") })

	drain := []string{"drain", "node-2", "--pod-selector=app=web"}
	s.refused("", append(drain, "--timeout=1s"), "Cannot evict pod as it would violate the pod's disruption budget")
	s.holds(s.kubectl("get", "node/node-2"), "Ready,SchedulingDisabled")

	s.kubectl("patch", "poddisruptionbudget/web", "--type=merge", "-p", `{"spec":{"minAvailable":2}}`)
	s.kubectl(append(drain, "--timeout=90s")...)
	s.pods("three ready pods elsewhere", "web", func(list []*corev1.Pod) bool {
		well := 0
		for _, pod := range list {
			if pod.Spec.NodeName == "node-2" {
				return false
			}
			if ready(pod) {
				well++
			}
		}
		return well == 3
	})
	s.kubectl("uncordon", "node-2")
	s.kubectl("scale", "deployment/web", "--replicas=6")
	s.pods("a pod on the node again", "web", func(list []*corev1.Pod) bool {
		for _, pod := range list {
			if pod.Spec.NodeName == "node-2" && ready(pod) {
				return true
			}
		}
		return false
	})
}
