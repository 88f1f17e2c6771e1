package admission

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// restrictNode lets a node write its own Node, but not what would draw pods to it: taints and reserved labels.
func restrictNode(node string, op *Operation) error {
	if op.name() != node {
		return op.forbid("node %q is not allowed to modify node %q", node, op.name())
	}
	if op.Verb != opCreate && op.Verb != opUpdate {
		return nil
	}
	object, ok := op.Object.(*corev1.Node)
	if !ok {
		return op.unexpected(op.Object)
	}
	if op.Verb == opCreate {
		if object.Spec.ConfigSource != nil {
			return op.forbid("node %q is not allowed to create pods with a non-nil configSource", node)
		}
		if labels := reservedLabels(object.Labels, nil); len(labels) > 0 {
			return op.forbid("node %q is not allowed to set the following labels: %s", node, strings.Join(labels, ", "))
		}
		return nil
	}
	old, ok := op.Old.(*corev1.Node)
	if !ok {
		return op.unexpected(op.Old)
	}
	switch {
	case object.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(object.Spec.ConfigSource, old.Spec.ConfigSource):
		return op.forbid("node %q is not allowed to update configSource to a new non-nil configSource", node)
	case !equality.Semantic.DeepEqual(object.Spec.Taints, old.Spec.Taints):
		return op.forbid("node %q is not allowed to modify taints", node)
	case !equality.Semantic.DeepEqual(object.OwnerReferences, old.OwnerReferences):
		return op.forbid("node %q is not allowed to modify ownerReferences", node)
	}
	if labels := reservedLabels(object.Labels, old.Labels); len(labels) > 0 {
		return op.forbid("is not allowed to modify labels: %s", strings.Join(labels, ", "))
	}
	return nil
}

// reservedLabels lists the changed labels that a node may not set itself, sorted.
func reservedLabels(now, before map[string]string) []string {
	var reserved []string
	for key, value := range now {
		if old, ok := before[key]; (!ok || old != value) && isReserved(key) {
			reserved = append(reserved, key)
		}
	}
	for key := range before {
		if _, ok := now[key]; !ok && isReserved(key) {
			reserved = append(reserved, key)
		}
	}
	slices.Sort(reserved)
	return reserved
}

// isReserved: labels under node-restriction.kubernetes.io are for administrators, and of the other kubernetes.io and k8s.io
// labels a node may set only the known ones.
func isReserved(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	if !ok {
		return false
	}
	if within(domain, "node-restriction.kubernetes.io") {
		return true
	}
	return (within(domain, "kubernetes.io") || within(domain, "k8s.io")) && !nodeOwned(key, domain)
}

func nodeOwned(key, domain string) bool {
	if within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io") {
		return true
	}
	switch key {
	case corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
		corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
		corev1.LabelInstanceType, corev1.LabelInstanceTypeStable,
		corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch":
		return true
	}
	return false
}

func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

func sameLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}
