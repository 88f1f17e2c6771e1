package batch

import (
	"fmt"
	"math"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/meta"
)

func job() *api.Resource {
	return meta.Entry[*batchv1.Job]{
		Group:   batchv1.GroupName,
		Version: "v1", Kind: "Job", Plural: "jobs",
		Categories: []string{"all"},
		Namespaced: true,
		New:        meta.New[batchv1.Job],
		NewList:    meta.Empty[batchv1.JobList],
		Path:       "jobs",
		Subresources: []api.Subresource{
			meta.Status(batchv1.SchemeGroupVersion.WithKind("Job"), meta.Empty[batchv1.Job]),
		},
		Default: defaultJob,
		PrepareCreate: func(j *batchv1.Job) {
			if !meta.Deref(j.Spec.ManualSelector) {
				generateSelector(j)
			}
			j.Status = batchv1.JobStatus{}
			j.Generation = 1
			dropAlpha(&j.Spec, nil)
		},
		PrepareUpdate: func(j, old *batchv1.Job) {
			j.Status = old.Status
			dropAlpha(&j.Spec, &old.Spec)
			if !equality.Semantic.DeepEqual(j.Spec, old.Spec) {
				j.Generation++
			}
		},
		PrepareStatus:       func(j, old *batchv1.Job) { j.Spec = old.Spec },
		UnconditionalUpdate: true,
		OrphanByDefault:     true,
		Columns:             jobColumns(),
		Row:                 jobRow,
		Fields: func(j *batchv1.Job) fields.Set {
			return fields.Set{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
		},
		Validate:       validateJob,
		ValidateUpdate: validateJobUpdate,
		ValidateStatus: validateJobStatus,
		Warnings:       warnJob,
	}.Resource()
}

func defaultJob(j *batchv1.Job) {
	s := &j.Spec
	// Completions stay open when only the parallelism is given: then any success completes the job.
	if s.Completions == nil && s.Parallelism == nil {
		s.Completions = new(int32(1))
	}
	if s.Parallelism == nil {
		s.Parallelism = new(int32(1))
	}
	if s.BackoffLimit == nil {
		s.BackoffLimit = new(int32(6))
		if s.BackoffLimitPerIndex != nil {
			s.BackoffLimit = new(int32(math.MaxInt32))
		}
	}
	// The same map on purpose, as upstream has it: labels that generateSelector adds to the template are the job's as well.
	if len(j.Labels) == 0 && s.Template.Labels != nil {
		j.Labels = s.Template.Labels
	}
	if s.CompletionMode == nil {
		s.CompletionMode = new(batchv1.NonIndexedCompletion)
	}
	if s.Suspend == nil {
		s.Suspend = new(false)
	}
	if s.PodReplacementPolicy == nil {
		s.PodReplacementPolicy = new(batchv1.TerminatingOrFailed)
		if s.PodFailurePolicy != nil {
			s.PodReplacementPolicy = new(batchv1.Failed)
		}
	}
	if s.ManualSelector == nil {
		s.ManualSelector = new(false)
	}
	defaultJobSpec(s)
}

// defaultJobSpec fills in what jobs and the job templates of cron jobs have in common.
func defaultJobSpec(s *batchv1.JobSpec) {
	if s.PodFailurePolicy != nil {
		for i := range s.PodFailurePolicy.Rules {
			conditions := s.PodFailurePolicy.Rules[i].OnPodConditions
			for k := range conditions {
				if conditions[k].Status == "" {
					conditions[k].Status = corev1.ConditionTrue
				}
			}
		}
	}
	core.DefaultPodTemplate(&s.Template)
}

// dropAlpha drops the fields of alpha features from a job's spec; old is nil on create.
func dropAlpha(s, old *batchv1.JobSpec) {
	if old == nil {
		s.Scheduling = nil
		core.DropAlphaTemplateFields(&s.Template, nil)
		return
	}
	if old.Scheduling == nil {
		s.Scheduling = nil
	}
	core.DropAlphaTemplateFields(&s.Template, &old.Template)
}

// generateSelector makes the job select the pods that carry its UID, and labels its template so. Labels that are there already
// are left for validation to judge. The UID must have been set.
func generateSelector(j *batchv1.Job) {
	t := &j.Spec.Template
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	for key, value := range map[string]string{
		"job-name":                 j.Name,
		batchv1.JobNameLabel:       j.Name,
		"controller-uid":           string(j.UID),
		batchv1.ControllerUidLabel: string(j.UID),
	} {
		if _, ok := t.Labels[key]; !ok {
			t.Labels[key] = value
		}
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if m := j.Spec.Selector.MatchLabels; m[batchv1.ControllerUidLabel] == "" {
		m[batchv1.ControllerUidLabel] = string(j.UID)
	}
}

func jobColumns() []metav1.TableColumnDefinition {
	return append(append([]metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Status", "Whether the job runs, is suspended, or how it ended."),
		meta.Column("Completions", batchv1.JobStatus{}.SwaggerDoc()["succeeded"]),
		meta.Column("Duration", "How long the job took, or has taken so far."),
		meta.AgeColumn(),
	}, meta.ContainerColumns()...), meta.Wide(meta.Column("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"])))
}

func jobRow(j *batchv1.Job, now time.Time) []any {
	took := ""
	if start := j.Status.StartTime; start != nil {
		end := now
		if j.Status.CompletionTime != nil {
			end = j.Status.CompletionTime.Time
		}
		took = duration.HumanDuration(end.Sub(start.Time))
	}
	names, images := meta.Containers(j.Spec.Template.Spec.Containers)
	return []any{
		j.Name, jobStatus(j), completions(j), took, meta.Age(j, now), names, images, metav1.FormatLabelSelector(j.Spec.Selector),
	}
}

func completions(j *batchv1.Job) string {
	switch parallelism := meta.Deref(j.Spec.Parallelism); {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case parallelism > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallelism)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobStatus(j *batchv1.Job) string {
	is := func(t batchv1.JobConditionType) bool {
		for i := range j.Status.Conditions {
			if j.Status.Conditions[i].Type == t {
				return j.Status.Conditions[i].Status == corev1.ConditionTrue
			}
		}
		return false
	}
	switch {
	case is(batchv1.JobComplete):
		return "Complete"
	case is(batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case is(batchv1.JobSuspended):
		return "Suspended"
	case is(batchv1.JobFailureTarget):
		return "FailureTarget"
	case is(batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}
