package pod

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestContainersBeingStartedAreNotShown holds that a start is reported once, when it is over.
func TestContainersBeingStartedAreNotShown(t *testing.T) {
	p := &v1.Pod{Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "main"}}}}
	before := Container{ID: "c0", Name: "main", SandboxID: "s1", State: Exited, ExitCode: 3}
	for _, c := range []struct {
		name       string
		containers []Container
		starting   map[string]int32
		id         string
		restarts   int32
		state      string
	}{
		{
			name:       "made",
			containers: []Container{{ID: "c1", Name: "main", SandboxID: "s1", State: Created}},
			starting:   map[string]int32{"main": 0}, state: reasonCreating,
		},
		{
			name:       "its postStart hook runs",
			containers: []Container{{ID: "c1", Name: "main", SandboxID: "s1", State: Running}},
			starting:   map[string]int32{"main": 0}, state: reasonCreating,
		},
		{
			name:       "started",
			containers: []Container{{ID: "c1", Name: "main", SandboxID: "s1", State: Running}},
			id:         "containerd://c1", state: "running",
		},
		{
			name:       "made again",
			containers: []Container{{ID: "c1", Name: "main", SandboxID: "s1", State: Created, Restarts: 1}, before},
			starting:   map[string]int32{"main": 1}, id: "containerd://c0", state: "Error 3",
		},
		{
			name:       "started again",
			containers: []Container{{ID: "c1", Name: "main", SandboxID: "s1", State: Running, Restarts: 1}, before},
			id:         "containerd://c1", restarts: 1, state: "running",
		},
		{
			name:       "ended during its start",
			containers: []Container{{ID: "c1", Name: "main", SandboxID: "s1", State: Exited, ExitCode: 4, Restarts: 1}, before},
			starting:   map[string]int32{"main": 1}, id: "containerd://c1", restarts: 1, state: "Error 4",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Status(p, &Observed{
				Now: epoch, Runtime: "containerd", Mounted: true, NetworkReady: true, Containers: c.containers, Starting: c.starting,
				Sandboxes: []Sandbox{{ID: "s1", Ready: true, IPs: []string{"10.42.0.5"}}},
			})
			st := s.ContainerStatuses[0]
			if st.ContainerID != c.id || st.RestartCount != c.restarts || stateText(st.State) != c.state {
				t.Errorf("container %q restarts %d %s, want %q %d %s",
					st.ContainerID, st.RestartCount, stateText(st.State), c.id, c.restarts, c.state)
			}
		})
	}
}
