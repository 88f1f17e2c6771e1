package core

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func node() *api.Resource {
	return meta.Entry[*corev1.Node]{
		Version: "v1", Kind: "Node", Plural: "nodes",
		Short:   []string{"no"},
		New:     meta.New[corev1.Node],
		NewList: meta.Empty[corev1.NodeList],
		Path:    "minions",
		Subresources: []api.Subresource{
			meta.Stream("proxy", corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"), meta.ProxyVerbs()...),
			meta.Status(corev1.SchemeGroupVersion.WithKind("Node"), meta.Empty[corev1.Node]),
		},
		Default: defaultNode,
		PrepareCreate: func(n *corev1.Node) {
			// Configuration through the API was removed; the fields stay for old objects.
			n.Spec.ConfigSource = nil
			n.Status.Config = nil
			meta.DropAlpha(&n.Spec, nil, preemptionSlots)
		},
		PrepareUpdate: func(n, old *corev1.Node) {
			n.Status = old.Status
			if old.Spec.ConfigSource == nil {
				n.Spec.ConfigSource = nil
			}
			meta.DropAlpha(&n.Spec, &old.Spec, preemptionSlots)
		},
		PrepareStatus: func(n, old *corev1.Node) {
			n.Spec = old.Spec
			if old.Status.Config == nil {
				n.Status.Config = nil
			}
		},
		UnconditionalUpdate: true,
		Columns:             nodeColumns(),
		Row:                 nodeRow,
		Fields: func(n *corev1.Node) fields.Set {
			return fields.Set{"spec.unschedulable": strconv.FormatBool(n.Spec.Unschedulable)}
		},
		Validate:       validateNode,
		ValidateUpdate: validateNodeUpdate,
		ValidateStatus: validateNodeStatus,
		Warnings:       warnNode,
	}.Resource()
}

func preemptionSlots(s *corev1.NodeSpec) []meta.Slot {
	return []meta.Slot{meta.PointerSlot(&s.PodPreemptionPolicy)}
}

func defaultNode(n *corev1.Node) {
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	// podCIDR is the first of podCIDRs, and the one that counts where they differ.
	switch one, all := n.Spec.PodCIDR, n.Spec.PodCIDRs; {
	case one == "" && len(all) > 0:
		n.Spec.PodCIDR = all[0]
	case one != "" && (len(all) == 0 || all[0] != one):
		n.Spec.PodCIDRs = []string{one}
	}
	roundUp(n.Status.Capacity)
	roundUp(n.Status.Allocatable)
}

func nodeColumns() []metav1.TableColumnDefinition {
	status, info := corev1.NodeStatus{}.SwaggerDoc(), corev1.NodeSystemInfo{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Status", "Whether the node is ready and takes new pods."),
		meta.Column("Roles", "The roles that the node's labels give it."),
		meta.AgeColumn(),
		meta.Column("Version", info["kubeletVersion"]),
		meta.Wide(meta.Column("Internal-IP", status["addresses"])),
		meta.Wide(meta.Column("External-IP", status["addresses"])),
		meta.Wide(meta.Column("OS-Image", info["osImage"])),
		meta.Wide(meta.Column("Kernel-Version", info["kernelVersion"])),
		meta.Wide(meta.Column("Container-Runtime", info["containerRuntimeVersion"])),
	}
}

func nodeRow(n *corev1.Node, now time.Time) []any {
	info := &n.Status.NodeInfo
	kernel := meta.OrUnknown(info.KernelVersion)
	if info.Architecture != "" {
		kernel += " (" + info.Architecture + ")"
	}
	return []any{
		n.Name, nodeStatus(n), meta.OrNone(strings.Join(nodeRoles(n), ",")), meta.Age(n, now), info.KubeletVersion,
		nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
		meta.OrUnknown(info.OSImage), kernel, meta.OrUnknown(info.ContainerRuntimeVersion),
	}
}

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for i := range n.Status.Conditions {
		if c := &n.Status.Conditions[i]; c.Type == corev1.NodeReady {
			status = "NotReady"
			if c.Status == corev1.ConditionTrue {
				status = "Ready"
			}
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

// nodeRoles reads roles from the labels node-role.kubernetes.io/ROLE and kubernetes.io/role=ROLE.
func nodeRoles(n *corev1.Node) []string {
	var roles []string
	for key, value := range n.Labels {
		role, ok := strings.CutPrefix(key, "node-role.kubernetes.io/")
		if !ok && key == "kubernetes.io/role" {
			role, ok = value, true
		}
		if ok && role != "" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

func nodeAddress(n *corev1.Node, t corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == t {
			return a.Address
		}
	}
	return meta.None
}
