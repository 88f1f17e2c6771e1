package batch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestJobRows(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(-d)} }
	conditions := func(types ...batchv1.JobConditionType) []batchv1.JobCondition {
		var out []batchv1.JobCondition
		for _, c := range types {
			out = append(out, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue})
		}
		return out
	}
	for want, j := range map[string]*batchv1.Job{
		"Running 0/1 ": {},
		"Running 1/3 2m": {
			Spec:   batchv1.JobSpec{Completions: new(int32(3))},
			Status: batchv1.JobStatus{Succeeded: 1, StartTime: at(2 * time.Minute)},
		},
		"Complete 3/3 90s": {
			Spec: batchv1.JobSpec{Completions: new(int32(3))},
			Status: batchv1.JobStatus{
				Succeeded: 3, StartTime: at(2 * time.Hour), CompletionTime: at(2*time.Hour - 90*time.Second),
				Conditions: conditions(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete),
			},
		},
		"Failed 2/1 of 4 ": {
			Spec:   batchv1.JobSpec{Parallelism: new(int32(4))},
			Status: batchv1.JobStatus{Succeeded: 2, Conditions: conditions(batchv1.JobFailureTarget, batchv1.JobFailed)},
		},
		"Suspended 0/1 ":     {Status: batchv1.JobStatus{Conditions: conditions(batchv1.JobSuspended)}},
		"FailureTarget 0/1 ": {Status: batchv1.JobStatus{Conditions: conditions(batchv1.JobFailureTarget)}},
		"Terminating 0/1 ":   {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: at(0)}},
	} {
		row := jobRow(j, now)
		if got := strings.TrimSuffix(fmt.Sprintln(row[1:4]...), "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestJobLabelsFollowTemplate: a job without labels takes its template's, those of the selector included.
func TestJobLabelsFollowTemplate(t *testing.T) {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u"}}
	j.Spec.Template.Labels = map[string]string{"app": "x"}
	defaultJob(j)
	generateSelector(j)
	if j.Labels["app"] != "x" || j.Labels[batchv1.JobNameLabel] != "a" {
		t.Errorf("labels %v", j.Labels)
	}
	own := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", Labels: map[string]string{"own": "y"}}}
	own.Spec.Template.Labels = map[string]string{"app": "x"}
	defaultJob(own)
	generateSelector(own)
	if len(own.Labels) != 1 {
		t.Errorf("labels %v", own.Labels)
	}
}
