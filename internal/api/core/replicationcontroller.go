package core

import (
	"maps"
	"strconv"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func replicationController() *api.Resource {
	return meta.Entry[*corev1.ReplicationController]{
		Version: "v1", Kind: "ReplicationController", Plural: "replicationcontrollers",
		Short:      []string{"rc"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[corev1.ReplicationController],
		NewList:    meta.Empty[corev1.ReplicationControllerList],
		Path:       "controllers",
		Subresources: []api.Subresource{
			meta.ScaleSubresource(),
			meta.Status(corev1.SchemeGroupVersion.WithKind("ReplicationController"), meta.Empty[corev1.ReplicationController]),
		},
		Default: defaultReplicationController,
		PrepareCreate: func(c *corev1.ReplicationController) {
			c.Status = corev1.ReplicationControllerStatus{}
			c.Generation = 1
			if c.Spec.Template != nil {
				DropAlphaTemplateFields(c.Spec.Template, nil)
			}
		},
		PrepareUpdate: func(c, old *corev1.ReplicationController) {
			c.Status = old.Status
			if c.Spec.Template != nil {
				DropAlphaTemplateFields(c.Spec.Template, old.Spec.Template)
			}
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation++
			}
		},
		PrepareStatus:       func(c, old *corev1.ReplicationController) { c.Spec = old.Spec },
		UnconditionalUpdate: true,
		OrphanByDefault:     true,
		Columns:             replicationControllerColumns(),
		Row:                 replicationControllerRow,
		Fields: func(c *corev1.ReplicationController) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(c.Status.Replicas))}
		},
		Scale: &api.Scale{Get: replicationControllerScale, Set: func(obj api.Object, replicas int32) {
			obj.(*corev1.ReplicationController).Spec.Replicas = &replicas
		}},
		Validate:       validateReplicationController,
		ValidateUpdate: validateReplicationControllerUpdate,
		ValidateStatus: validateReplicationControllerStatus,
		Warnings:       warnReplicationController,
	}.Resource()
}

func defaultReplicationController(c *corev1.ReplicationController) {
	if c.Spec.Replicas == nil {
		c.Spec.Replicas = new(int32(1))
	}
	if c.Spec.Template == nil {
		return
	}
	if own := c.Spec.Template.Labels; own != nil {
		if len(c.Spec.Selector) == 0 {
			c.Spec.Selector = maps.Clone(own)
		}
		if len(c.Labels) == 0 {
			c.Labels = maps.Clone(own)
		}
	}
	DefaultPodTemplate(c.Spec.Template)
}

func replicationControllerScale(obj api.Object) *autoscalingv1.Scale {
	c := obj.(*corev1.ReplicationController)
	return meta.NewScale(c, meta.Deref(c.Spec.Replicas), c.Status.Replicas, labels.Set(c.Spec.Selector).AsSelector().String())
}

func replicationControllerColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.ReplicationControllerSpec{}.SwaggerDoc(), corev1.ReplicationControllerStatus{}.SwaggerDoc()
	return append(append([]metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Typed("Desired", "integer", spec["replicas"]),
		meta.Typed("Current", "integer", status["replicas"]),
		meta.Typed("Ready", "integer", status["readyReplicas"]),
		meta.AgeColumn(),
	}, meta.ContainerColumns()...), meta.Wide(meta.Column("Selector", spec["selector"])))
}

func replicationControllerRow(c *corev1.ReplicationController, now time.Time) []any {
	names, images := "", ""
	if c.Spec.Template != nil {
		names, images = meta.Containers(c.Spec.Template.Spec.Containers)
	}
	return []any{
		c.Name, int64(meta.Deref(c.Spec.Replicas)), int64(c.Status.Replicas), int64(c.Status.ReadyReplicas), meta.Age(c, now),
		names, images, labels.FormatLabels(c.Spec.Selector),
	}
}
