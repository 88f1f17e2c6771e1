package job

import (
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// indexEnv is the variable that tells a container its index.
const indexEnv = "JOB_COMPLETION_INDEX"

// manage brings the number of running pods to what is asked. It either deletes or creates; deleting goes first.
func (s *sync) manage() {
	if s.suspended() {
		s.deletes = s.deletions(s.active)
		return
	}
	want := s.wanted()
	if surplus := s.surplus(len(s.active) - want); len(surplus) > 0 {
		s.deletes = s.deletions(surplus)
		return
	}
	missing := want - len(s.active)
	if s.onlyReplaceFailed() {
		missing -= len(s.terminating)
	}
	missing = min(missing, most)
	if missing <= 0 {
		return
	}
	if !s.perIndex() {
		if wait := s.backoff(); wait > 0 {
			s.p.Again(wait)
			return
		}
	}
	if !s.indexed() {
		for range missing {
			s.creates = append(s.creates, s.creation(-1))
		}
		return
	}
	pending := s.pending(missing)
	if s.perIndex() {
		pending = s.due(pending)
	}
	for _, i := range pending {
		s.creates = append(s.creates, s.creation(i))
	}
}

// wanted is how many pods should run. A job without a number of completions stops making pods after the first success.
func (s *sync) wanted() int {
	parallelism := 1
	if n := s.job.Spec.Parallelism; n != nil {
		parallelism = int(*n)
	}
	if s.job.Spec.Completions == nil {
		if s.succeeded > 0 {
			return len(s.active)
		}
		return parallelism
	}
	return max(0, min(s.completions()-int(s.succeeded), parallelism))
}

// surplus returns at least n running pods to delete: of an indexed job all with a bad index and all but one of each index,
// then those that do least work.
func (s *sync) surplus(n int) []*corev1.Pod {
	n = max(n, 0)
	ranked := pods.DeleteFirst(s.active, nil, s.now)
	var out, left []*corev1.Pod
	if s.indexed() {
		kept := map[int]bool{}
		for _, pod := range slices.Backward(ranked) { // the best of each index stays
			i := indexOf(pod)
			if i < 0 || i >= s.completions() || kept[i] {
				out = append(out, pod)
				continue
			}
			kept[i] = true
			left = append(left, pod)
		}
		slices.Reverse(left)
	} else {
		left = ranked
	}
	if more := n - len(out); more > 0 {
		out = append(out, left[:more]...)
	}
	return out[:min(len(out), most)]
}

func (s *sync) deletions(list []*corev1.Pod) []reconcile.Write {
	ref := reconcile.Ref(kinds.Job(), s.job)
	writes := make([]reconcile.Write, 0, len(list))
	for _, pod := range list {
		writes = append(writes, pods.Deleting(pod, ref))
	}
	return writes
}

// creation returns the write that creates a pod, for an index or (when negative) without.
func (s *sync) creation(index int) reconcile.Write {
	pod := pods.FromTemplate(&s.job.Spec.Template, s.job, kinds.Job())
	if !tracked(pod) {
		pod.Finalizers = append(pod.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if index >= 0 {
		s.giveIndex(pod, index)
	}
	return pods.Creating(pod, reconcile.Ref(kinds.Job(), s.job))
}

// giveIndex tells the pod its index: by name, hostname, label, annotation and variable.
func (s *sync) giveIndex(pod *corev1.Pod, index int) {
	text := strconv.Itoa(index)
	pod.GenerateName = fmt.Sprintf("%s-%d-", s.job.Name, index)
	// A generated name ends with five characters and should fit into 63 altogether.
	if over := len(pod.GenerateName) - (63 - 5); over > 0 {
		suffix := fmt.Sprintf("-%d-", index)
		pod.GenerateName = s.job.Name[:len(s.job.Name)-over] + suffix
	}
	pod.Spec.Hostname = fmt.Sprintf("%s-%d", s.job.Name, index)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Labels[batchv1.JobCompletionIndexAnnotation] = text
	pod.Annotations[batchv1.JobCompletionIndexAnnotation] = text
	if s.perIndex() {
		counted, ignored := s.failuresBefore(s.delayed[index])
		pod.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(counted)
		if ignored > 0 {
			pod.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(ignored)
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			addIndexEnv(&list[i])
		}
	}
}

func addIndexEnv(c *corev1.Container) {
	if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == indexEnv }) {
		return
	}
	path := fmt.Sprintf("metadata.labels['%s']", batchv1.JobCompletionIndexAnnotation)
	c.Env = append(c.Env, corev1.EnvVar{
		Name: indexEnv, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}},
	})
}
