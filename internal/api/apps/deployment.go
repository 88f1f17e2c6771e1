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

func deployment() *api.Resource {
	return meta.Entry[*appsv1.Deployment]{
		Group:   appsv1.GroupName,
		Version: "v1", Kind: "Deployment", Plural: "deployments",
		Short:      []string{"deploy"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[appsv1.Deployment],
		NewList:    meta.Empty[appsv1.DeploymentList],
		Path:       "deployments",
		Subresources: []api.Subresource{
			meta.ScaleSubresource(),
			meta.Status(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.Empty[appsv1.Deployment],
				"spec", "metadata.labels"),
		},
		Default: defaultDeployment,
		PrepareCreate: func(d *appsv1.Deployment) {
			d.Status = appsv1.DeploymentStatus{}
			d.Generation = 1
			core.DropAlphaTemplateFields(&d.Spec.Template, nil)
		},
		PrepareUpdate: func(d, old *appsv1.Deployment) {
			d.Status = old.Status
			core.DropAlphaTemplateFields(&d.Spec.Template, &old.Spec.Template)
			// Annotations count: the controller copies them to replica sets.
			if !equality.Semantic.DeepEqual(d.Spec, old.Spec) ||
				!equality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
				d.Generation++
			}
		},
		PrepareStatus: func(d, old *appsv1.Deployment) {
			d.Spec = old.Spec
			d.Labels = old.Labels
		},
		UnconditionalUpdate: true,
		Columns:             deploymentColumns(),
		Row:                 deploymentRow,
		Scale: &api.Scale{Get: deploymentScale, Set: func(obj api.Object, replicas int32) {
			obj.(*appsv1.Deployment).Spec.Replicas = &replicas
		}},
		Validate:       validateDeployment,
		ValidateUpdate: validateDeploymentUpdate,
		ValidateStatus: validateDeploymentStatus,
		Warnings:       warnDeployment,
	}.Resource()
}

func defaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	if s.Replicas == nil {
		s.Replicas = new(int32(1))
	}
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.Strategy.RollingUpdate == nil {
			s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		r := s.Strategy.RollingUpdate
		if r.MaxUnavailable == nil {
			r.MaxUnavailable = new(intstr.FromString("25%"))
		}
		if r.MaxSurge == nil {
			r.MaxSurge = new(intstr.FromString("25%"))
		}
	}
	if s.RevisionHistoryLimit == nil {
		s.RevisionHistoryLimit = new(int32(10))
	}
	if s.ProgressDeadlineSeconds == nil {
		s.ProgressDeadlineSeconds = new(int32(600))
	}
	core.DefaultPodTemplate(&s.Template)
}

func deploymentScale(obj api.Object) *autoscalingv1.Scale {
	d := obj.(*appsv1.Deployment)
	return meta.NewScale(d, meta.Deref(d.Spec.Replicas), d.Status.Replicas, selectorText(d.Spec.Selector))
}

// selectorText writes a selector as the scale subresource and tables carry it; an invalid one, which validation does not let in,
// is empty.
func selectorText(s *metav1.LabelSelector) string {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return ""
	}
	return sel.String()
}

func deploymentColumns() []metav1.TableColumnDefinition {
	status := appsv1.DeploymentStatus{}.SwaggerDoc()
	return append(append([]metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Ready", "How many pods are ready, of how many wanted."),
		meta.Column("Up-to-date", status["updatedReplicas"]),
		meta.Column("Available", status["availableReplicas"]),
		meta.AgeColumn(),
	}, meta.ContainerColumns()...), meta.Wide(meta.Column("Selector", appsv1.DeploymentSpec{}.SwaggerDoc()["selector"])))
}

func deploymentRow(d *appsv1.Deployment, now time.Time) []any {
	names, images := meta.Containers(d.Spec.Template.Spec.Containers)
	return []any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, meta.Deref(d.Spec.Replicas)), int64(d.Status.UpdatedReplicas),
		int64(d.Status.AvailableReplicas), meta.Age(d, now), names, images, selectorText(d.Spec.Selector),
	}
}
