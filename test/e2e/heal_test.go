package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// restarted waits until the only container of a pod has been started again so many times, and is ready.
func (s *space) restarted(name string, count int32) corev1.ContainerStatus {
	s.Helper()
	var status corev1.ContainerStatus
	until(s, fmt.Sprintf("restart %d of %s", count, name), s.core(), "pods", func(list []*corev1.Pod) bool {
		for _, pod := range list {
			if pod.Name == name && len(pod.Status.ContainerStatuses) == 1 {
				status = pod.Status.ContainerStatuses[0]
				return status.RestartCount == count && ready(pod)
			}
		}
		return false
	})
	return status
}

// TestKilledProcess lets a process end badly, and another takes its place in the same pod.
func TestKilledProcess(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("pod.yaml", "POD=victim", "NODE=node-2", `ARGS=["serve"]`)
	pod := s.running("victim", 1)[0]
	// The server dies before it answers.
	s.run(s.ctx, "", "exec", "victim", "--", "/tool", "get", "http://localhost:8080/die")

	status := s.restarted("victim", 1)
	last := status.LastTerminationState.Terminated
	if last == nil || last.ExitCode != 3 || last.Reason != "Error" {
		t.Errorf("the last state is %+v, want exit code 3 and reason Error", last)
	}
	if last != nil && last.ContainerID == status.ContainerID {
		t.Errorf("the container is the same: %s", status.ContainerID)
	}
	if again := s.running("victim", 1)[0]; again.UID != pod.UID || again.Status.PodIP != pod.Status.PodIP {
		t.Errorf("the pod was %s %s and is %s %s", pod.UID, pod.Status.PodIP, again.UID, again.Status.PodIP)
	}
	s.holds(s.kubectl("logs", "victim", "--previous"), "serving victim", "dying as asked")
	s.holds(s.kubectl("logs", "victim"), "serving victim")
	s.holds(s.kubectl("describe", "pod", "victim"), "Exit Code:    3", "Restart Count:  1")
}

// TestReadiness makes a pod unready: it leaves its service and gets no requests, until it is well again.
func TestReadiness(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("web.yaml", "APP=web", "REPLICAS=3", "TOLERATED=300")
	s.apply("pod.yaml", "POD=client", "NODE=node-1", `ARGS=["wait"]`)
	pods := s.running("web", 3)
	s.running("client", 1)
	sick := pods[0].Name
	s.serving("all pods", "web", 3)

	s.tool(sick, "get", "http://localhost:8080/sicken")
	s.pods("an unready pod", "web", func(list []*corev1.Pod) bool {
		for _, pod := range list {
			if pod.Name == sick {
				return !ready(pod)
			}
		}
		return false
	})
	for _, name := range s.serving("the pods that are well", "web", 2) {
		if name == sick {
			t.Errorf("the pod %s is not ready and serves", name)
		}
	}
	// A node that has learnt it sends the pod nothing more; 40 pages would miss one of three pods once in ten million times.
	s.tool("client", "without", sick, "40", "http://web/")
	got := s.kubectl("logs", sick)
	s.tool("client", "without", sick, "40", "http://web/")
	if now := s.kubectl("logs", sick); now != got {
		t.Errorf("the unready pod got requests: %s", now[len(got):])
	}

	s.tool(sick, "get", "http://localhost:8080/heal")
	s.serving("all pods again", "web", 3)
	s.tool("client", "until", sick, "http://web/")
	for _, pod := range s.running("web", 3) {
		if n := pod.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("the container of %s was restarted %d times", pod.Name, n)
		}
	}
}

// serving waits until so many pods are ready in the service's endpoint slices, and returns their names.
func (s *space) serving(what, service string, count int) []string {
	s.Helper()
	var names []string
	until(s, what+" in the endpoints of "+service, s.DiscoveryV1().RESTClient(), "endpointslices",
		func(list []*discoveryv1.EndpointSlice) bool {
			names = nil
			for _, slice := range list {
				if slice.Labels[discoveryv1.LabelServiceName] != service {
					continue
				}
				for _, e := range slice.Endpoints {
					if e.Conditions.Ready != nil && *e.Conditions.Ready && e.TargetRef != nil {
						names = append(names, e.TargetRef.Name)
					}
				}
			}
			return len(names) == count
		})
	return names
}
