package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func podTemplate() *api.Resource {
	return meta.Entry[*corev1.PodTemplate]{
		Version: "v1", Kind: "PodTemplate", Plural: "podtemplates",
		Namespaced: true,
		New:        meta.New[corev1.PodTemplate],
		NewList:    meta.Empty[corev1.PodTemplateList],
		Path:       "podtemplates",
		Default:    func(t *corev1.PodTemplate) { DefaultPodTemplate(&t.Template) },
		PrepareCreate: func(t *corev1.PodTemplate) {
			t.Generation = 1
			DropAlphaTemplateFields(&t.Template, nil)
		},
		PrepareUpdate: func(t, old *corev1.PodTemplate) {
			DropAlphaTemplateFields(&t.Template, &old.Template)
			if !equality.Semantic.DeepEqual(t.Template, old.Template) {
				t.Generation++
			}
		},
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Containers", "The names of the template's containers."),
			meta.Column("Images", "The images of the template's containers."),
			meta.Column("Pod Labels", "The labels of the template's pods."),
		},
		Row: func(t *corev1.PodTemplate, _ time.Time) []any {
			names, images := meta.Containers(t.Template.Spec.Containers)
			return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
		},
		Validate:       validatePodTemplateObject,
		ValidateUpdate: validatePodTemplateUpdate,
		Warnings:       warnPodTemplateObject,
	}.Resource()
}
