package downward

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Facts are what is known about a pod where it runs.
type Facts struct {
	Pod             *v1.Pod
	PodIPs, HostIPs []string
	// Allocatable stands in for limits that a container does not have.
	Allocatable v1.ResourceList
}

// Field returns the text of a field path such as metadata.labels['app'].
func (f Facts) Field(path string) (string, error) {
	p := f.Pod
	if base, key, ok := subscript(path); ok {
		switch base {
		case "metadata.labels":
			return p.Labels[key], nil
		case "metadata.annotations":
			return p.Annotations[key], nil
		}
		return "", fmt.Errorf("fieldPath %q does not support subscript", path)
	}
	switch path {
	case "metadata.name":
		return p.Name, nil
	case "metadata.namespace":
		return p.Namespace, nil
	case "metadata.uid":
		return string(p.UID), nil
	case "metadata.labels":
		return formatMap(p.Labels), nil
	case "metadata.annotations":
		return formatMap(p.Annotations), nil
	case "spec.nodeName":
		return p.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return p.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return head(f.HostIPs), nil
	case "status.hostIPs":
		return strings.Join(f.HostIPs, ","), nil
	case "status.podIP":
		return head(f.PodIPs), nil
	case "status.podIPs":
		return strings.Join(f.PodIPs, ","), nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %v", path)
}

func head(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// subscript splits metadata.labels['key'].
func subscript(path string) (base, key string, ok bool) {
	i := strings.Index(path, "['")
	if i < 0 || !strings.HasSuffix(path, "']") || len(path) < i+4 {
		return "", "", false
	}
	return path[:i], path[i+2 : len(path)-2], true
}

// formatMap writes key="value" lines, sorted.
func formatMap(m map[string]string) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return strings.Join(lines, "\n")
}

// Resource returns the number of a resource reference such as limits.cpu, in units of its divisor, rounded up. container is
// the one that asks; a reference may name another.
func (f Facts) Resource(ref *v1.ResourceFieldSelector, container string) (string, error) {
	if ref.ContainerName != "" {
		container = ref.ContainerName
	}
	res := f.find(container)
	if res == nil {
		return "", fmt.Errorf("container %s not found", container)
	}
	kind, name, ok := strings.Cut(ref.Resource, ".")
	list := res.Limits
	switch {
	case ok && kind == "requests":
		list = res.Requests
	case !ok || kind != "limits":
		return "", fmt.Errorf("unsupported container resource : %v", ref.Resource)
	}
	q, given := list[v1.ResourceName(name)]
	if kind == "limits" && (!given || q.IsZero()) {
		if _, hugepages := strings.CutPrefix(name, v1.ResourceHugePagesPrefix); !hugepages {
			q = f.Allocatable[v1.ResourceName(name)]
		}
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == string(v1.ResourceCPU) {
		return fmt.Sprint(up(q.MilliValue(), divisor.MilliValue())), nil
	}
	return fmt.Sprint(up(q.Value(), divisor.Value())), nil
}

func up(a, b int64) int64 {
	if b <= 0 {
		return 0
	}
	return (a + b - 1) / b
}

func (f Facts) find(name string) *v1.ResourceRequirements {
	for _, list := range [][]v1.Container{f.Pod.Spec.InitContainers, f.Pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i].Resources
			}
		}
	}
	for i := range f.Pod.Spec.EphemeralContainers {
		if e := &f.Pod.Spec.EphemeralContainers[i]; e.Name == name {
			return &e.Resources
		}
	}
	return nil
}
