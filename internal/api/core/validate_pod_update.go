package core

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// updatablePodFields are as the error about any other change names them.
func updatablePodFields() string {
	return strings.Join([]string{
		"`spec.containers[*].image`",
		"`spec.initContainers[*].image`",
		"`spec.activeDeadlineSeconds`",
		"`spec.tolerations` (only additions to existing tolerations)",
		"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
	}, ",")
}

// validatePodUpdate judges a write to a pod that exists. Nearly all of a pod's spec stays as it was made.
func validatePodUpdate(p, old *corev1.Pod) field.ErrorList {
	rules := changeRules(old)
	errs := slices.Concat(
		validateWholePod(p, rules),
		validateAnnotationChange(metadataAt().Child("annotations"), p, old, rules))
	at := specAt()
	for _, list := range []struct {
		name     string
		now, was []corev1.Container
	}{
		{"containers", p.Spec.Containers, old.Spec.Containers},
		{"initContainers", p.Spec.InitContainers, old.Spec.InitContainers},
	} {
		if len(list.now) != len(list.was) {
			return append(errs, field.Forbidden(at.Child(list.name), "pod updates may not add or remove containers"))
		}
	}
	deadline, stop := validateDeadlineChange(at.Child("activeDeadlineSeconds"),
		p.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds)
	if errs = append(errs, deadline...); stop {
		return errs
	}
	errs = slices.Concat(errs,
		validateAddedTolerations(at.Child("tolerations"), p.Spec.Tolerations, old.Spec.Tolerations, rules),
		validateRemovedGates(at.Child("schedulingGates"), p.Spec.SchedulingGates, old.Spec.SchedulingGates))
	if equality.Semantic.DeepEqual(p.Spec, old.Spec) {
		return errs
	}
	rest := withoutUpdatable(&p.Spec, &old.Spec)
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, validateGatedChange(at, rest, &old.Spec)...)
	}
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(at, fmt.Sprintf("pod updates may not change fields other than %s\n%v",
			updatablePodFields(), diff.Diff(old.Spec, *rest))))
	}
	return errs
}

// validateDeadlineChange lets a deadline be set, or come closer. After some mistakes nothing more is worth saying.
func validateDeadlineChange(at *field.Path, now, before *int64) (errs field.ErrorList, stop bool) {
	switch {
	case now == nil && before == nil:
		return nil, false
	case now == nil:
		return field.ErrorList{field.Invalid(at, now, "must not update from a positive integer to nil value")}, false
	case *now < 0 || *now > math.MaxInt32:
		return field.ErrorList{field.Invalid(at, *now, utilvalidation.InclusiveRangeError(0, math.MaxInt32))}, true
	case before != nil && *before < *now:
		return field.ErrorList{field.Invalid(at, *now, "must be less than or equal to previous value")}, true
	}
	return nil, false
}

func validateRemovedGates(at *field.Path, now, before []corev1.PodSchedulingGate) field.ErrorList {
	var errs field.ErrorList
	for i, g := range now {
		if !slices.Contains(before, g) && !slices.Contains(now[i+1:], g) {
			errs = append(errs, field.Forbidden(at.Index(i).Child("name"),
				fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	return errs
}

// withoutUpdatable returns the spec with the fields that may change as they were.
func withoutUpdatable(now, before *corev1.PodSpec) *corev1.PodSpec {
	s := now.DeepCopy()
	for i := range s.Containers {
		s.Containers[i].Image = before.Containers[i].Image
	}
	for i := range s.InitContainers {
		s.InitContainers[i].Image = before.InitContainers[i].Image
	}
	s.ActiveDeadlineSeconds = before.ActiveDeadlineSeconds
	s.SchedulingGates = before.SchedulingGates
	s.Tolerations = before.Tolerations
	// A negative period was once let in, and means one second.
	if was, is := before.TerminationGracePeriodSeconds, s.TerminationGracePeriodSeconds; was != nil && *was < 0 &&
		is != nil && *is == 1 {
		s.TerminationGracePeriodSeconds = was
	}
	return s
}

// validateGatedChange lets the choice of nodes become narrower while the scheduler does not consider the pod. It puts the fields
// that it judged back as they were.
func validateGatedChange(at *field.Path, s, old *corev1.PodSpec) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(old.NodeSelector)) {
		if now, ok := s.NodeSelector[key]; !ok || now != old.NodeSelector[key] {
			errs = append(errs, field.Invalid(at.Child("nodeSelector"), s.NodeSelector,
				"only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
			break
		}
	}
	s.NodeSelector = old.NodeSelector
	is, was := nodeAffinityOf(s), nodeAffinityOf(old)
	if equality.Semantic.DeepEqual(is, was) {
		return errs
	}
	errs = append(errs, validateNarrowerAffinity(at.Child("affinity", "nodeAffinity", required), is, was)...)
	switch {
	case s.Affinity == nil:
		s.Affinity = &corev1.Affinity{NodeAffinity: was}
	case old.Affinity == nil && s.Affinity.PodAffinity == nil && s.Affinity.PodAntiAffinity == nil:
		s.Affinity = nil
	default:
		s.Affinity.NodeAffinity = was
	}
	return errs
}

func nodeAffinityOf(s *corev1.PodSpec) *corev1.NodeAffinity {
	if s.Affinity == nil {
		return nil
	}
	return s.Affinity.NodeAffinity
}

func requiredTerms(n *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
	if n == nil || n.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return n.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// validateNarrowerAffinity lets requirements be added to terms. Terms are alternatives: another one would widen the choice.
func validateNarrowerAffinity(at *field.Path, is, was *corev1.NodeAffinity) field.ErrorList {
	now, before := requiredTerms(is), requiredTerms(was)
	at = at.Child("nodeSelectorTerms")
	if len(before) == 0 {
		return nil
	}
	if len(now) != len(before) {
		return field.ErrorList{field.Invalid(at, now,
			"no additions/deletions to non-empty NodeSelectorTerms list are allowed")}
	}
	var errs field.ErrorList
	for i := range before {
		if !addsOnly(&now[i], &before[i]) {
			errs = append(errs, field.Invalid(at.Index(i), now[i], "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

// addsOnly tells whether a term begins as it was. An empty term matches nothing, and must stay so.
func addsOnly(now, before *corev1.NodeSelectorTerm) bool {
	if len(before.MatchExpressions)+len(before.MatchFields) == 0 {
		return len(now.MatchExpressions)+len(now.MatchFields) == 0
	}
	begins := func(now, before []corev1.NodeSelectorRequirement) bool {
		return len(now) >= len(before) && (len(before) == 0 || equality.Semantic.DeepEqual(now[:len(before)], before))
	}
	return begins(now.MatchExpressions, before.MatchExpressions) && begins(now.MatchFields, before.MatchFields)
}

// validateImmutable is the common form of a field that stays as it was made.
func validateImmutable(at *field.Path, now, before any) field.ErrorList {
	return rule.Unchanged(at, now, before)
}
