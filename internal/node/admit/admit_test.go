package admit

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func read[T any](t *testing.T, text string) *T {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestCheck(t *testing.T) {
	node := read[v1.Node](t, `
metadata: {name: n1, labels: {disk: ssd}}
spec: {taints: [{key: gone, effect: NoExecute}, {key: soft, effect: NoSchedule}]}
status: {allocatable: {cpu: "2", memory: 1Gi, pods: "3"}}
`)
	tolerant := `tolerations: [{key: gone, operator: Exists}]`
	running := read[v1.Pod](t, `
spec: {containers: [{name: a, resources: {requests: {cpu: 1500m}}, ports: [{containerPort: 1, hostPort: 80}]}]}
`)
	for _, c := range []struct{ name, spec, reason string }{
		{"fits", `{containers: [{name: a, resources: {requests: {cpu: 500m}}}], ` + tolerant + `}`, ""},
		{"too much CPU", `{containers: [{name: a, resources: {requests: {cpu: 501m}}}], ` + tolerant + `}`, "OutOfcpu"},
		{"too much memory", `{containers: [{name: a, resources: {requests: {memory: 2Gi}}}], ` + tolerant + `}`, "OutOfmemory"},
		{"wrong labels", `{nodeSelector: {disk: hdd}, containers: [{name: a}], ` + tolerant + `}`, "NodeAffinity"},
		{"right labels", `{nodeSelector: {disk: ssd}, containers: [{name: a}], ` + tolerant + `}`, ""},
		{"port taken", `{containers: [{name: a, ports: [{hostPort: 80, hostIP: 127.0.0.1}]}], ` + tolerant + `}`, "NodePorts"},
		{"port free", `{containers: [{name: a, ports: [{hostPort: 80, protocol: UDP}]}], ` + tolerant + `}`, ""},
		{"taint", `{containers: [{name: a}]}`, "TaintToleration"},
		{"other system", `{os: {name: windows}, containers: [{name: a}], ` + tolerant + `}`, "PodOSNotSupported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &v1.Pod{Spec: *read[v1.PodSpec](t, c.spec)}
			got := Check(p, node, []*v1.Pod{running})
			switch {
			case got == nil && c.reason != "":
				t.Errorf("accepted, want %s", c.reason)
			case got != nil && got.Reason != c.reason:
				t.Errorf("got %+v", got)
			}
		})
	}
	p := &v1.Pod{Spec: *read[v1.PodSpec](t, `{containers: [{name: a}], `+tolerant+`}`)}
	if got := Check(p, node, []*v1.Pod{running, p, p}); got == nil || got.Reason != "OutOfpods" {
		t.Errorf("a fourth pod: %+v", got)
	}
}
