package batch

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func cronJob() *api.Resource {
	return meta.Entry[*batchv1.CronJob]{
		Group:   batchv1.GroupName,
		Version: "v1", Kind: "CronJob", Plural: "cronjobs",
		Short:      []string{"cj"},
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[batchv1.CronJob],
		NewList:    meta.Empty[batchv1.CronJobList],
		Path:       "cronjobs",
		Subresources: []api.Subresource{
			meta.Status(batchv1.SchemeGroupVersion.WithKind("CronJob"), meta.Empty[batchv1.CronJob]),
		},
		Default: defaultCronJob,
		PrepareCreate: func(c *batchv1.CronJob) {
			c.Status = batchv1.CronJobStatus{}
			c.Generation = 1
			dropAlpha(&c.Spec.JobTemplate.Spec, nil)
		},
		PrepareUpdate: func(c, old *batchv1.CronJob) {
			c.Status = old.Status
			dropAlpha(&c.Spec.JobTemplate.Spec, &old.Spec.JobTemplate.Spec)
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation++
			}
		},
		PrepareStatus:       func(c, old *batchv1.CronJob) { c.Spec = old.Spec },
		UnconditionalUpdate: true,
		Columns:             cronJobColumns(),
		Row:                 cronJobRow,
		Validate:            validateCronJob,
		ValidateUpdate:      validateCronJobUpdate,
		Warnings:            warnCronJob,
	}.Resource()
}

func defaultCronJob(c *batchv1.CronJob) {
	s := &c.Spec
	if s.ConcurrencyPolicy == "" {
		s.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	if s.Suspend == nil {
		s.Suspend = new(false)
	}
	if s.SuccessfulJobsHistoryLimit == nil {
		s.SuccessfulJobsHistoryLimit = new(int32(3))
	}
	if s.FailedJobsHistoryLimit == nil {
		s.FailedJobsHistoryLimit = new(int32(1))
	}
	defaultJobSpec(&s.JobTemplate.Spec)
}

func cronJobColumns() []metav1.TableColumnDefinition {
	spec, status := batchv1.CronJobSpec{}.SwaggerDoc(), batchv1.CronJobStatus{}.SwaggerDoc()
	return append(append([]metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Schedule", spec["schedule"]),
		meta.Column("Timezone", spec["timeZone"]),
		meta.Typed("Suspend", "boolean", spec["suspend"]),
		meta.Typed("Active", "integer", status["active"]),
		meta.Column("Last Schedule", status["lastScheduleTime"]),
		meta.AgeColumn(),
	}, meta.ContainerColumns()...), meta.Wide(meta.Column("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"])))
}

func cronJobRow(c *batchv1.CronJob, now time.Time) []any {
	zone, last, suspend := meta.None, meta.None, meta.Unset
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	if c.Status.LastScheduleTime != nil {
		last = meta.Since(*c.Status.LastScheduleTime, now)
	}
	if c.Spec.Suspend != nil {
		suspend = "False"
		if *c.Spec.Suspend {
			suspend = "True"
		}
	}
	names, images := meta.Containers(c.Spec.JobTemplate.Spec.Template.Spec.Containers)
	return []any{
		c.Name, c.Spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, meta.Age(c, now), names, images,
		metav1.FormatLabelSelector(c.Spec.JobTemplate.Spec.Selector),
	}
}
