package job

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/owner"
	"coracle.dev/coracle/internal/reconcile/pods"
)

// most is how many pods one plan creates or deletes, and how many uncounted pods the status holds, at most.
const most = 500

// sync is one reconcile at work.
type sync struct {
	p   *reconcile.Plan
	now time.Time
	job *batchv1.Job // a copy, whose status is changed

	pods, active, terminating []*corev1.Pod
	// uncounted are the UIDs in the status, by how the pods ended.
	uncountedSucceeded, uncountedFailed map[types.UID]bool
	succeeded, failed                   int32

	// Of indexed jobs: indexes that had succeeded by the status, and that have by now; those that failed for good; and for each
	// index to be tried again the failed pod that must stay until its successor has taken over its failure count.
	before, done, lost intervals
	delayed            map[int]*corev1.Pod

	end     *batchv1.JobCondition
	ended   *reconcile.Event
	deletes []reconcile.Write
	creates []reconcile.Write
	release []*corev1.Pod // pods whose finalizer goes
}

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	read, ok := reconcile.Get[*batchv1.Job](v, kinds.Jobs(), key.Namespace, key.Name)
	if !ok {
		freeOrphans(&p, v, key, "")
		return p, nil
	}
	if by := read.Spec.ManagedBy; by != nil && *by != batchv1.JobControllerName {
		return p, nil
	}
	if finished(read) {
		freeOrphans(&p, v, key, read.UID)
		return p, nil
	}
	mode := read.Spec.CompletionMode
	if mode != nil && *mode != batchv1.NonIndexedCompletion && *mode != batchv1.IndexedCompletion {
		p.Events = append(p.Events, reconcile.Event{
			Regarding: reconcile.Ref(kinds.Job(), read), Type: corev1.EventTypeWarning, Reason: "UnknownCompletionMode",
			Message: "Skipped Job sync because completion mode is unknown",
		})
		return p, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(read.Spec.Selector)
	if err != nil {
		return p, fmt.Errorf("reading the selector of %s: %w", key, err)
	}
	claims := owner.Claim(read, selector, podsIn(v, read))
	owner.Plan(&p, claims, kinds.Pods(), read, kinds.Job(), kinds.Jobs())
	if len(claims.Adopt) > 0 {
		return p, nil // the pods come back with their new owner
	}
	s := newSync(&p, v.Now(), read.DeepCopy(), claims.Mine)
	s.decide()
	s.track()
	s.write(read)
	return p, nil
}

func newSync(p *reconcile.Plan, now time.Time, job *batchv1.Job, mine []*corev1.Pod) *sync {
	if job.Status.UncountedTerminatedPods == nil {
		job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	s := &sync{
		p: p, now: now, job: job, pods: mine,
		uncountedSucceeded: setOf(job.Status.UncountedTerminatedPods.Succeeded),
		uncountedFailed:    setOf(job.Status.UncountedTerminatedPods.Failed),
	}
	if s.indexed() {
		slices.SortStableFunc(s.pods, func(a, b *corev1.Pod) int { return cmp.Compare(indexOf(a), indexOf(b)) })
	}
	newSucceeded, newFailed := int32(0), int32(0)
	for _, pod := range s.pods {
		switch {
		case pods.Active(pod):
			s.active = append(s.active, pod)
		case pods.Terminating(pod):
			s.terminating = append(s.terminating, pod)
		}
		if !s.valid(pod) {
			continue
		}
		switch {
		case pod.Status.Phase == corev1.PodSucceeded:
			if !s.uncountedSucceeded[pod.UID] {
				newSucceeded++
			}
		case s.hasFailed(pod) && !s.uncountedFailed[pod.UID]:
			if _, counts := s.failurePolicy(pod); counts {
				newFailed++
			}
		}
	}
	st := &job.Status
	s.succeeded = st.Succeeded + newSucceeded + int32(len(s.uncountedSucceeded))
	s.failed = st.Failed + newFailed + int32(len(s.uncountedFailed))
	if s.indexed() {
		s.countIndexes()
	}
	return s
}

// decide finds out whether the job has come to an end, and what to do with its pods.
func (s *sync) decide() {
	st := &s.job.Status
	if st.StartTime == nil && !s.suspended() {
		at := metav1.NewTime(s.now)
		st.StartTime = &at
	}
	s.end = s.judge()
	if s.end != nil {
		s.deletes = s.deletions(s.active)
	} else {
		if s.job.DeletionTimestamp == nil {
			s.manage()
		}
		if s.complete() {
			s.end = s.condition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached,
				"Reached expected number of succeeded pods")
		} else if s.job.DeletionTimestamp == nil {
			s.noteSuspension()
		}
	}
	s.report()
}

// report counts the pods as they will be when the plan is done. What it cannot do is corrected by the next plan.
func (s *sync) report() {
	going := map[string]bool{}
	for _, w := range s.deletes {
		going[w.Name] = true
	}
	ready := int32(0)
	for _, pod := range s.active {
		if pods.Ready(pod) && !going[pod.Name] {
			ready++
		}
	}
	terminating := int32(len(s.terminating) + len(s.deletes))
	st := &s.job.Status
	st.Active, st.Ready, st.Terminating = int32(len(s.active)+len(s.creates)-len(s.deletes)), &ready, &terminating
}

// write makes the plan: first the status that remembers, then everything that may be forgotten afterwards.
func (s *sync) write(read *batchv1.Job) {
	if !equality.Semantic.DeepEqual(read.Status, s.job.Status) {
		w := reconcile.UpdatingStatus(kinds.Jobs(), s.job)
		w.Done = s.ended
		s.p.Add(w)
	}
	next := make([]reconcile.Write, 0, len(s.release)+len(s.deletes))
	for _, pod := range s.release {
		next = append(next, withoutFinalizer(pod))
	}
	s.p.Add(append(next, s.deletes...)...)
	pods.SlowStart(s.p, s.creates, 1)
}

// freeOrphans takes the tracking finalizer off pods that no job counts any more: those of a job that is gone or has ended
// (then only those of that UID).
func freeOrphans(p *reconcile.Plan, v reconcile.View, key reconcile.Key, uid types.UID) {
	var writes []reconcile.Write
	for pod := range reconcile.All[*corev1.Pod](v, kinds.Pods(), key.Namespace) {
		ref := metav1.GetControllerOfNoCopy(pod)
		if tracked(pod) && ref != nil && ref.Kind == "Job" && ref.Name == key.Name && (uid == "" || ref.UID == uid) {
			writes = append(writes, withoutFinalizer(pod))
		}
	}
	p.Add(writes...)
}

func withoutFinalizer(pod *corev1.Pod) reconcile.Write {
	return reconcile.Patching(kinds.Pods(), pod, types.StrategicMergePatchType, map[string]any{
		"metadata": map[string]any{"$deleteFromPrimitiveList/finalizers": []string{batchv1.JobTrackingFinalizer}},
	})
}

func (s *sync) indexed() bool {
	return s.job.Spec.CompletionMode != nil && *s.job.Spec.CompletionMode == batchv1.IndexedCompletion
}

func (s *sync) suspended() bool { return s.job.Spec.Suspend != nil && *s.job.Spec.Suspend }

func (s *sync) perIndex() bool { return s.job.Spec.BackoffLimitPerIndex != nil }

func (s *sync) completions() int {
	if s.job.Spec.Completions == nil {
		return 0
	}
	return int(*s.job.Spec.Completions)
}

// onlyReplaceFailed: a successor is made only when a pod has ended, not already when it is being deleted.
func (s *sync) onlyReplaceFailed() bool {
	return s.job.Spec.PodReplacementPolicy != nil && *s.job.Spec.PodReplacementPolicy == batchv1.Failed
}

// valid tells whether the pod is still to be counted.
func (s *sync) valid(pod *corev1.Pod) bool {
	if !tracked(pod) {
		return false
	}
	if !s.indexed() {
		return true
	}
	i := indexOf(pod)
	return i >= 0 && i < s.completions()
}

// hasFailed counts pods that are being deleted as failed, as they may never get that far, unless successors wait for the end.
func (s *sync) hasFailed(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodFailed {
		return true
	}
	return !s.onlyReplaceFailed() && pod.DeletionTimestamp != nil && pod.Status.Phase != corev1.PodSucceeded
}

func tracked(pod *corev1.Pod) bool {
	return slices.Contains(pod.Finalizers, batchv1.JobTrackingFinalizer)
}

func setOf(uids []types.UID) map[types.UID]bool {
	set := make(map[types.UID]bool, len(uids))
	for _, uid := range uids {
		set[uid] = true
	}
	return set
}
