package e2e

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestJobs(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	s.apply("jobs.yaml")

	s.part("completes", func(s *space) {
		s.kubectl("wait", "job/greeter", "--for=condition=complete", "--timeout=90s")
		lines := strings.Split(strings.TrimSpace(s.kubectl("logs", "-l", "app=greeter")), "\n")
		slices.Sort(lines)
		if want := []string{"hello from 0", "hello from 1", "hello from 2"}; !slices.Equal(lines, want) {
			s.Errorf("the pods said %q", lines)
		}
		if job := s.job("greeter"); job.Status.Succeeded != 3 || job.Status.Failed != 0 || job.Status.CompletedIndexes != "0-2" ||
			job.Status.CompletionTime == nil {
			s.Errorf("the status is %+v", job.Status)
		}
		for _, pod := range s.pods("three pods", "greeter", func(list []*corev1.Pod) bool { return len(list) == 3 }) {
			if pod.Status.Phase != corev1.PodSucceeded || slices.Contains(pod.Finalizers, batchv1.JobTrackingFinalizer) {
				s.Errorf("%s is %s with finalizers %v", pod.Name, pod.Status.Phase, pod.Finalizers)
			}
		}
	})
	s.part("started by hand from a cron job", func(s *space) {
		s.kubectl("create", "job", "tonight", "--from=cronjob/nightly")
		s.kubectl("wait", "job/tonight", "--for=condition=complete", "--timeout=90s")
		s.holds(s.kubectl("logs", "job/tonight"), "good night")
	})
	s.part("fails at its limit", func(s *space) {
		s.kubectl("wait", "job/failing", "--for=condition=failed", "--timeout=90s")
		job := s.job("failing")
		if job.Status.Failed != 2 || job.Status.Succeeded != 0 {
			s.Errorf("the status is %+v", job.Status)
		}
		for _, c := range job.Status.Conditions {
			if c.Type == batchv1.JobFailed && c.Reason != batchv1.JobReasonBackoffLimitExceeded {
				s.Errorf("the reason is %s", c.Reason)
			}
		}
		s.holds(s.kubectl("describe", "job/failing"), "BackoffLimitExceeded")
	})
	s.part("takes its pods with it", func(s *space) {
		s.kubectl("delete", "job/greeter", "--timeout=90s")
		s.pods("no pods", "greeter", func(list []*corev1.Pod) bool { return len(list) == 0 })
	})
}

func (s *space) job(name string) *batchv1.Job {
	s.Helper()
	job, err := s.BatchV1().Jobs(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return job
}
