package job

import (
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/reconcile/pods"
)

// interval is the indexes from first to last, both included.
type interval struct{ first, last int }

// intervals is a set of indexes: in order, apart from each other by at least one. Immutable.
type intervals []interval

// parseIntervals reads "0,2-5,7", as status and policies write it. What is not below the limit or cannot be read is left out.
func parseIntervals(text string, limit int) intervals {
	var all intervals
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil || first < 0 || first >= limit {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil || last < first {
				continue
			}
			last = min(last, limit-1)
		}
		all = all.union(intervals{{first, last}})
	}
	return all
}

// String writes two adjacent indexes as "2,3" and more as "2-4".
func (s intervals) String() string {
	var parts []string
	for _, i := range s {
		first, last := strconv.Itoa(i.first), strconv.Itoa(i.last)
		switch {
		case i.first == i.last:
			parts = append(parts, first)
		case i.first+1 == i.last:
			parts = append(parts, first, last)
		default:
			parts = append(parts, first+"-"+last)
		}
	}
	return strings.Join(parts, ",")
}

func (s intervals) total() int {
	n := 0
	for _, i := range s {
		n += i.last - i.first + 1
	}
	return n
}

func (s intervals) has(index int) bool {
	_, found := slices.BinarySearchFunc(s, index, func(i interval, x int) int {
		switch {
		case i.last < x:
			return -1
		case i.first > x:
			return 1
		}
		return 0
	})
	return found
}

func (s intervals) union(t intervals) intervals {
	both := slices.Concat(s, t)
	slices.SortFunc(both, func(a, b interval) int { return a.first - b.first })
	var joined intervals
	for _, i := range both {
		if n := len(joined); n > 0 && i.first <= joined[n-1].last+1 {
			joined[n-1].last = max(joined[n-1].last, i.last)
			continue
		}
		joined = append(joined, i)
	}
	return joined
}

// overlap counts the indexes that are in both.
func (s intervals) overlap(t intervals) int {
	n := 0
	for _, a := range s {
		for _, b := range t {
			n += max(0, min(a.last, b.last)-max(a.first, b.first)+1)
		}
	}
	return n
}

// gaps returns up to n of the indexes below the limit that are not in the set.
func (s intervals) gaps(n, limit int) []int {
	var free []int
	next := 0
	for _, i := range append(slices.Clone(s), interval{limit, limit}) {
		for ; next < i.first && next < limit && len(free) < n; next++ {
			free = append(free, next)
		}
		next = max(next, i.last+1)
	}
	return free
}

// indexOf returns the pod's index, -1 when it has none.
func indexOf(pod *corev1.Pod) int {
	n, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func indexesOf(list []*corev1.Pod) intervals {
	var all intervals
	for _, pod := range list {
		if i := indexOf(pod); i >= 0 {
			all = append(all, interval{i, i})
		}
	}
	return all.union(nil)
}

// countIndexes finds out what became of each index.
func (s *sync) countIndexes() {
	st := &s.job.Status
	s.before = parseIntervals(st.CompletedIndexes, s.completions())
	var succeeded, failed []*corev1.Pod
	for _, pod := range s.pods {
		switch {
		case !s.valid(pod):
		case pod.Status.Phase == corev1.PodSucceeded:
			succeeded = append(succeeded, pod)
		case s.perIndex() && s.failsIndex(pod):
			failed = append(failed, pod)
		}
	}
	s.done = s.before.union(indexesOf(succeeded))
	s.succeeded = int32(s.done.total())
	if !s.perIndex() {
		return
	}
	if st.FailedIndexes != nil {
		s.lost = parseIntervals(*st.FailedIndexes, s.completions())
	}
	s.lost = s.lost.union(indexesOf(failed))
	s.delayed = s.delays()
}

// failsIndex tells whether the pod's failure is its index's last: a rule says so, or the limit is reached.
func (s *sync) failsIndex(pod *corev1.Pod) bool {
	if !s.hasFailed(pod) {
		return false
	}
	r, counts := s.failurePolicy(pod)
	if r != nil && r.action == batchv1.PodFailurePolicyActionFailIndex {
		return true
	}
	return counts && countIn(pod, batchv1.JobIndexFailureCountAnnotation) >= int(*s.job.Spec.BackoffLimitPerIndex)
}

// delays returns, for each index that is to be tried again, the failed pod that knows its failure count.
func (s *sync) delays() map[int]*corev1.Pod {
	running := indexesOf(s.active)
	waiting := map[int]*corev1.Pod{}
	for _, pod := range s.pods {
		i := indexOf(pod)
		if !s.valid(pod) || !s.hasFailed(pod) || s.done.has(i) || s.lost.has(i) || running.has(i) {
			continue
		}
		other := waiting[i]
		if other == nil || (failuresOf(other) <= failuresOf(pod) && !endOf(pod).Before(endOf(other))) {
			waiting[i] = pod
		}
	}
	return waiting
}

// failuresBefore is what the successor of a failed pod knows of its index: failures that count, and others.
func (s *sync) failuresBefore(pod *corev1.Pod) (counted, ignored int) {
	if pod == nil {
		return 0, 0
	}
	counted = countIn(pod, batchv1.JobIndexFailureCountAnnotation)
	ignored = countIn(pod, batchv1.JobIndexIgnoredFailureCountAnnotation)
	if _, counts := s.failurePolicy(pod); counts {
		return counted + 1, ignored
	}
	return counted, ignored + 1
}

func failuresOf(pod *corev1.Pod) int {
	return countIn(pod, batchv1.JobIndexFailureCountAnnotation) + countIn(pod, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

func countIn(pod *corev1.Pod, annotation string) int {
	n, err := strconv.Atoi(pod.Annotations[annotation])
	if err != nil {
		return 0
	}
	return n
}

// pending returns up to n indexes that have no pod and have neither succeeded nor failed.
func (s *sync) pending(n int) []int {
	taken := s.done.union(indexesOf(s.active)).union(s.lost)
	if s.onlyReplaceFailed() {
		var leaving []*corev1.Pod
		for _, pod := range s.pods {
			if pods.Terminating(pod) {
				leaving = append(leaving, pod)
			}
		}
		taken = taken.union(indexesOf(leaving))
	}
	return taken.gaps(n, s.completions())
}
