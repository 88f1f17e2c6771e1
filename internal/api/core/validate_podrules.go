package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/rule"
)

// podRules says by which rules a pod spec is judged. Rules grew stricter over the years; an object that was let in under the
// older ones must stay writable, so each rule that it breaks already is waived for its updates.
type podRules struct {
	// pod is set for pods, not for the templates of workloads.
	pod bool

	laxDeletionCost     bool // the pod-deletion-cost annotation need not be a number
	laxHugePages        bool // huge pages need not be whole pages
	laxSelectors        bool // label selectors of pod affinity
	laxNodeAffinity     bool // label values of required node affinity
	laxSpreadSelectors  bool // label selectors of topology spread constraints
	laxSpreadKeys       bool // matchLabelKeys of topology spread constraints
	laxTokenPaths       bool // projected tokens may be anywhere
	laxSysctls          bool // sysctls of namespaces that are the host's
	laxDevices          bool // block devices in a user namespace
	laxHostNetworkUsers bool // a user namespace on the host's network
	laxImageVolumes     bool // image volumes without a reference
	laxSysAdmin         bool // CAP_SYS_ADMIN without privilege escalation
	laxInitRestarts     bool // resizing that restarts plain init containers
	numericTolerations  bool // the operators Lt and Gt, an alpha feature that is off
}

// podRulesFor returns the rules for an object whose former state had this spec and metadata; both are nil on create.
func podRulesFor(old *corev1.PodSpec, oldMeta *metav1.ObjectMeta) podRules {
	var r podRules
	if oldMeta != nil {
		_, valid := deletionCost(oldMeta.Annotations)
		r.laxDeletionCost = !valid
	}
	if old == nil {
		return r
	}
	r.laxSelectors, r.laxNodeAffinity = affinityBreaksRules(old.Affinity)
	r.laxSpreadSelectors = slices.ContainsFunc(old.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return len(rule.Selector(nil, c.LabelSelector, false)) > 0
	})
	r.laxSpreadKeys = slices.ContainsFunc(old.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return len(validateLabelKeys(nil, c.MatchLabelKeys, nil, c.LabelSelector)) > 0
	})
	r.laxTokenPaths, r.laxImageVolumes = volumesBreakRules(old.Volumes)
	if sc := old.SecurityContext; sc != nil {
		r.laxSysctls = slices.ContainsFunc(sc.Sysctls, func(s corev1.Sysctl) bool { return hostSysctl(nil, s.Name, old) != nil })
	}
	r.laxHostNetworkUsers = !hostUsers(old) && old.HostNetwork
	r.numericTolerations = slices.ContainsFunc(old.Tolerations, func(t corev1.Toleration) bool {
		return t.Operator == corev1.TolerationOpLt || t.Operator == corev1.TolerationOpGt
	})
	r.laxHugePages = splitsHugePages(old.Overhead)
	for c := range containersOf(old, nil) {
		r.laxHugePages = r.laxHugePages || splitsHugePages(c.Resources.Limits) || splitsHugePages(c.Resources.Requests)
		r.laxDevices = r.laxDevices || !hostUsers(old) && len(c.VolumeDevices) > 0
		r.laxSysAdmin = r.laxSysAdmin || addsSysAdmin(c.SecurityContext)
	}
	for i := range old.InitContainers {
		r.laxInitRestarts = r.laxInitRestarts || !isSidecar(&old.InitContainers[i]) && restartsOnResize(&old.InitContainers[i])
	}
	return r
}

// templateRules are the rules for a pod template whose former state was old, nil on create.
func templateRules(old *corev1.PodTemplateSpec) podRules {
	if old == nil {
		return podRules{}
	}
	return podRulesFor(&old.Spec, &old.ObjectMeta)
}

func affinityBreaksRules(a *corev1.Affinity) (selectors, nodes bool) {
	if a == nil {
		return false, false
	}
	var terms []*corev1.PodAffinityTerm
	if p := a.PodAffinity; p != nil {
		terms = affinityTerms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		terms = append(terms,
			affinityTerms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	for _, t := range terms {
		selectors = selectors ||
			len(rule.Selector(nil, t.LabelSelector, false)) > 0 || len(rule.Selector(nil, t.NamespaceSelector, false)) > 0
	}
	if n := a.NodeAffinity; n != nil && n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		nodes = nodeSelectorHasBadValues(n.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	return selectors, nodes
}

func nodeSelectorHasBadValues(s *corev1.NodeSelector) bool {
	for _, t := range s.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			if len(rule.LabelValues(nil, e.Values)) > 0 {
				return true
			}
		}
	}
	return false
}

func volumesBreakRules(volumes []corev1.Volume) (tokenPaths, images bool) {
	for i := range volumes {
		v := &volumes[i]
		images = images || v.Image != nil && v.Image.Reference == ""
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			t := s.ServiceAccountToken
			tokenPaths = tokenPaths || t != nil && len(rule.FileName(nil, t.Path)) > 0
		}
	}
	return tokenPaths, images
}

func splitsHugePages(list corev1.ResourceList) bool {
	for name, q := range list {
		if isHugePages(name) && !wholeHugePages(name, q) {
			return true
		}
	}
	return false
}

func addsSysAdmin(sc *corev1.SecurityContext) bool {
	if sc == nil || sc.Capabilities == nil || sc.AllowPrivilegeEscalation != nil && *sc.AllowPrivilegeEscalation {
		return false
	}
	return slices.Contains(sc.Capabilities.Add, capSysAdmin)
}

// capSysAdmin is the spelling that the rule on privilege escalation has always looked for.
const capSysAdmin corev1.Capability = "CAP_SYS_ADMIN"

func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func restartsOnResize(c *corev1.Container) bool {
	return slices.ContainsFunc(c.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		return p.RestartPolicy == corev1.RestartContainer
	})
}

// hostUsers tells whether the pod's users are the host's, which is the default.
func hostUsers(s *corev1.PodSpec) bool { return s.HostUsers == nil || *s.HostUsers }
