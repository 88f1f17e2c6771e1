package core

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func preparePod(p *corev1.Pod) {
	p.Generation = 1
	p.Status = corev1.PodStatus{Phase: corev1.PodPending}
	dropAlphaPodFields(p, nil)
	if len(p.Spec.SchedulingGates) > 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type:    corev1.PodScheduled,
			Status:  corev1.ConditionFalse,
			Reason:  corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",
		}}
	}
	mergeAffinityLabelKeys(p)
	mergeSpreadLabelKeys(p)
	appArmorFromAnnotations(p)
	defaultPodResources(p)
	p.Status.QOSClass = ComputeQOSClass(p)
}

// stampPod notes when a pod was found to be gated.
func stampPod(p, old *corev1.Pod, now time.Time) {
	if old != nil {
		return
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.LastTransitionTime.IsZero() {
			c.LastTransitionTime = metav1.NewTime(now)
		}
	}
}

func preparePodUpdate(p, old *corev1.Pod) {
	p.Status = old.Status
	if p.Spec.Resources == nil && old.Spec.Resources != nil {
		p.Spec.Resources = old.Spec.Resources.DeepCopy()
	}
	dropAlphaPodFields(p, old)
	bumpPodGeneration(p, old)
}

func bumpPodGeneration(p, old *corev1.Pod) {
	if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
		p.Generation++
	}
}

func preparePodStatus(p, old *corev1.Pod) {
	p.Spec = old.Spec
	// A status write neither deletes a pod nor hands it to another owner.
	p.DeletionTimestamp = nil
	p.OwnerReferences = old.OwnerReferences
	if p.Status.QOSClass == "" {
		p.Status.QOSClass = old.Status.QOSClass
	}
	// Node agents and controllers write status in turns; what one does not know it must not erase.
	if p.Status.ResourceClaimStatuses == nil {
		p.Status.ResourceClaimStatuses = old.Status.ResourceClaimStatuses
	}
	if p.Status.ExtendedResourceClaimStatus == nil {
		p.Status.ExtendedResourceClaimStatus = old.Status.ExtendedResourceClaimStatus
	}
	if p.Status.NodeAllocatableResourceClaimStatuses == nil {
		p.Status.NodeAllocatableResourceClaimStatuses = old.Status.NodeAllocatableResourceClaimStatuses
	}
	keepObservedGenerations(&p.Status, &old.Status)
	dropAlphaPodFields(p, old)
}

// keepObservedGenerations keeps generations that a writer left out, for the status and for each condition.
func keepObservedGenerations(s, old *corev1.PodStatus) {
	if s.ObservedGeneration == 0 {
		s.ObservedGeneration = old.ObservedGeneration
	}
	seen := make(map[corev1.PodConditionType]int)
	for i := range s.Conditions {
		c := &s.Conditions[i]
		was := nthCondition(old.Conditions, c.Type, seen[c.Type])
		seen[c.Type]++
		if c.ObservedGeneration == 0 && was != nil {
			c.ObservedGeneration = was.ObservedGeneration
		}
	}
}

// nthCondition finds the n-th condition of a type; a type should not repeat, but nothing forbids it.
func nthCondition(list []corev1.PodCondition, t corev1.PodConditionType, n int) *corev1.PodCondition {
	for i := range list {
		if list[i].Type != t {
			continue
		}
		if n == 0 {
			return &list[i]
		}
		n--
	}
	return nil
}

// preparePodEphemeral lets only the ephemeral containers change.
func preparePodEphemeral(p, old *corev1.Pod) {
	added := p.Spec.EphemeralContainers
	p.Spec = old.Spec
	p.Status = old.Status
	metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
	p.Spec.EphemeralContainers = added
	dropAlphaPodFields(p, old)
	bumpPodGeneration(p, old)
}

// preparePodResize lets only resources and resize policies of existing containers change. Containers that are added, removed or
// renamed are left as they are, for validation to refuse.
func preparePodResize(p, old *corev1.Pod) {
	if len(p.Spec.Containers) == len(old.Spec.Containers) && len(p.Spec.InitContainers) == len(old.Spec.InitContainers) {
		spec := old.Spec
		spec.Resources = p.Spec.Resources
		spec.Containers = resized(p.Spec.Containers, old.Spec.Containers)
		spec.InitContainers = resized(p.Spec.InitContainers, old.Spec.InitContainers)
		p.Spec = spec
		p.Status = old.Status
		metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
	}
	if p.Spec.Resources == nil && old.Spec.Resources != nil {
		p.Spec.Resources = old.Spec.Resources.DeepCopy()
	}
	defaultPodResources(p)
	dropAlphaPodFields(p, old)
	bumpPodGeneration(p, old)
}

func resized(wanted, old []corev1.Container) []corev1.Container {
	if !slices.EqualFunc(wanted, old, func(a, b corev1.Container) bool { return a.Name == b.Name }) || len(wanted) == 0 {
		return wanted
	}
	out := slices.Clone(old)
	for i := range wanted {
		out[i].Resources = wanted[i].Resources
		out[i].ResizePolicy = wanted[i].ResizePolicy
	}
	return out
}

// mergeAffinityLabelKeys turns matchLabelKeys and mismatchLabelKeys of pod affinity into plain requirements with this pod's
// own label values.
func mergeAffinityLabelKeys(p *corev1.Pod) {
	if p.Spec.Affinity == nil {
		return
	}
	var terms []*corev1.PodAffinityTerm
	if a := p.Spec.Affinity.PodAffinity; a != nil {
		terms = affinityTerms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := p.Spec.Affinity.PodAntiAffinity; a != nil {
		terms = append(terms, affinityTerms(
			a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	for _, t := range terms {
		requireOwnLabels(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn, p.Labels)
		requireOwnLabels(t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn, p.Labels)
	}
}

func affinityTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) []*corev1.PodAffinityTerm {
	var out []*corev1.PodAffinityTerm
	for i := range preferred {
		out = append(out, &preferred[i].PodAffinityTerm)
	}
	for i := range required {
		out = append(out, &required[i])
	}
	return out
}

// mergeSpreadLabelKeys does the same for the matchLabelKeys of topology spread constraints.
func mergeSpreadLabelKeys(p *corev1.Pod) {
	for i := range p.Spec.TopologySpreadConstraints {
		c := &p.Spec.TopologySpreadConstraints[i]
		requireOwnLabels(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn, p.Labels)
	}
}

func requireOwnLabels(sel *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator, own map[string]string) {
	if sel == nil {
		return
	}
	for _, key := range keys {
		if value, ok := own[key]; ok {
			sel.MatchExpressions = append(sel.MatchExpressions,
				metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: []string{value}})
		}
	}
}
