package apps

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
)

func replicaSet() *api.Resource {
	return meta.Entry[*appsv1.ReplicaSet]{
		Group:   appsv1.GroupName,
		Version: "v1", Kind: "ReplicaSet", Plural: "replicasets",
		Short:      []string{"rs"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[appsv1.ReplicaSet],
		NewList:    meta.Empty[appsv1.ReplicaSetList],
		Path:       "replicasets",
		Subresources: []api.Subresource{
			meta.ScaleSubresource(),
			meta.Status(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), meta.Empty[appsv1.ReplicaSet]),
		},
		Default: func(r *appsv1.ReplicaSet) {
			if r.Spec.Replicas == nil {
				r.Spec.Replicas = new(int32(1))
			}
			core.DefaultPodTemplate(&r.Spec.Template)
		},
		PrepareCreate: func(r *appsv1.ReplicaSet) {
			r.Status = appsv1.ReplicaSetStatus{}
			r.Generation = 1
			core.DropAlphaTemplateFields(&r.Spec.Template, nil)
		},
		PrepareUpdate: func(r, old *appsv1.ReplicaSet) {
			r.Status = old.Status
			core.DropAlphaTemplateFields(&r.Spec.Template, &old.Spec.Template)
			if !equality.Semantic.DeepEqual(r.Spec, old.Spec) {
				r.Generation++
			}
		},
		PrepareStatus:       func(r, old *appsv1.ReplicaSet) { r.Spec = old.Spec },
		UnconditionalUpdate: true,
		Columns:             replicaSetColumns(),
		Row:                 replicaSetRow,
		Fields: func(r *appsv1.ReplicaSet) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(r.Status.Replicas))}
		},
		Scale: &api.Scale{Get: replicaSetScale, Set: func(obj api.Object, replicas int32) {
			obj.(*appsv1.ReplicaSet).Spec.Replicas = &replicas
		}},
		Validate:       validateReplicaSet,
		ValidateUpdate: validateReplicaSetUpdate,
		ValidateStatus: validateReplicaSetStatus,
		Warnings:       warnReplicaSet,
	}.Resource()
}

func replicaSetScale(obj api.Object) *autoscalingv1.Scale {
	r := obj.(*appsv1.ReplicaSet)
	return meta.NewScale(r, meta.Deref(r.Spec.Replicas), r.Status.Replicas, selectorText(r.Spec.Selector))
}

func replicaSetColumns() []metav1.TableColumnDefinition {
	spec, status := appsv1.ReplicaSetSpec{}.SwaggerDoc(), appsv1.ReplicaSetStatus{}.SwaggerDoc()
	return append(append([]metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Typed("Desired", "integer", spec["replicas"]),
		meta.Typed("Current", "integer", status["replicas"]),
		meta.Typed("Ready", "integer", status["readyReplicas"]),
		meta.AgeColumn(),
	}, meta.ContainerColumns()...), meta.Wide(meta.Column("Selector", spec["selector"])))
}

func replicaSetRow(r *appsv1.ReplicaSet, now time.Time) []any {
	names, images := meta.Containers(r.Spec.Template.Spec.Containers)
	return []any{
		r.Name, int64(meta.Deref(r.Spec.Replicas)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas), meta.Age(r, now),
		names, images, metav1.FormatLabelSelector(r.Spec.Selector),
	}
}
