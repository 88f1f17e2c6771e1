package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// warnPod returns the warnings for a new pod. Updates get none: people seldom write to pods.
func warnPod(p, old *corev1.Pod) []string {
	if old != nil {
		return nil
	}
	var out []string
	if why := utilvalidation.IsDNS1123Label(p.Name); len(why) > 0 {
		out = append(out, fmt.Sprintf("metadata.name: this is used in the Pod's hostname, which can result in surprising "+
			"behavior; a DNS label is recommended: %v", why))
	}
	return append(out, warnPodSpec(nil, &p.Spec, &p.ObjectMeta)...)
}

// WarnPodTemplate returns the warnings for the pod template of a workload.
func WarnPodTemplate(at *field.Path, t *corev1.PodTemplateSpec) []string {
	if t == nil {
		return nil
	}
	return warnPodSpec(at, &t.Spec, &t.ObjectMeta)
}

// WarnPodName warns of a workload's name that its pods' names cannot begin with.
func WarnPodName(name string) []string {
	why := utilvalidation.IsDNS1123Label(name)
	if len(why) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising "+
		"behavior; a DNS label is recommended: %v", why)}
}

// warnPodSpec is for pods (at nil) and templates.
func warnPodSpec(at *field.Path, s *corev1.PodSpec, m *metav1.ObjectMeta) []string {
	spec := at.Child("spec")
	out := slices.Concat(
		warnPlacement(spec, s),
		warnPodAnnotations(at.Child("metadata", "annotations"), m.Annotations),
		warnVolumes(spec.Child("volumes"), s.Volumes),
		warnOverlaps(s.Volumes),
		warnLists(spec, s),
		warnFraction(spec.Child("overhead"), s.Overhead, corev1.ResourceMemory),
		warnFraction(spec.Child("overhead"), s.Overhead, corev1.ResourceEphemeralStorage))
	notes := at.Child("metadata", "annotations")
	if s.SecurityContext == nil || s.SecurityContext.SeccompProfile == nil {
		out = append(out, warnSeccomp(notes, m.Annotations, corev1.SeccompPodAnnotationKey)...)
	}
	for c, cat := range containersOf(s, spec) {
		if c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil {
			out = append(out, warnSeccomp(notes, m.Annotations, corev1.SeccompContainerAnnotationKeyPrefix+c.Name)...)
		}
		if at != nil {
			out = append(out, warnAppArmor(notes, m.Annotations, s, c)...)
		}
		out = append(out, warnContainer(cat, c)...)
	}
	out = append(out, warnPorts(spec, s)...)
	if grace := s.TerminationGracePeriodSeconds; grace != nil && *grace < 0 {
		out = append(out, fmt.Sprintf("%s: must be >= 0; negative values are invalid and will be treated as 1",
			spec.Child("terminationGracePeriodSeconds")))
	}
	return slices.Concat(out, warnPodAffinity(spec.Child("affinity"), s.Affinity), warnAddresses(spec, s))
}

func warnPodAnnotations(at *field.Path, annotations map[string]string) []string {
	var out []string
	for _, a := range []struct{ key, why string }{
		{
			"scheduler.alpha.kubernetes.io/critical-pod",
			`non-functional in v1.16+; use the "priorityClassName" field instead`,
		},
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	} {
		if _, ok := annotations[a.key]; ok {
			out = append(out, fmt.Sprintf("%s: %s", at.Key(a.key), a.why))
		}
	}
	return out
}

func warnSeccomp(at *field.Path, annotations map[string]string, key string) []string {
	if _, ok := annotations[key]; !ok {
		return nil
	}
	return []string{fmt.Sprintf(`%s: non-functional in v1.27+; use the "seccompProfile" field instead`, at.Key(key))}
}

// warnAppArmor warns of an annotation on a template that no field repeats. On pods the field is filled in from it.
func warnAppArmor(at *field.Path, annotations map[string]string, s *corev1.PodSpec, c *corev1.Container) []string {
	key := appArmorPrefix + c.Name
	text, ok := annotations[key]
	if !ok || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
		return nil
	}
	if s.SecurityContext != nil && s.SecurityContext.AppArmorProfile != nil &&
		equality.Semantic.DeepEqual(s.SecurityContext.AppArmorProfile, appArmorProfile(text)) {
		return nil
	}
	return []string{fmt.Sprintf(`%s: deprecated since v1.30; use the "appArmorProfile" field instead`, at.Key(key))}
}

func warnContainer(at *field.Path, c *corev1.Container) []string {
	resources := at.Child("resources")
	out := slices.Concat(
		warnFraction(resources.Child("limits"), c.Resources.Limits, corev1.ResourceMemory),
		warnFraction(resources.Child("requests"), c.Resources.Requests, corev1.ResourceMemory),
		warnFraction(resources.Child("limits"), c.Resources.Limits, corev1.ResourceEphemeralStorage),
		warnFraction(resources.Child("requests"), c.Resources.Requests, corev1.ResourceEphemeralStorage))
	seen := sets.New[string]()
	for i, v := range c.Env {
		// A second definition makes sense only where it builds on the first.
		self := "$(" + v.Name + ")"
		if seen.Has(v.Name) && (v.ValueFrom != nil || v.Value == self || !strings.Contains(v.Value, self)) {
			out = append(out, fmt.Sprintf("%s: hides previous definition of %q, which may be dropped when using apply",
				at.Child("env").Index(i), v.Name))
		}
		seen.Insert(v.Name)
	}
	return out
}

// warnPorts warns of ports that two containers, or one of them twice, declare.
func warnPorts(at *field.Path, s *corev1.PodSpec) []string {
	type declared struct {
		at   *field.Path
		port corev1.ContainerPort
	}
	var out, names []string
	byPort, byName := map[string][]declared{}, map[string]*field.Path{}
	for c, at := range containersOf(s, at) {
		for i, p := range c.Ports {
			at := at.Child("ports").Index(i)
			if p.HostIP != "" && p.HostPort == 0 {
				out = append(out, fmt.Sprintf("%s: hostIP set without hostPort: %+v", at, p))
			}
			key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
			for _, other := range byPort[key] {
				if how := collision(&p, &other.port); how != "" {
					out = append(out, fmt.Sprintf("%s: %s port definition with %s", at, how, other.at))
				}
			}
			byPort[key] = append(byPort[key], declared{at, p})
			if other, ok := byName[p.Name]; ok && p.Name != "" {
				names = append(names, fmt.Sprintf("%s: duplicate port name %q with %s, services and probes that select ports by "+
					"name will use %s", at, p.Name, other, other))
			} else {
				byName[p.Name] = at
			}
		}
	}
	return append(out, names...)
}

// collision says how two declarations of the same container port get in each other's way, "" when they do not.
func collision(a, b *corev1.ContainerPort) string {
	switch {
	case a.HostIP == b.HostIP && a.HostPort == b.HostPort:
		return "duplicate"
	case a.HostPort == 0 || b.HostPort == 0:
		return "overlapping"
	case a.HostPort == b.HostPort && (a.HostIP == "") != (b.HostIP == ""):
		return "dangerously ambiguous"
	}
	return ""
}

// warnLists warns of items that say the same twice, or nothing.
func warnLists(at *field.Path, s *corev1.PodSpec) []string {
	var out []string
	seen := sets.New[string]()
	for i, a := range s.HostAliases {
		if seen.Has(a.IP) {
			out = append(out, fmt.Sprintf("%s: duplicate ip %q", at.Child("hostAliases").Index(i).Child("ip"), a.IP))
		}
		seen.Insert(a.IP)
	}
	seen = sets.New[string]()
	for i, r := range s.ImagePullSecrets {
		at := at.Child("imagePullSecrets").Index(i).Child("name")
		if seen.Has(r.Name) {
			out = append(out, fmt.Sprintf("%s: duplicate name %q", at, r.Name))
		}
		if r.Name == "" {
			out = append(out, fmt.Sprintf("%s: invalid empty name %q", at, r.Name))
		}
		seen.Insert(r.Name)
	}
	return out
}

func warnPodAffinity(at *field.Path, a *corev1.Affinity) []string {
	if a == nil {
		return nil
	}
	var out []string
	check := func(at *field.Path, must []corev1.PodAffinityTerm, like []corev1.WeightedPodAffinityTerm) {
		warn := func(at *field.Path, t *corev1.PodAffinityTerm) {
			if t.LabelSelector == nil {
				out = append(out, fmt.Sprintf("%s: a null labelSelector results in matching no pod", at.Child("labelSelector")))
			}
		}
		for i := range must {
			warn(at.Child(required).Index(i), &must[i])
		}
		for i := range like {
			warn(at.Child(preferred).Index(i).Child("podAffinityTerm"), &like[i].PodAffinityTerm)
		}
	}
	if p := a.PodAffinity; p != nil {
		check(at.Child("podAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		check(at.Child("podAntiAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return out
}

// warnAddresses warns of addresses in forms that not every reader takes.
func warnAddresses(at *field.Path, s *corev1.PodSpec) []string {
	var out []string
	if s.DNSConfig != nil {
		for i, ns := range s.DNSConfig.Nameservers {
			out = append(out, utilvalidation.GetWarningsForIP(at.Child("dnsConfig", "nameservers").Index(i), ns)...)
		}
	}
	for i, a := range s.HostAliases {
		out = append(out, utilvalidation.GetWarningsForIP(at.Child("hostAliases").Index(i).Child("ip"), a.IP)...)
	}
	return out
}

// warnPlacement warns of node labels that have other names by now, and of constraints that match no pod.
func warnPlacement(at *field.Path, s *corev1.PodSpec) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		if why := DeprecatedNodeLabel(key); why != "" {
			out = append(out, fmt.Sprintf("%s: %s", at.Child("nodeSelector").Key(key), why))
		}
	}
	if n := nodeAffinityOf(s); n != nil {
		at := at.Child("affinity", "nodeAffinity")
		terms := requiredTerms(n)
		for i := range terms {
			out = append(out, warnNodeTerm(at.Child(required, "nodeSelectorTerms").Index(i), &terms[i], false)...)
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			out = append(out, warnNodeTerm(at.Child(preferred).Index(i).Child("preference"),
				&n.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference, true)...)
		}
	}
	for i, c := range s.TopologySpreadConstraints {
		at := at.Child("topologySpreadConstraints").Index(i)
		if why := DeprecatedNodeLabel(c.TopologyKey); why != "" {
			out = append(out, fmt.Sprintf("%s: %s is %s", at.Child("topologyKey"), c.TopologyKey, why))
		}
		if c.LabelSelector == nil {
			out = append(out, fmt.Sprintf("%s: a null labelSelector results in matching no pod", at.Child("labelSelector")))
		}
	}
	return out
}

// warnNodeTerm warns of labels with other names by now; values also of label values that no node can have.
func warnNodeTerm(at *field.Path, t *corev1.NodeSelectorTerm, values bool) []string {
	var out []string
	for i, e := range t.MatchExpressions {
		at := at.Child("matchExpressions").Index(i)
		if why := DeprecatedNodeLabel(e.Key); why != "" {
			out = append(out, fmt.Sprintf("%s: %s is %s", at.Child("key"), e.Key, why))
		}
		if !values {
			continue
		}
		for k, v := range e.Values {
			for _, why := range utilvalidation.IsValidLabelValue(v) {
				out = append(out, fmt.Sprintf("%s: %s is invalid, %s", at.Child("values").Index(k), v, why))
			}
		}
	}
	return out
}

// DeprecatedNodeLabel says since when a node's label has another name, and which; "" for all other labels.
func DeprecatedNodeLabel(key string) string {
	switch key {
	case "beta.kubernetes.io/arch":
		return `deprecated since v1.14; use "kubernetes.io/arch" instead`
	case "beta.kubernetes.io/os":
		return `deprecated since v1.14; use "kubernetes.io/os" instead`
	case corev1.LabelFailureDomainBetaRegion:
		return `deprecated since v1.17; use "topology.kubernetes.io/region" instead`
	case corev1.LabelFailureDomainBetaZone:
		return `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`
	case corev1.LabelInstanceType:
		return `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`
	case "app.kubernetes.io/created-by":
		return "deprecated since v1.9"
	case "scheduler.alpha.kubernetes.io/preferAvoidPods":
		return "deprecated since v1.22; use Taints and Tolerations instead"
	case "node-role.kubernetes.io/master":
		return `use "node-role.kubernetes.io/control-plane" instead`
	}
	return ""
}
