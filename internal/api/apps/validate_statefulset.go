package apps

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/rule"
)

func validateStatefulSet(s *appsv1.StatefulSet) field.ErrorList {
	at, spec := specAt(), &s.Spec
	errs := validateStatefulSetSpec(spec)
	for i := range spec.VolumeClaimTemplates {
		errs = append(errs, core.ValidateClaimTemplate(at.Child("volumeClaimTemplates").Index(i).Child("spec"),
			&spec.VolumeClaimTemplates[i].Spec)...)
	}
	if spec.ServiceName != "" {
		errs = append(errs, rule.DNSLabel(at.Child("serviceName"), spec.ServiceName)...)
	}
	return append(errs, validateStatefulTemplate(spec, nil)...)
}

// validateStatefulSetSpec judges all but the templates and the service's name, which an update cannot mend.
func validateStatefulSetSpec(s *appsv1.StatefulSetSpec) field.ErrorList {
	at := specAt()
	var errs field.ErrorList
	switch s.PodManagementPolicy {
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	case "":
		errs = append(errs, field.Required(at.Child("podManagementPolicy"), ""))
	default:
		errs = append(errs, field.Invalid(at.Child("podManagementPolicy"), s.PodManagementPolicy,
			fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)))
	}
	errs = append(errs, validateStatefulSetStrategy(at.Child("updateStrategy"), &s.UpdateStrategy)...)
	if p, at := s.PersistentVolumeClaimRetentionPolicy, at.Child("persistentVolumeClaimRetentionPolicy"); p != nil {
		retain := appsv1.RetainPersistentVolumeClaimRetentionPolicyType
		remove := appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		errs = slices.Concat(errs,
			rule.OneOf(at.Child("whenDeleted"), p.WhenDeleted, retain, remove),
			rule.OneOf(at.Child("whenScaled"), p.WhenScaled, retain, remove))
	}
	errs = slices.Concat(errs,
		rule.MaybeNonNegative(at.Child("replicas"), s.Replicas),
		rule.NonNegative(at.Child("minReadySeconds"), s.MinReadySeconds))
	if s.Ordinals != nil {
		errs = append(errs, rule.NonNegative(at.Child("ordinals.start"), s.Ordinals.Start)...)
	}
	return slices.Concat(errs,
		validateOwnSelector(s.Selector, "statefulset"),
		validateSelects(s.Selector, &s.Template, ""),
		core.ValidateRestartsForever(templateAt(), &s.Template, "StatefulSet"))
}

func validateStatefulSetStrategy(at *field.Path, s *appsv1.StatefulSetUpdateStrategy) field.ErrorList {
	rolling := at.Child("rollingUpdate")
	switch s.Type {
	case "":
		return field.ErrorList{field.Required(at, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Invalid(rolling, s.RollingUpdate,
				fmt.Sprintf("only allowed for updateStrategy '%s'", appsv1.RollingUpdateStatefulSetStrategyType))}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
	default:
		return field.ErrorList{field.Invalid(at, s, fmt.Sprintf("must be '%s' or '%s'",
			appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType))}
	}
	r := s.RollingUpdate
	if r == nil {
		return nil
	}
	errs := rule.MaybeNonNegative(rolling.Child("partition"), r.Partition)
	if r.MaxUnavailable == nil {
		return errs
	}
	most := rolling.Child("maxUnavailable")
	errs = append(errs, rule.Share(most, *r.MaxUnavailable)...)
	if rule.NoShare(*r.MaxUnavailable) {
		errs = append(errs, field.Invalid(most, *r.MaxUnavailable, "cannot be 0"))
	}
	return append(errs, rule.ShareAtMostAll(most, *r.MaxUnavailable)...)
}

// validateStatefulTemplate judges the template as the pods will have it: with a volume for each claim, and host names of
// their own.
func validateStatefulTemplate(s *appsv1.StatefulSetSpec, old *corev1.PodTemplateSpec) field.ErrorList {
	t := s.Template.DeepCopy()
	t.Spec.Subdomain, t.Spec.Hostname = "", ""
	var volumes []corev1.Volume
	named := func(name string) func(corev1.PersistentVolumeClaim) bool {
		return func(c corev1.PersistentVolumeClaim) bool { return c.Name == name }
	}
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		if slices.ContainsFunc(s.VolumeClaimTemplates[:i], named(name)) {
			continue
		}
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	for _, v := range t.Spec.Volumes {
		if !slices.ContainsFunc(s.VolumeClaimTemplates, named(v.Name)) {
			volumes = append(volumes, v)
		}
	}
	t.Spec.Volumes = volumes
	return core.ValidatePodTemplate(templateAt(), t, old)
}

func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	at := specAt()
	errs := validateStatefulSetSpec(&s.Spec)
	// A template that was wrong already must not keep the set from being scaled or deleted.
	before := slices.Concat(validateStatefulSetSpec(&old.Spec), validateStatefulTemplate(&old.Spec, &old.Spec.Template))
	if len(before) == 0 {
		errs = append(errs, validateStatefulTemplate(&s.Spec, &old.Spec.Template)...)
	} else {
		errs = append(errs, core.ValidateTemplateMeta(templateAt(), &s.Spec.Template, &old.Spec.Template)...)
	}
	return slices.Concat(errs,
		rule.Unchanged(at.Child("selector"), s.Spec.Selector, old.Spec.Selector),
		rule.Unchanged(at.Child("volumeClaimTemplates"), s.Spec.VolumeClaimTemplates, old.Spec.VolumeClaimTemplates),
		rule.Unchanged(at.Child("serviceName"), s.Spec.ServiceName, old.Spec.ServiceName),
		rule.Unchanged(at.Child("podManagementPolicy"), s.Spec.PodManagementPolicy, old.Spec.PodManagementPolicy))
}

func validateStatefulSetStatus(set, old *appsv1.StatefulSet) field.ErrorList {
	at, s := statusAt(), &set.Status
	return slices.Concat(
		rule.NonNegative(at.Child("replicas"), s.Replicas),
		rule.NonNegative(at.Child("readyReplicas"), s.ReadyReplicas),
		rule.NonNegative(at.Child("currentReplicas"), s.CurrentReplicas),
		rule.NonNegative(at.Child("updatedReplicas"), s.UpdatedReplicas),
		rule.NonNegative(at.Child("availableReplicas"), s.AvailableReplicas),
		rule.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration),
		rule.MaybeNonNegative(at.Child("collisionCount"), s.CollisionCount),
		rule.NotAbove(at.Child("readyReplicas"), s.ReadyReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("currentReplicas"), s.CurrentReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("updatedReplicas"), s.UpdatedReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.Replicas, "status.replicas"),
		rule.NotAbove(at.Child("availableReplicas"), s.AvailableReplicas, s.ReadyReplicas, "status.readyReplicas"),
		rule.NotDecremented(at.Child("collisionCount"), s.CollisionCount, old.Status.CollisionCount))
}

func warnStatefulSet(s, old *appsv1.StatefulSet) []string {
	var before int64 = -1
	if old != nil {
		before = old.Generation
	}
	out := warnTemplate(&s.Spec.Template, s.Generation, before)
	for i := range s.Spec.VolumeClaimTemplates {
		at := specAt().Child("volumeClaimTemplates").Index(i)
		out = append(out, core.WarnClaimSpec(at, &s.Spec.VolumeClaimTemplates[i].Spec)...)
	}
	if n := s.Spec.RevisionHistoryLimit; n != nil && *n < 0 {
		out = append(out,
			"spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return out
}
