package apps

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
)

func daemonSet() *api.Resource {
	return meta.Entry[*appsv1.DaemonSet]{
		Group:   appsv1.GroupName,
		Version: "v1", Kind: "DaemonSet", Plural: "daemonsets",
		Short:      []string{"ds"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[appsv1.DaemonSet],
		NewList:    meta.Empty[appsv1.DaemonSetList],
		Path:       "daemonsets",
		Subresources: []api.Subresource{
			meta.Status(appsv1.SchemeGroupVersion.WithKind("DaemonSet"), meta.Empty[appsv1.DaemonSet]),
		},
		Default: defaultDaemonSet,
		PrepareCreate: func(d *appsv1.DaemonSet) {
			d.Status = appsv1.DaemonSetStatus{}
			d.Generation = 1
			setTemplateGeneration(d, max(templateGeneration(d), 1))
			core.DropAlphaTemplateFields(&d.Spec.Template, nil)
		},
		PrepareUpdate: prepareDaemonSetUpdate,
		PrepareStatus: func(d, old *appsv1.DaemonSet) {
			d.Spec = old.Spec
			setTemplateGeneration(d, templateGeneration(old))
		},
		UnconditionalUpdate: true,
		Columns:             daemonSetColumns(),
		Row:                 daemonSetRow,
		Validate:            validateDaemonSet,
		ValidateUpdate:      validateDaemonSetUpdate,
		ValidateStatus:      validateDaemonSetStatus,
		Warnings:            warnDaemonSet,
	}.Resource()
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	u := &d.Spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if u.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		if u.RollingUpdate.MaxUnavailable == nil {
			u.RollingUpdate.MaxUnavailable = new(intstr.FromInt32(1))
		}
		if u.RollingUpdate.MaxSurge == nil {
			u.RollingUpdate.MaxSurge = new(intstr.FromInt32(0))
		}
	}
	if d.Spec.RevisionHistoryLimit == nil {
		d.Spec.RevisionHistoryLimit = new(int32(10))
	}
	core.DefaultPodTemplate(&d.Spec.Template)
}

// The template generation was a field of older versions of the API; apps/v1 keeps it in an annotation, which the controller uses
// to recognise pods of the days before controller revisions.

func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func setTemplateGeneration(d *appsv1.DaemonSet, n int64) {
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[appsv1.DeprecatedTemplateGeneration] = strconv.FormatInt(n, 10)
}

func prepareDaemonSetUpdate(d, old *appsv1.DaemonSet) {
	d.Status = old.Status
	core.DropAlphaTemplateFields(&d.Spec.Template, &old.Spec.Template)
	generation := templateGeneration(old)
	if !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template) {
		generation++
	}
	setTemplateGeneration(d, generation)
	if !equality.Semantic.DeepEqual(d.Spec, old.Spec) {
		d.Generation++
	}
}

func daemonSetColumns() []metav1.TableColumnDefinition {
	status := appsv1.DaemonSetStatus{}.SwaggerDoc()
	return append(append([]metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Typed("Desired", "integer", status["desiredNumberScheduled"]),
		meta.Typed("Current", "integer", status["currentNumberScheduled"]),
		meta.Typed("Ready", "integer", status["numberReady"]),
		meta.Typed("Up-to-date", "integer", status["updatedNumberScheduled"]),
		meta.Typed("Available", "integer", status["numberAvailable"]),
		meta.Column("Node Selector", corev1.PodSpec{}.SwaggerDoc()["nodeSelector"]),
		meta.AgeColumn(),
	}, meta.ContainerColumns()...), meta.Wide(meta.Column("Selector", appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"])))
}

func daemonSetRow(d *appsv1.DaemonSet, now time.Time) []any {
	names, images := meta.Containers(d.Spec.Template.Spec.Containers)
	s := &d.Status
	return []any{
		d.Name, int64(s.DesiredNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.NumberReady),
		int64(s.UpdatedNumberScheduled), int64(s.NumberAvailable), labels.FormatLabels(d.Spec.Template.Spec.NodeSelector),
		meta.Age(d, now), names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}
