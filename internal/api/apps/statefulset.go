package apps

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
)

func statefulSet() *api.Resource {
	return meta.Entry[*appsv1.StatefulSet]{
		Group:   appsv1.GroupName,
		Version: "v1", Kind: "StatefulSet", Plural: "statefulsets",
		Short:      []string{"sts"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[appsv1.StatefulSet],
		NewList:    meta.Empty[appsv1.StatefulSetList],
		Path:       "statefulsets",
		Subresources: []api.Subresource{
			meta.ScaleSubresource(),
			meta.Status(appsv1.SchemeGroupVersion.WithKind("StatefulSet"), meta.Empty[appsv1.StatefulSet]),
		},
		Default: defaultStatefulSet,
		PrepareCreate: func(s *appsv1.StatefulSet) {
			s.Status = appsv1.StatefulSetStatus{}
			s.Generation = 1
			core.DropAlphaTemplateFields(&s.Spec.Template, nil)
		},
		PrepareUpdate: func(s, old *appsv1.StatefulSet) {
			s.Status = old.Status
			core.DropAlphaTemplateFields(&s.Spec.Template, &old.Spec.Template)
			if !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
				s.Generation++
			}
		},
		PrepareStatus:       func(s, old *appsv1.StatefulSet) { s.Spec = old.Spec },
		Name:                meta.DNSLabel,
		UnconditionalUpdate: true,
		Columns: append([]metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Ready", "How many pods are ready, of how many wanted."),
			meta.AgeColumn(),
		}, meta.ContainerColumns()...),
		Row: func(s *appsv1.StatefulSet, now time.Time) []any {
			names, images := meta.Containers(s.Spec.Template.Spec.Containers)
			ready := fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, meta.Deref(s.Spec.Replicas))
			return []any{s.Name, ready, meta.Age(s, now), names, images}
		},
		Scale: &api.Scale{Get: statefulSetScale, Set: func(obj api.Object, replicas int32) {
			obj.(*appsv1.StatefulSet).Spec.Replicas = &replicas
		}},
		Validate:       validateStatefulSet,
		ValidateUpdate: validateStatefulSetUpdate,
		ValidateStatus: validateStatefulSetStatus,
		Warnings:       warnStatefulSet,
	}.Resource()
}

func defaultStatefulSet(set *appsv1.StatefulSet) {
	s := &set.Spec
	if s.PodManagementPolicy == "" {
		s.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	u := &s.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	// A rolling update that was named without parameters keeps none.
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		if u.RollingUpdate.Partition == nil {
			u.RollingUpdate.Partition = new(int32(0))
		}
		if u.RollingUpdate.MaxUnavailable == nil {
			u.RollingUpdate.MaxUnavailable = new(intstr.FromInt32(1))
		}
	}
	if s.PersistentVolumeClaimRetentionPolicy == nil {
		s.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p.WhenDeleted == "" {
		p.WhenDeleted = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p.WhenScaled == "" {
		p.WhenScaled = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if s.Replicas == nil {
		s.Replicas = new(int32(1))
	}
	if s.RevisionHistoryLimit == nil {
		s.RevisionHistoryLimit = new(int32(10))
	}
	core.DefaultPodTemplate(&s.Template)
	for i := range s.VolumeClaimTemplates {
		t := &s.VolumeClaimTemplates[i]
		// Templates have always been stored with their kind.
		if t.APIVersion == "" {
			t.APIVersion = "v1"
		}
		if t.Kind == "" {
			t.Kind = "PersistentVolumeClaim"
		}
		core.DefaultPersistentVolumeClaim(t)
	}
}

func statefulSetScale(obj api.Object) *autoscalingv1.Scale {
	s := obj.(*appsv1.StatefulSet)
	return meta.NewScale(s, meta.Deref(s.Spec.Replicas), s.Status.Replicas, selectorText(s.Spec.Selector))
}
